/** Gives away the address of this view: by the device's own sheet on a phone, by the clipboard elsewhere. */

import { h, say } from '../page/dom.ts';
import { shareLink, type View } from '../route.ts';

/** How long a short message stays. */
const MESSAGE_MS = 4000;

export class Share {
  readonly message = h('p', { class: 'toast', role: 'status', 'aria-live': 'polite' });
  private timer: ReturnType<typeof setTimeout> | undefined;

  async share(view: View, title: string): Promise<void> {
    const url = shareLink(location.href, view);
    history.replaceState(null, '', url);
    const touch = matchMedia('(pointer: coarse)').matches;
    if (touch && navigator.share) {
      await navigator.share({ title, url }).catch(() => undefined);
      return;
    }
    try {
      await navigator.clipboard.writeText(url);
      this.tell('Link to this view copied');
    } catch {
      // Without a secure context there is no clipboard; the address bar has the link.
      this.tell('The address bar now links to this view');
    }
  }

  tell(text: string): void {
    say(this.message, text);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => say(this.message, ''), MESSAGE_MS);
  }
}
