/** Wiring: the address decides between the start page and the player, whose parts are then fetched side by side. */

import { startPage } from './page/start.ts';
import { route } from './route.ts';
import { fetchAframe } from './scene/scene.ts';

const app = document.querySelector('#app') as HTMLElement;
const target = route(location.href);

if (target.page === 'watch') {
  document.title = `${target.name} · Panocast`;
  fetchAframe();
  const { watchPage } = await import('./page/watch.ts');
  watchPage(app, target);
} else {
  startPage(app, target.page === 'wrong' ? target.reason : undefined);
}
