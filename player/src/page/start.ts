/** The start page: what is live now and what was recorded, as cards. */

import { date, sentences } from '../media/info.ts';
import { json } from '../media/probe.ts';
import { clock } from '../media/timing.ts';
import { watchLink } from '../route.ts';
import { h, say } from './dom.ts';

/** How often the list of live streams is asked for. */
const REFRESH_MS = 5000;

/** How old a live picture gets on the page. */
const LIVE_POSTER_MS = 30_000;

export interface Card {
  key: string;
  title: string;
  link: string;
  live: boolean;
  poster: string | undefined;
  startedAt: Date | undefined;
  seconds: number | undefined;
  shape: string | undefined;
  warnings: readonly string[];
}

type Row = Record<string, unknown>;

function rows(value: unknown): Row[] {
  return Array.isArray(value)
    ? value.filter((row): row is Row => typeof row === 'object' && row !== null)
    : [];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Cards from `/hls/index.json` or `/vod/index.json`; addresses in it are relative to `from`. */
export function cards(value: unknown, from: string, page: string): Card[] {
  const list: Card[] = [];
  for (const row of rows(value)) {
    const url = text(row['url']);
    const asset = text(row['asset']);
    const title = text(row['name']) ?? text(row['stream']) ?? asset;
    if (!url || !title) continue;
    let playlist: string;
    try {
      playlist = new URL(url, from).href;
    } catch {
      continue;
    }
    const info = (row['info'] ?? {}) as Row;
    const seconds = row['duration'];
    const live = asset === undefined;
    const poster =
      text(row['poster']) ?? text(info['poster']) ?? (live ? livePoster(playlist) : undefined);
    list.push({
      key: asset ?? title,
      title,
      link: watchLink(playlist, page),
      live,
      poster: poster === undefined ? undefined : new URL(poster, from).href,
      startedAt: date(row['started_at']),
      seconds: typeof seconds === 'number' ? seconds : undefined,
      shape: shapeOf(info),
      warnings: sentences(row['warnings'] ?? info['warnings']),
    });
  }
  return list;
}

/** Next to what describes the stream; asked for again each half minute, which the address says. */
function livePoster(playlist: string): string {
  const half = Math.floor(Date.now() / LIVE_POSTER_MS);
  return `${playlist.replace(/(\.spatial)?\.m3u8(\?.*)?$/, '')}/poster.jpg?${half}`;
}

function shapeOf(info: Row): string | undefined {
  const names: Row = {
    equirectangular: '360°',
    cubemap: '360°',
    eac: '360°',
    'dual-fisheye': '360°',
    'half-equirectangular': '180°',
  };
  const shape = text(names[text(info['projection']) ?? '']);
  const stereo = text(info['stereo']);
  return shape && stereo && stereo !== 'mono' ? `${shape} · 3D` : shape;
}

export function startPage(app: HTMLElement, problem?: string): void {
  const live = section('Live now', 'live');
  const recorded = section('Recordings', 'recorded');
  const empty = welcome();
  const news = h('p', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
  app.replaceChildren(
    h(
      'div',
      { class: 'start' },
      h('header', {}, h('h1', {}, 'Panocast'), h('p', {}, 'Live pictures to look around in.')),
      h(
        'main',
        {},
        problem
          ? h('p', { class: 'problem', role: 'alert' }, `Cannot play that: ${problem}.`)
          : undefined,
        news,
        live.element,
        recorded.element,
        empty,
      ),
    ),
  );
  const refresh = async (): Promise<void> => {
    const [streams, assets] = await Promise.all([list('hls/index.json'), list('vod/index.json')]);
    live.show(streams);
    recorded.show(assets);
    empty.hidden = streams.length + assets.length > 0;
    const n = streams.length;
    say(news, n === 0 ? 'Nothing is live.' : `${n} live ${n === 1 ? 'stream' : 'streams'}.`);
  };
  void refresh();
  const timer = setInterval(() => {
    if (!app.querySelector('.start')) clearInterval(timer);
    else if (!document.hidden) void refresh();
  }, REFRESH_MS);
}

/** Looks next to the page first, then at the root: the page may live below a prefix. */
async function list(path: string): Promise<Card[]> {
  const near = new URL(path, location.href);
  const far = new URL(`/${path}`, location.href);
  for (const from of near.href === far.href ? [near] : [near, far]) {
    const value = await json(from.href);
    if (value !== undefined) {
      const list = await Promise.all(rows(value).map((row) => described(row, from.href)));
      return cards(list, from.href, location.href);
    }
  }
  return [];
}

/** A row with its `info` in place of the address where that is to be had. */
async function described(row: Row, from: string): Promise<Row> {
  const address = text(row['info']);
  if (address === undefined) return row;
  const info = await json(new URL(address, from).href);
  return { ...row, info: typeof info === 'object' && info !== null ? info : {} };
}

function section(title: string, kind: string): { element: HTMLElement; show(list: Card[]): void } {
  const grid = h('ul', { class: 'cards' });
  const element = h(
    'section',
    { 'aria-labelledby': `h-${kind}`, class: kind, hidden: true },
    h('h2', { id: `h-${kind}` }, title),
    grid,
  );
  let shown = '';
  return {
    element,
    show(list) {
      element.hidden = list.length === 0;
      const now = JSON.stringify(list);
      // Rebuilding would take the focus away from a card.
      if (now === shown) return;
      shown = now;
      grid.replaceChildren(...list.map(card));
    },
  };
}

function card(c: Card): HTMLElement {
  const when = c.startedAt?.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  const poster = h('div', { class: 'poster', style: `--hue: ${hue(c.title)}` }, globe());
  if (c.poster) {
    const image = h('img', { src: c.poster, alt: '', loading: 'lazy', decoding: 'async' });
    image.addEventListener('error', () => image.remove());
    poster.append(image);
  }
  if (c.live) poster.append(h('span', { class: 'badge' }, 'Live'));
  if (c.seconds !== undefined) poster.append(h('span', { class: 'length' }, clock(c.seconds)));
  const about = [c.shape, when && (c.live ? `since ${when}` : when)].filter(Boolean).join(' · ');
  return h(
    'li',
    {},
    h(
      'a',
      { href: c.link, class: 'card' },
      poster,
      h('h3', {}, c.title),
      h('p', {}, about),
      ...c.warnings.slice(0, 1).map((text) => h('p', { class: 'warning' }, text)),
    ),
  );
}

/** A colour of its own for each name, from teal to violet. */
function hue(name: string): number {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 997;
  return 165 + (sum % 120);
}

/** Lines of latitude and longitude, for what has no poster. */
function globe(): HTMLElement {
  const holder = h('div', { class: 'globe', 'aria-hidden': 'true' });
  const rings = [14, 42, 70].map((ry) => `<ellipse cx="80" cy="45" rx="70" ry="${ry * 0.55}"/>`);
  const arcs = [16, 38, 58, 70].map((rx) => `<ellipse cx="80" cy="45" rx="${rx}" ry="38.5"/>`);
  holder.innerHTML = `<svg viewBox="0 0 160 90">${rings.join('')}${arcs.join('')}</svg>`;
  return holder;
}

function welcome(): HTMLElement {
  const host = location.hostname || 'localhost';
  return h(
    'section',
    { class: 'welcome', hidden: true },
    h('h2', {}, 'Nothing to watch yet'),
    h('p', {}, 'Publish a stream and it appears here by itself. In OBS, choose a custom service:'),
    h(
      'dl',
      {},
      h('dt', {}, 'Server'),
      h('dd', {}, h('code', {}, `rtmp://${host}/live`)),
      h('dt', {}, 'Stream key'),
      h('dd', {}, h('code', {}, 'test')),
    ),
  );
}
