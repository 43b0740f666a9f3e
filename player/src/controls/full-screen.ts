/**
 * Full screen with the browser's help, and what comes closest where it gives none.
 *
 * iPhones have no full screen for elements. There the page hides all but the picture and is as tall as the screen with
 * the browser's own bars gone; inside somebody else's frame, which it cannot leave, it opens in a tab of its own.
 */

interface WebKitElement extends HTMLElement {
  webkitRequestFullscreen?: () => void;
}
interface WebKitDocument extends Document {
  webkitFullscreenElement?: Element | null;
  webkitExitFullscreen?: () => void;
}

export class FullScreen {
  private readonly page: WebKitElement;
  private readonly document = document as WebKitDocument;

  constructor(
    page: HTMLElement,
    private readonly onchange: () => void,
  ) {
    this.page = page;
    for (const name of ['fullscreenchange', 'webkitfullscreenchange']) {
      document.addEventListener(name, onchange);
    }
  }

  get on(): boolean {
    const element = this.document.fullscreenElement ?? this.document.webkitFullscreenElement;
    return Boolean(element) || this.page.classList.contains('full');
  }

  toggle(): void {
    if (this.page.classList.contains('full')) return this.fill(false);
    if (this.on) return this.leave();
    // `fullscreenEnabled` is false in a frame without allow="fullscreen" as well.
    const allowed = document.fullscreenEnabled !== false;
    if (allowed && this.page.requestFullscreen) {
      void this.page.requestFullscreen().catch(() => this.instead());
    } else if (this.page.webkitRequestFullscreen) {
      this.page.webkitRequestFullscreen();
    } else {
      this.instead();
    }
  }

  private leave(): void {
    if (this.document.exitFullscreen) void this.document.exitFullscreen().catch(() => undefined);
    else this.document.webkitExitFullscreen?.();
  }

  private instead(): void {
    if (window.parent !== window) window.open(location.href, '_blank', 'noopener');
    else this.fill(true);
  }

  private fill(full: boolean): void {
    this.page.classList.toggle('full', full);
    document.documentElement.classList.toggle('full-screen', full);
    // Safari hides its bars for a page that has been scrolled.
    if (full) window.scrollTo(0, 1);
    this.onchange();
  }
}
