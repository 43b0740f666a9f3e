/** Ten minutes of one figure as a line, with the value now beside its name; the pointer asks for earlier ones. */

import { attribute, h, say, svg } from './dom.js';
import { duration } from './format.js';

/** As many seconds as the origin keeps. */
export const SPAN = 600;
const [WIDTH, HEIGHT] = [300, 64];

/**
 * @typedef {object} Look
 * @property {string} name
 * @property {(value: number) => string} text
 * @property {number} least what the top of the plot shows at least
 */

/** @param {Look} look */
export function plot(look) {
  const value = h('span', { class: 'value' }, '–');
  const line = svg('path', { class: 'line' });
  const area = svg('path', { class: 'area' });
  const bound = svg('line', { class: 'bound', x1: '0', x2: String(WIDTH), visibility: 'hidden' });
  const cursor = svg('line', { class: 'cursor', y1: '0', y2: String(HEIGHT), visibility: 'hidden' });
  const picture = svg(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
    area,
    bound,
    line,
    cursor,
  );
  const top = h('span', { class: 'scale', 'aria-hidden': 'true' });
  const element = h(
    'figure',
    { class: 'plot' },
    h('figcaption', {}, h('span', {}, look.name), value),
    h('div', { class: 'canvas' }, picture, top),
  );
  /** @type {(number | undefined)[]} */
  let shown = [];
  /** @type {number | undefined} */
  let asked;
  const tell = () => {
    const at = asked === undefined ? shown.length - 1 : asked;
    const seen = shown[at];
    const ago = shown.length - 1 - at;
    const when = asked === undefined ? '' : ` · ${duration(ago)} ago`;
    say(value, seen === undefined ? `–${when}` : look.text(seen) + when);
    const x = String(xOf(at, shown.length));
    attribute(cursor, 'visibility', asked === undefined ? 'hidden' : 'visible');
    attribute(cursor, 'x1', x);
    attribute(cursor, 'x2', x);
  };
  picture.addEventListener('pointermove', (/** @type {PointerEvent} */ event) => {
    const box = picture.getBoundingClientRect();
    const back = Math.round((1 - (event.clientX - box.left) / box.width) * SPAN);
    const at = shown.length - 1 - back;
    asked = at >= 0 && at < shown.length ? at : undefined;
    tell();
  });
  picture.addEventListener('pointerleave', () => {
    asked = undefined;
    tell();
  });
  return {
    element,
    /**
     * @param {(number | undefined)[]} values one a second, the last one now
     * @param {number | null | undefined} limit drawn as a dashed line
     */
    update(values, limit) {
      shown = values;
      const known = values.filter((v) => v !== undefined);
      const most = ceiling(Math.max(look.least, limit ?? 0, ...known) * 1.25);
      const y = (/** @type {number} */ v) => HEIGHT - (v / most) * HEIGHT;
      const { outline, filled } = paths(values, y);
      attribute(line, 'd', outline);
      attribute(area, 'd', filled);
      attribute(bound, 'visibility', limit ? 'visible' : 'hidden');
      attribute(bound, 'y1', String(y(limit ?? 0)));
      attribute(bound, 'y2', String(y(limit ?? 0)));
      say(top, look.text(most));
      attribute(picture, 'aria-label', summary(look, values, known));
      tell();
    },
  };
}

/**
 * The next number that people read easily: the scale then keeps still while the figure moves.
 * @param {number} value above 0
 */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8].find((one) => one * power >= value);
  return (step ?? 10) * power;
}

/**
 * @param {number} at
 * @param {number} length
 */
function xOf(at, length) {
  return WIDTH - ((length - 1 - at) / SPAN) * WIDTH;
}

/**
 * One stroke for each stretch without a hole.
 * @param {(number | undefined)[]} values
 * @param {(value: number) => number} y
 */
export function paths(values, y) {
  let [outline, filled] = ['', ''];
  /** @type {string[]} */
  let stretch = [];
  let start = 0;
  const end = (/** @type {number} */ at) => {
    if (stretch.length === 0) return;
    outline += `M${stretch.join('L')}`;
    const [from, to] = [xOf(start, values.length), xOf(at - 1, values.length)];
    filled += `M${from.toFixed(1)} ${HEIGHT}L${stretch.join('L')}L${to.toFixed(1)} ${HEIGHT}Z`;
    stretch = [];
  };
  values.forEach((value, at) => {
    if (value === undefined) {
      end(at);
      return;
    }
    if (stretch.length === 0) start = at;
    stretch.push(`${xOf(at, values.length).toFixed(1)} ${y(value).toFixed(1)}`);
  });
  end(values.length);
  return { outline, filled };
}

/**
 * @param {Look} look
 * @param {(number | undefined)[]} values
 * @param {number[]} known
 */
function summary(look, values, known) {
  const now = values.at(-1);
  if (known.length === 0) return `${look.name}: nothing yet`;
  const [least, most] = [Math.min(...known), Math.max(...known)].map(look.text);
  const words = now === undefined ? 'nothing now' : look.text(now);
  return `${look.name}: ${words}; in ${duration(values.length)} between ${least} and ${most}`;
}
