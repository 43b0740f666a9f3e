/** Lets the controls fade while nobody uses them and the picture moves. */

const AFTER_MS = 3500;

export class Idle {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private page: HTMLElement,
    private moving: () => boolean,
  ) {
    for (const sign of ['pointermove', 'pointerdown', 'keydown', 'focusin'] as const) {
      page.addEventListener(sign, () => this.wake());
    }
  }

  wake(): void {
    this.page.classList.remove('idle');
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.rest(), AFTER_MS);
  }

  private rest(): void {
    // A keyboard user's focus, an open panel or a standing picture keep them.
    const busy = this.page.querySelector(
      '.top :focus-visible, .bar :focus-visible, .panel:not([hidden]), dialog[open]',
    );
    if (busy || !this.moving()) this.wake();
    else this.page.classList.add('idle');
  }
}
