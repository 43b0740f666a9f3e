/** The list of keys. */

import { h, iconButton } from '../page/dom.ts';
import { KEYS } from './keys.ts';

export class Help {
  readonly dialog: HTMLDialogElement;

  constructor() {
    const rows = KEYS.flatMap(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)]);
    this.dialog = h(
      'dialog',
      { class: 'help', 'aria-labelledby': 'help-title' },
      h('h2', { id: 'help-title' }, 'Keyboard'),
      iconButton('close', 'Close', () => this.dialog.close(), { class: 'icon close' }),
      h('dl', {}, ...rows),
    );
    this.dialog.addEventListener('click', (e) => {
      if (e.target === this.dialog) this.dialog.close();
    });
  }

  toggle(): void {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }
}
