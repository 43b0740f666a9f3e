/** The little that the page needs to make elements. */

type Attributes = Record<string, string | number | boolean | undefined | ((e: Event) => void)>;

/** Makes an element; a function under `onclick` and the like listens, `false` and `undefined` leave an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string | undefined)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.replace(/^on/, ''), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

const PATHS = {
  play: 'M8 5.5v13l11-6.5z',
  pause: 'M7 5h3.5v14H7zM13.5 5H17v14h-3.5z',
  again: 'M12 5a7 7 0 1 1-6.6 4.7|M5 4v6h6',
  sound: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z|M15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11',
  muted: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z|M16 9.5l5 5M21 9.5l-5 5',
  full: '|M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  unfull: '|M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5',
  headset: '|M3 8.5h18v8h-5.5l-2-3h-3l-2 3H3z',
  motion: '|M8 3.5h8v17H8zM4.5 8a6 6 0 0 0 0 8M19.5 8a6 6 0 0 1 0 8',
  settings: '|M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5',
  share: '|M12 15V4M8 7.5L12 3.5l4 4M5 12.5v7h14v-7',
  stats: '|M4 20V4M4 20h16M8 16l4-5 3 3 5-7',
  help: '|M9 9.5a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.1-1.5 2.4M12 18v.5',
  back: '|M14.5 5.5L8 12l6.5 6.5',
  close: '|M6 6l12 12M18 6L6 18',
  captions: '|M3.5 5.5h17v13h-17zM10 10.5a2 2 0 1 0 0 3M17 10.5a2 2 0 1 0 0 3',
} as const;
export type IconName = keyof typeof PATHS;

/** A 24 × 24 picture: what stands before `|` is filled, what follows is drawn as a line. */
export function icon(name: IconName): SVGSVGElement {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const [fill, line] =
    name === 'again' ? ['', PATHS[name].replace('|', '')] : PATHS[name].split('|');
  for (const [shape, kind] of [
    [fill, 'fill'],
    [line, 'line'],
  ] as const) {
    if (!shape) continue;
    const path = document.createElementNS(space, 'path');
    path.setAttribute('d', shape);
    path.setAttribute('class', kind);
    svg.append(path);
  }
  return svg;
}

/** A button that is only a picture; its name is spoken and shown on hover. */
export function iconButton(
  name: IconName,
  label: string,
  onclick: () => void,
  extra: Attributes = {},
): HTMLButtonElement {
  return h(
    'button',
    { type: 'button', class: 'icon', 'aria-label': label, title: label, onclick, ...extra },
    icon(name),
  );
}

/** Changes a button's picture and name, only when they differ, so that a screen reader is not disturbed. */
export function relabel(button: HTMLButtonElement, name: IconName, label: string): void {
  if (button.getAttribute('aria-label') === label) return;
  button.setAttribute('aria-label', label);
  button.title = label;
  button.replaceChildren(icon(name));
}

/** Sets text only when it differs: a live region speaks each change. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
