/** Elements, and changing them only where something changed: focus and selection stay where they are. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {string} name
 * @param {Record<string, string | boolean | undefined>} [attributes]
 * @param {...(Node | string | undefined)} children
 * @returns {any}
 */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/**
 * @param {string} name
 * @param {Record<string, string | boolean | undefined>} [attributes]
 * @param {...(Node | string | undefined)} children
 * @returns {any}
 */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/**
 * @param {Element} element
 * @param {Record<string, string | boolean | undefined>} attributes
 * @param {(Node | string | undefined)[]} children
 */
function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) attribute(element, key, value);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/**
 * @param {Element} element
 * @param {string} key
 * @param {string | boolean | undefined} value
 */
export function attribute(element, key, value) {
  if (value === undefined || value === false) {
    if (element.hasAttribute(key)) element.removeAttribute(key);
    return;
  }
  const text = value === true ? '' : value;
  if (element.getAttribute(key) !== text) element.setAttribute(key, text);
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Keeps one child of `parent` for each item, made once and updated after, in the items' order.
 * @template T
 * @param {Element} parent
 * @param {Map<string, { element: Element, update(item: T): void }>} kept
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => { element: Element, update(item: T): void }} make
 */
export function each(parent, kept, items, keyOf, make) {
  const wanted = new Set(items.map(keyOf));
  for (const [key, { element }] of kept) {
    if (wanted.has(key)) continue;
    element.remove();
    kept.delete(key);
  }
  items.forEach((item, place) => {
    const key = keyOf(item);
    const child = kept.get(key) ?? make(item);
    kept.set(key, child);
    if (parent.children[place] !== child.element) parent.insertBefore(child.element, parent.children[place] ?? null);
    child.update(item);
  });
}
