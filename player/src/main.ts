/** Wiring: the address decides between the start page and the player, whose parts are then fetched side by side. */

import { startPage } from './page/start.ts';
import { route } from './route.ts';
import { fetchAframe } from './scene/scene.ts';

const app = document.querySelector('#app') as HTMLElement;
const wish = route(location.href);

if (wish.page === 'watch') {
  document.title = `${wish.name} · Panocast`;
  fetchAframe();
  const { watchPage } = await import('./page/watch.ts');
  watchPage(app, wish);
} else {
  startPage(app, wish.page === 'wrong' ? wish.reason : undefined);
}
