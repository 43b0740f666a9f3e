/** Gives away the address of this view: by the device's own sheet on a phone, by the clipboard elsewhere. */

import { h, say } from '../page/dom.ts';
import { shareLink, type View } from '../route.ts';

/** How long a short message stays. */
const MESSAGE_MS = 4000;

/**
 * HTML that shows the player in another page. Each permission is one that browsers keep from a frame unless its page
 * grants it: sound at once, full screen, looking around by moving the phone, a headset.
 */
export function embedCode(address: string, title: string): string {
  const quoted = (text: string): string => text.replace(/&/g, '&amp;').replace(/"/g, '&quot;');
  return (
    `<iframe src="${quoted(address)}" title="${quoted(title)}" width="960" height="540" style="border: 0" ` +
    'allow="autoplay; fullscreen; accelerometer; gyroscope; magnetometer; xr-spatial-tracking" ' +
    'allowfullscreen></iframe>'
  );
}

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

  async embed(address: string, title: string): Promise<void> {
    const code = embedCode(address, title);
    try {
      await navigator.clipboard.writeText(code);
      this.tell('Code to embed copied');
    } catch {
      // Without a secure context there is no clipboard: the browser's own dialog holds text to copy.
      window.prompt('Code to embed', code);
    }
  }

  tell(text: string): void {
    say(this.message, text);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => say(this.message, ''), MESSAGE_MS);
  }
}
