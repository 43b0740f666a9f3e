/** The bar along the bottom: play, sound, time, live edge, and what opens from it. */

import type { Playback, Snapshot } from '../media/playback.ts';
import { asksAgain } from '../media/state.ts';
import { clock } from '../media/timing.ts';
import { h, iconButton, relabel, say } from '../page/dom.ts';
import type { Route } from '../route.ts';
import type { SceneContext } from '../scene/scene.ts';
import { FullScreen } from './full-screen.ts';
import { Idle } from './idle.ts';
import { listenForKeys } from './keys.ts';
import { SeekBar } from './seek.ts';
import { Tools } from './tools.ts';

type Watch = Extract<Route, { page: 'watch' }>;

export class Bar {
  readonly element: HTMLElement;
  readonly badge = h('p', { class: 'badge', hidden: true });
  private play: HTMLButtonElement;
  private mute: HTMLButtonElement;
  private volume: HTMLInputElement;
  private full: HTMLButtonElement;
  private fullScreen: FullScreen;
  private edge: HTMLButtonElement;
  private time = h('p', { class: 'time' });
  private latency = h('p', { class: 'latency' });
  private seek: SeekBar;
  private idle: Idle;
  readonly tools: Tools;

  constructor(
    page: HTMLElement,
    private playback: Playback,
    route: Watch,
    stage: () => SceneContext | undefined,
  ) {
    const { video } = playback;
    this.play = iconButton('pause', 'Pause', () => this.togglePlay());
    this.mute = iconButton('muted', 'Unmute', () => this.toggleMute());
    this.volume = h('input', {
      type: 'range',
      class: 'volume',
      min: 0,
      max: 1,
      step: 0.05,
      value: 1,
      'aria-label': 'Volume',
      oninput: () => {
        video.volume = Number(this.volume.value);
        video.muted = video.volume === 0;
      },
    });
    this.edge = h(
      'button',
      { type: 'button', class: 'edge', hidden: true, onclick: () => playback.goLive() },
      'Live',
    );
    this.full = iconButton('full', 'Full screen', () => this.toggleFull());
    this.seek = new SeekBar(playback, route);
    this.tools = new Tools(playback, route.name, stage);
    this.element = h(
      'footer',
      { class: 'bar' },
      this.seek.element,
      h(
        'div',
        { class: 'row' },
        h(
          'div',
          { class: 'group' },
          this.play,
          this.mute,
          this.volume,
          this.edge,
          this.time,
          this.latency,
        ),
        h('div', { class: 'group' }, ...this.tools.buttons, this.full),
      ),
    );
    video.addEventListener('volumechange', () => this.showSound());
    this.fullScreen = new FullScreen(page, () => this.showFull());
    this.idle = new Idle(page, () => !video.paused);
    listenForKeys(page, this, playback, stage);
    this.showSound();
  }

  ready(stage: SceneContext): void {
    this.tools.ready(stage);
    this.idle.wake();
  }

  update(s: Snapshot): void {
    const still = this.playback.paused;
    relabel(this.play, still ? 'play' : 'pause', still ? 'Play' : 'Pause');
    this.play.disabled = s.span.end === 0;
    this.seek.update(s);
    this.tools.update(s);
    this.badge.hidden = !s.live || asksAgain(s.phase);
    this.badge.dataset['on'] = s.live && s.phase === 'playing' && s.following ? 'yes' : 'no';
    say(this.badge, 'Live');
    this.edge.hidden = !s.live || (s.following && s.phase !== 'paused');
    say(this.edge, 'Go to live');
    say(this.time, timeOf(s));
    const show = s.live && s.latency !== undefined && s.phase === 'playing';
    say(this.latency, show ? `${s.latency?.toFixed(1)} s behind` : '');
  }

  press(key: string): boolean {
    return this.tools.press(key);
  }

  togglePlay(): void {
    if (this.playback.paused) this.playback.play();
    else this.playback.pause();
  }

  toggleMute(): void {
    const { video } = this.playback;
    video.muted = !video.muted;
    if (!video.muted && video.volume === 0) video.volume = 1;
  }

  louder(by: number): void {
    const { video } = this.playback;
    video.volume = Math.min(1, Math.max(0, video.volume + by));
    video.muted = video.volume === 0;
  }

  toggleFull(): void {
    this.fullScreen.toggle();
  }

  private showSound(): void {
    const { muted, volume } = this.playback.video;
    const silent = muted || volume === 0;
    relabel(this.mute, silent ? 'muted' : 'sound', silent ? 'Unmute' : 'Mute');
    this.volume.value = String(silent ? 0 : volume);
    this.volume.style.setProperty('--share', `${(silent ? 0 : volume) * 100}%`);
  }

  private showFull(): void {
    const { on } = this.fullScreen;
    relabel(this.full, on ? 'unfull' : 'full', on ? 'Leave full screen' : 'Full screen');
  }
}

function timeOf({ live, following, span }: Snapshot): string {
  if (live) return following ? '' : `−${clock(span.end - span.position)}`;
  return span.end > 0 ? `${clock(span.position)} / ${clock(span.end)}` : '';
}
