/** The statistics panel: what a person who looks after the stream wants to know, as numbers and as plots. */

import Hls from 'hls.js';
import { infoFor } from '../media/info.ts';
import type { Snapshot } from '../media/playback.ts';
import { h, iconButton, say } from '../page/dom.ts';
import type { SceneContext } from '../scene/scene.ts';
import { Plot } from './plot.ts';

const LINES = [
  ['Latency', '#6fd3c7', 2],
  ['Buffer', '#8fb8ff', 2],
  ['Rung', '#e6c27a', 1],
  ['Dropped', '#ff8f87', 5],
] as const;
type Line = (typeof LINES)[number][0];

export class Stats {
  readonly panel: HTMLElement;
  private plots = new Map<Line, { plot: Plot; value: HTMLElement }>();
  private facts = h('dl', { class: 'facts' });
  private cells = new Map<string, HTMLElement>();
  private before = { dropped: 0, at: 0 };

  constructor(private stage: () => SceneContext | undefined) {
    const rows = LINES.map(([name, colour, least]) => {
      const plot = new Plot(colour, least);
      const value = h('span', { class: 'value' });
      this.plots.set(name, { plot, value });
      return h('div', { class: 'plot' }, h('span', {}, name), plot.canvas, value);
    });
    this.panel = h(
      'section',
      { class: 'panel stats', 'aria-label': 'Statistics', hidden: true },
      h('h2', {}, 'Statistics'),
      iconButton('close', 'Close statistics', () => this.toggle(), { class: 'icon close' }),
      ...rows,
      this.facts,
    );
  }

  toggle(): void {
    this.panel.hidden = !this.panel.hidden;
  }

  /** Collects once a second, shown or not, so that opening it explains what just happened. */
  update(s: Snapshot, now: number): void {
    if (now - this.before.at < 1000) return;
    const dropped = Math.max(0, s.dropped - this.before.dropped);
    this.before = { dropped: s.dropped, at: now };
    const rung = s.rungs[s.level];
    this.line('Latency', s.latency, (v) => `${v.toFixed(1)} s`);
    this.line('Buffer', s.ahead, (v) => `${v.toFixed(1)} s`);
    this.line('Rung', rung && rung.bitrate / 1e6, (v) => `${v.toFixed(1)} Mb/s`);
    this.line('Dropped', dropped, (v) => `${v} /s`);
    if (this.panel.hidden) return;
    for (const { plot } of this.plots.values()) plot.draw();
    this.showFacts(s);
  }

  private line(name: Line, value: number | undefined, format: (v: number) => string): void {
    const row = this.plots.get(name);
    if (!row) return;
    row.plot.push(value);
    if (!this.panel.hidden) say(row.value, value === undefined ? '–' : format(value));
  }

  private showFacts(s: Snapshot): void {
    const rung = s.rungs[s.level];
    const renderer = this.stage()?.scene.renderer;
    const first = this.stage()?.firstPictureMs();
    this.fact('State', s.phase);
    const { projection, stereo } = infoFor(s.info, rung?.width ?? 0, rung?.height ?? 0);
    this.fact('Picture', `${projection}, ${stereo}`);
    this.fact('Size', rung ? `${rung.width} × ${rung.height}` : '–');
    this.fact('Bandwidth', s.bandwidth > 0 ? `${(s.bandwidth / 1e6).toFixed(1)} Mb/s` : '–');
    this.fact('Target latency', s.target === undefined ? '–' : `${s.target.toFixed(1)} s`);
    this.fact('First picture after', first === undefined ? '–' : `${(first / 1000).toFixed(2)} s`);
    this.fact('Stalls', String(s.stalls));
    this.fact('Frames dropped', `${s.dropped} of ${s.frames}`);
    this.fact('Largest texture', renderer ? `${renderer.capabilities.maxTextureSize} px` : '–');
    this.fact('hls.js', Hls.version);
    if (s.info.warnings.length > 0) this.fact('Warnings', s.info.warnings.join(' '));
  }

  private fact(name: string, value: string): void {
    let cell = this.cells.get(name);
    if (!cell) {
      cell = h('dd');
      this.cells.set(name, cell);
      this.facts.append(h('dt', {}, name), cell);
    }
    say(cell, value);
  }
}
