/** What goes on, in words, over the picture; and the one tap that a browser wants before it gives sound. */

import type { Snapshot } from '../media/playback.ts';
import { type Words, words } from '../media/state.ts';
import { h, icon, say } from './dom.ts';

/** A short gap in playing is not worth a word. */
const PATIENCE_MS = 600;

const SOUND: Words = {
  title: 'Sound only',
  detail: 'The publisher sends no picture.',
  busy: false,
};

export class Notice {
  readonly element: HTMLElement;
  private title = h('p', { class: 'title' });
  private detail = h('p', { class: 'detail' });
  private spinner = h('div', { class: 'spinner', 'aria-hidden': 'true' });
  private button: HTMLButtonElement;
  private shownFor = '';
  private delay: ReturnType<typeof setTimeout> | undefined;

  constructor(act: () => void) {
    this.button = h('button', { type: 'button', class: 'primary', hidden: true, onclick: act });
    const live = h('div', { role: 'status', 'aria-live': 'polite' }, this.title, this.detail);
    this.element = h(
      'div',
      { class: 'notice', 'data-shown': 'no' },
      this.spinner,
      live,
      this.button,
    );
  }

  show(s: Snapshot): void {
    const key = `${s.phase} ${s.reason ?? ''} ${s.picture}`;
    if (key === this.shownFor) return;
    this.shownFor = key;
    clearTimeout(this.delay);
    const soft = s.phase === 'buffering' || s.phase === 'connecting';
    if (soft) this.delay = setTimeout(() => this.render(s), PATIENCE_MS);
    else this.render(s);
  }

  /** For what the player itself cannot know, as a page without WebGL. */
  tell(title: string, detail: string): void {
    this.shownFor = title;
    say(this.title, title);
    say(this.detail, detail);
    this.spinner.hidden = true;
    this.element.dataset['shown'] = 'yes';
  }

  private render(s: Snapshot): void {
    const said =
      words(s.phase, s.reason) ?? (s.phase === 'playing' && !s.picture ? SOUND : undefined);
    this.element.dataset['shown'] = said ? 'yes' : 'no';
    // A pause for the buffer leaves the picture as it is; a standing state steps in front of it.
    this.element.dataset['veil'] = said && said.detail !== '' ? 'yes' : 'no';
    say(this.title, said?.title ?? '');
    say(this.detail, said?.detail ?? '');
    this.spinner.hidden = !said?.busy;
    const action = { blocked: 'Play', finished: 'Play again', failed: 'Try again now' }[
      s.phase as 'blocked' | 'finished' | 'failed'
    ];
    this.button.hidden = action === undefined;
    say(this.button, action ?? '');
  }
}

/** The muted start's way out; goes when there is sound, and leaves when there is none to be had. */
export function unmuteButton(video: HTMLVideoElement, also: () => void): HTMLButtonElement {
  const button = h(
    'button',
    {
      type: 'button',
      class: 'unmute',
      onclick: () => {
        video.muted = false;
        if (video.volume === 0) video.volume = 1;
        also();
      },
    },
    icon('muted'),
    'Tap to unmute',
  );
  const update = (): void => {
    button.hidden = video.readyState < 2 || (!video.muted && video.volume > 0);
  };
  for (const change of ['volumechange', 'loadeddata', 'emptied'])
    video.addEventListener(change, update);
  update();
  return button;
}
