/**
 * Captions over the picture. The video element is out of sight, so its own drawing of them is too: tracks are kept
 * hidden, which still loads and times their cues, and the text is shown here, where it stays put while one looks around.
 */

import { h } from '../page/dom.ts';

export class Captions {
  /** Visual only: a screen reader has the sound. */
  readonly element = h('div', { class: 'captions', 'aria-hidden': 'true' });
  private wanted: string | undefined;

  constructor(private video: HTMLVideoElement) {
    const { textTracks } = video;
    textTracks.addEventListener('addtrack', () => this.settle());
    textTracks.addEventListener('removetrack', () => this.show());
    textTracks.addEventListener('change', () => this.settle());
  }

  get names(): string[] {
    return this.tracks().map((track, i) => track.label || track.language || `Captions ${i + 1}`);
  }

  get chosen(): number {
    return this.tracks().findIndex((track) => track.mode !== 'disabled');
  }

  choose(index: number): void {
    this.wanted = index < 0 ? '' : this.names[index];
    this.tracks().forEach((track, i) => {
      track.mode = i === index ? 'hidden' : 'disabled';
    });
    this.settle();
  }

  /** The next choice in turn, `off` included. */
  cycle(): void {
    const next = this.chosen + 1;
    this.choose(next >= this.tracks().length ? -1 : next);
  }

  private tracks(): TextTrack[] {
    return [...this.video.textTracks].filter(
      (t) => t.kind === 'captions' || t.kind === 'subtitles',
    );
  }

  private settle(): void {
    this.tracks().forEach((track, i) => {
      if (track.mode === 'showing') track.mode = 'hidden';
      // A rebuilt player makes its tracks anew: the viewer's choice goes on.
      if (this.wanted && this.wanted === this.names[i] && track.mode === 'disabled')
        track.mode = 'hidden';
      track.oncuechange = () => this.show();
    });
    this.show();
  }

  private show(): void {
    const track = this.tracks()[this.chosen];
    const cues = [...(track?.activeCues ?? [])] as VTTCue[];
    const lines = cues.flatMap((cue) => cue.text.replace(/<[^>]*>/g, '').split('\n'));
    this.element.replaceChildren(...lines.filter(Boolean).map((line) => h('span', {}, line)));
  }
}
