/** The keyboard: everything the page can do, one key each; the list is also the help. */

import type { Playback } from '../media/playback.ts';
import type { SceneContext } from '../scene/scene.ts';

export const KEYS = [
  ['Space or K', 'play or pause'],
  ['Arrow keys', 'look around'],
  ['+ and −', 'zoom'],
  ['Home', 'look to the front'],
  ['J and L', '10 seconds back or on'],
  ['E', 'live edge'],
  ['M', 'mute'],
  [', and .', 'volume'],
  ['F', 'full screen'],
  ['V', 'enter VR'],
  ['C', 'captions'],
  ['S', 'statistics'],
  ['?', 'this list'],
] as const;

export interface Actions {
  togglePlay(): void;
  toggleMute(): void;
  louder(by: number): void;
  toggleFull(): void;
  press(key: string): boolean;
}

const ARROWS: Record<string, string> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};

export function listenForKeys(
  page: HTMLElement,
  actions: Actions,
  playback: Playback,
  stage: () => SceneContext | undefined,
): void {
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || page.querySelector('dialog[open]')) return;
    const on = e.target instanceof HTMLElement ? e.target : page;
    const arrow = ARROWS[e.key];
    // A slider or menu keeps its own arrows, a button its own space bar.
    if (on.matches('input, [role^=menuitem]') && arrow) return;
    if (on.matches('button, a, input') && (e.key === ' ' || e.key === 'Enter')) return;
    if (arrow) stage()?.look.key(arrow, true);
    else if (!press(e.key, actions, playback, stage())) return;
    e.preventDefault();
  });
  document.addEventListener('keyup', (e) => {
    const arrow = ARROWS[e.key];
    if (arrow) stage()?.look.key(arrow, false);
  });
  addEventListener('blur', () => stage()?.look.release());
}

function press(
  key: string,
  actions: Actions,
  playback: Playback,
  stage: SceneContext | undefined,
): boolean {
  const by = (seconds: number): void => playback.seek(playback.video.currentTime + seconds);
  const table: Record<string, () => void> = {
    ' ': () => actions.togglePlay(),
    k: () => actions.togglePlay(),
    m: () => actions.toggleMute(),
    f: () => actions.toggleFull(),
    j: () => by(-10),
    l: () => by(10),
    e: () => playback.goLive(),
    ',': () => actions.louder(-0.1),
    '.': () => actions.louder(0.1),
    '+': () => stage?.look.zoom(0.9),
    '=': () => stage?.look.zoom(0.9),
    '-': () => stage?.look.zoom(1 / 0.9),
    Home: () => stage?.look.to({ yaw: 0, pitch: 0, fov: 80 }, true),
  };
  const act = table[key.length === 1 ? key.toLowerCase() : key];
  if (act) act();
  else return actions.press(key);
  return true;
}
