/** The settings menu: quality, captions, and the panels that have no button of their own. */

import type { Playback, Snapshot } from '../media/playback.ts';
import { label } from '../media/quality.ts';
import { h, iconButton } from '../page/dom.ts';
import type { Captions } from './captions.ts';

interface Choice {
  text: string;
  on: boolean;
  pick(): void;
}

export class Menu {
  readonly button: HTMLButtonElement;
  readonly panel = h('div', {
    class: 'panel menu',
    role: 'menu',
    'aria-label': 'Settings',
    hidden: true,
  });
  private shown = '';

  constructor(
    private playback: Playback,
    private captions: Captions,
    private more: readonly { text: string; pick(): void }[],
  ) {
    this.button = iconButton('settings', 'Settings', () => this.toggle(), {
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
    });
    this.panel.addEventListener('keydown', (e) => this.key(e));
    document.addEventListener('pointerdown', (e) => {
      const on = e.target as Node;
      if (!this.panel.contains(on) && !this.button.contains(on)) this.close();
    });
  }

  update(s: Snapshot): void {
    if (this.panel.hidden) return;
    const groups: [string, Choice[]][] = [
      ['Quality', this.qualities(s)],
      ['Captions', this.captionChoices()],
    ];
    const now = JSON.stringify(groups);
    // Made anew only when something differs, so that the focus stays where it is.
    if (now === this.shown) return;
    this.shown = now;
    const at = [...this.panel.querySelectorAll('button')].indexOf(
      document.activeElement as HTMLButtonElement,
    );
    this.panel.replaceChildren();
    for (const [title, choices] of groups) {
      if (choices.length > 0) this.panel.append(group(title, choices));
    }
    this.panel.append(
      h(
        'div',
        { role: 'group', 'aria-label': 'More' },
        ...this.more.map(({ text, pick }) => this.item(text, pick)),
      ),
    );
    if (at >= 0) this.items()[at]?.focus();
  }

  toggle(): void {
    if (!this.panel.hidden) return this.close(true);
    this.panel.hidden = false;
    this.shown = '';
    this.button.setAttribute('aria-expanded', 'true');
    this.update(this.playback.snapshot());
    (this.panel.querySelector<HTMLElement>('[aria-checked=true]') ?? this.items()[0])?.focus();
  }

  close(refocus = false): void {
    if (this.panel.hidden) return;
    this.panel.hidden = true;
    this.button.setAttribute('aria-expanded', 'false');
    if (refocus) this.button.focus();
  }

  private qualities(s: Snapshot): Choice[] {
    if (s.rungs.length < 2) return [];
    const order = s.rungs
      .map((rung, index) => ({ rung, index }))
      .sort((a, b) => b.rung.bitrate - a.rung.bitrate);
    const now = s.rungs[s.level];
    const auto = s.chosen < 0 && now ? `Automatic (${now.width} × ${now.height})` : 'Automatic';
    return [
      { text: auto, on: s.chosen < 0, pick: () => this.playback.choose(-1) },
      ...order.map(({ rung, index }) => ({
        text: label(rung),
        on: s.chosen === index,
        pick: () => this.playback.choose(index),
      })),
    ];
  }

  private captionChoices(): Choice[] {
    const { names, chosen } = this.captions;
    if (names.length === 0) return [];
    return [
      { text: 'Off', on: chosen < 0, pick: () => this.captions.choose(-1) },
      ...names.map((text, i) => ({ text, on: chosen === i, pick: () => this.captions.choose(i) })),
    ];
  }

  private item(text: string, pick: () => void): HTMLButtonElement {
    const onclick = (): void => {
      this.close(true);
      pick();
    };
    return h('button', { type: 'button', role: 'menuitem', tabindex: -1, onclick }, text);
  }

  private items(): HTMLButtonElement[] {
    return [...this.panel.querySelectorAll('button')];
  }

  private key(e: KeyboardEvent): void {
    const items = this.items();
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    const to: Record<string, number> = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    };
    if (e.key === 'Escape' || e.key === 'Tab') this.close(e.key === 'Escape');
    const goal = to[e.key];
    if (goal === undefined) return;
    e.preventDefault();
    e.stopPropagation();
    items[goal]?.focus();
  }
}

function group(title: string, choices: Choice[]): HTMLElement {
  const items = choices.map(({ text, on, pick }) =>
    h(
      'button',
      {
        type: 'button',
        role: 'menuitemradio',
        'aria-checked': String(on),
        tabindex: -1,
        onclick: pick,
      },
      text,
    ),
  );
  return h(
    'div',
    { role: 'group', 'aria-label': title },
    h('p', { 'aria-hidden': 'true' }, title),
    ...items,
  );
}
