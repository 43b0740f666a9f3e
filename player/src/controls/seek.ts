/** The bar to seek on: a recording's length, or what the live window still holds. */

import type { Playback, Snapshot } from '../media/playback.ts';
import { parseThumbnails, type Thumbnail, thumbnailAt } from '../media/thumbnails.ts';
import { clock, spoken } from '../media/timing.ts';
import { h, say } from '../page/dom.ts';
import type { Route } from '../route.ts';

/** A live window shorter than this is not worth a bar. */
const WORTH_S = 8;

type Watch = Extract<Route, { page: 'watch' }>;

export class SeekBar {
  readonly element: HTMLElement;
  private input: HTMLInputElement;
  private still = h('div', { class: 'still', hidden: true });
  private moment = h('span');
  private tip = h(
    'div',
    { class: 'tip', 'aria-hidden': 'true', hidden: true },
    this.still,
    this.moment,
  );
  /** Fetched when the pointer first comes near: most viewers never seek. */
  private thumbnails: Thumbnail[] | undefined;
  private span = { start: 0, end: 0, position: 0 };
  private live = false;
  private held = false;
  private hovered = 0;

  constructor(
    playback: Playback,
    private route: Watch,
  ) {
    this.input = h('input', {
      type: 'range',
      'aria-label': 'Seek',
      min: 0,
      max: 1000,
      step: 1,
      value: 1000,
      oninput: () => {
        this.held = true;
        this.paint(Number(this.input.value) / 1000);
      },
      onchange: () => {
        this.held = false;
        playback.seek(this.at(Number(this.input.value) / 1000));
      },
    });
    this.element = h('div', { class: 'seek', hidden: true }, this.tip, this.input);
    this.element.addEventListener('pointermove', (e) => this.hover(e));
    this.element.addEventListener('pointerleave', () => {
      this.tip.hidden = true;
    });
  }

  update(s: Snapshot): void {
    this.span = s.span;
    this.live = s.live;
    const length = s.span.end - s.span.start;
    this.element.hidden = length < (s.live ? WORTH_S : 1);
    if (this.held || length <= 0) return;
    // While following, the knob rests at the end: the few seconds of latency are not a place to seek to.
    const share = s.live && s.following ? 1 : (s.span.position - s.span.start) / length;
    this.input.value = String(Math.round(share * 1000));
    this.paint(share);
    const behind = s.span.end - s.span.position;
    const said = s.live
      ? s.following
        ? 'live'
        : `${spoken(behind)} behind live`
      : `${spoken(s.span.position)} of ${spoken(s.span.end)}`;
    this.input.setAttribute('aria-valuetext', said);
  }

  private at(share: number): number {
    return this.span.start + share * (this.span.end - this.span.start);
  }

  private paint(share: number): void {
    this.input.style.setProperty('--share', `${Math.min(1, Math.max(0, share)) * 100}%`);
  }

  private hover(e: PointerEvent): void {
    const box = this.input.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (e.clientX - box.left) / Math.max(box.width, 1)));
    const to = this.at(share);
    this.tip.hidden = false;
    this.tip.style.setProperty('--at', `${share * 100}%`);
    say(this.moment, this.live ? `−${clock(this.span.end - to)}` : clock(to));
    if (!this.live) this.preview(to);
  }

  private preview(to: number): void {
    this.hovered = to;
    if (!this.thumbnails) {
      this.thumbnails = [];
      void this.fetchThumbnails().then(() => this.preview(this.hovered));
    }
    const found = thumbnailAt(this.thumbnails, to);
    this.still.hidden = found === undefined;
    if (!found) return;
    const [x, y, width, height] = found.part ?? [0, 0, 160, 80];
    Object.assign(this.still.style, {
      width: `${width}px`,
      height: `${height}px`,
      backgroundImage: `url("${encodeURI(found.url)}")`,
      backgroundPosition: `-${x}px -${y}px`,
      backgroundSize: found.part ? 'auto' : 'cover',
    });
  }

  private async fetchThumbnails(): Promise<void> {
    const url = new URL('thumbnails.vtt', this.route.base).href;
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) this.thumbnails = parseThumbnails(await response.text(), url);
  }
}
