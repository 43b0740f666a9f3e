/** What the overview says, as tables, cards and plots: each part is made once and updated every second. */

import { attribute, byId, each, h, say } from './dom.js';
import { count, duration, named, rate, size } from './format.js';
import { map } from './map.js';
import { plot } from './plot.js';

/** @typedef {{ element: Element, update(item: any): void }} Part */

const PLOTS = [
  { name: 'Bitrate', text: rate, least: 100_000 },
  { name: 'Frames', text: (/** @type {number} */ v) => `${v.toFixed(1)} /s`, least: 10 },
  { name: 'Keyframes apart', text: (/** @type {number} */ v) => `${v.toFixed(2)} s`, least: 1 },
  { name: 'Jitter', text: (/** @type {number} */ v) => `${v.toFixed(v < 10 ? 1 : 0)} ms`, least: 20 },
];

/** @param {(stream: string) => void} kick asks first, then sends the publisher away */
export function view(kick) {
  const kept = {
    alarms: /** @type {Map<string, Part>} */ (new Map()),
    streams: /** @type {Map<string, Part>} */ (new Map()),
    recordings: /** @type {Map<string, Part>} */ (new Map()),
    jobs: /** @type {Map<string, Part>} */ (new Map()),
    edges: /** @type {Map<string, Part>} */ (new Map()),
    figures: /** @type {Map<string, Part>} */ (new Map()),
  };
  /** Pictures by stream, from elsewhere. */
  const cards = /** @type {Map<string, ReturnType<typeof streamCard>>} */ (new Map());
  return {
    cards,
    /** @param {any} o */
    update(o) {
      const key = (/** @type {any} */ item) => item.key;
      each(byId('figures'), kept.figures, figures(o), key, figure);
      each(byId('alarm-list'), kept.alarms, alarmsOf(o), key, alarm);
      each(byId('streams'), kept.streams, streamsOf(o), key, (item) => {
        if (item.nothing) return line();
        const card = streamCard(item.name, kick);
        cards.set(item.name, card);
        return card;
      });
      for (const name of cards.keys()) if (!kept.streams.has(`s:${name}`)) cards.delete(name);
      each(byId('recordings'), kept.recordings, recordingsOf(o), key, recording);
      each(byId('jobs'), kept.jobs, jobsOf(o), key, job);
      each(byId('edges'), kept.edges, edgesOf(o), key, line);
      for (const [id, list] of [
        ['h-jobs', o.transcoders],
        ['h-edges', o.edges],
      ])
        byId(id).parentElement.hidden = list.length === 0;
    },
  };
}

/** @param {any} o */
function figures(o) {
  const live = o.streams.filter((/** @type {any} */ s) => s.publisher);
  const incoming = live.reduce(
    (/** @type {number} */ sum, /** @type {any} */ s) => sum + s.publisher.health.bitrate_bps,
    0,
  );
  const viewers = o.edges.reduce(
    (/** @type {number} */ sum, /** @type {any} */ e) => sum + (e.report?.viewers ?? 0),
    0,
  );
  const errors = o.alarms.length;
  return [
    { key: 'live', name: 'live', value: String(live.length) },
    o.edges.length > 0
      ? { key: 'viewers', name: viewers === 1 ? 'viewer' : 'viewers', value: String(viewers) }
      : undefined,
    { key: 'in', name: 'coming in', value: rate(incoming) },
    { key: 'alarms', name: errors === 1 ? 'alarm' : 'alarms', value: String(errors), level: o.alarms[0]?.level },
  ].filter((one) => one !== undefined);
}

/** @returns {Part} */
function figure() {
  const [value, name] = [h('dd'), h('dt')];
  const element = h('div', {}, name, value);
  return {
    element,
    update(item) {
      say(value, item.value);
      say(name, item.name);
      attribute(element, 'data-level', item.level);
    },
  };
}

/** @param {any} o */
function alarmsOf(o) {
  if (o.alarms.length === 0) return [{ key: 'none', what: 'None.' }];
  const order = ['error', 'warning'];
  return o.alarms
    .map((/** @type {any} */ a) => ({ ...a, key: `${a.level} ${a.at} ${a.what.replace(/[\d.]+/g, '#')}` }))
    .sort((/** @type {any} */ a, /** @type {any} */ b) => order.indexOf(a.level) - order.indexOf(b.level));
}

/** @returns {Part} */
function alarm() {
  const [level, at, what, remedy] = [h('strong'), h('b'), h('span', { class: 'what' }), h('span', { class: 'remedy' })];
  const element = h('p', { class: 'alarm' }, level, at, what, remedy);
  return {
    element,
    update(item) {
      attribute(element, 'data-level', item.level ?? 'none');
      say(level, item.level === 'error' ? 'Error' : item.level ? 'Warning' : '');
      level.hidden = !item.level;
      say(at, item.at ?? '');
      at.hidden = !item.at;
      say(what, item.what);
      say(remedy, item.remedy ?? '');
    },
  };
}

/** @param {any} o */
function streamsOf(o) {
  if (o.streams.length === 0)
    return [
      { key: 'none', nothing: true, words: 'No stream yet. Point an encoder at this origin and it appears here.' },
    ];
  return o.streams.map((/** @type {any} */ s) => ({ ...s, key: `s:${s.name}`, player: o.player }));
}

/**
 * @param {string} name
 * @param {(stream: string) => void} kick
 */
export function streamCard(name, kick) {
  const badge = h('span', { class: 'badge' });
  const picture = map();
  const withHeat = h('input', { type: 'checkbox', checked: true });
  const facts = h('dl', { class: 'facts' });
  const rows = h('tbody');
  const rungs = h(
    'table',
    { class: 'rungs' },
    h('caption', { class: 'hidden' }, 'Rungs'),
    h('thead', {}, h('tr', {}, ...['Rung', 'Picture', 'At most', 'State'].map((t) => h('th', { scope: 'col' }, t)))),
    rows,
  );
  const plots = PLOTS.map(plot);
  const away = h('button', { type: 'button', class: 'danger' }, 'Send publisher away…');
  attribute(away, 'aria-label', `Send publisher away… (${name})`);
  away.addEventListener('click', () => kick(name));
  const watch = h('a', { class: 'watch', target: '_blank', rel: 'noopener' }, 'Watch');
  attribute(watch, 'aria-label', `Watch ${name} in the player`);
  const id = `h-s-${name}`;
  const element = h(
    'article',
    { class: 'stream', 'aria-labelledby': id },
    h('header', {}, h('h3', { id }, name), badge, h('span', { class: 'actions' }, watch, away)),
    h('div', { class: 'see' }, picture.element, h('label', {}, withHeat, 'Show where they look')),
    h('div', { class: 'know' }, facts, rungs),
    h(
      'div',
      { class: 'plots' },
      ...plots.map((one) => one.element),
      h('p', { class: 'axis' }, h('span', {}, '10 minutes ago'), h('span', {}, 'now')),
    ),
  );
  /** @type {any} */
  let shown;
  const draw = () => picture.update(shown.immersive, shown.audience, withHeat.checked);
  withHeat.addEventListener('change', draw);
  const keptFacts = /** @type {Map<string, Part>} */ (new Map());
  const keptRungs = /** @type {Map<string, Part>} */ (new Map());
  return {
    element,
    picture,
    /** @param {any} s */
    update(s) {
      shown = s;
      const state = s.publisher ? s.state : s.state === 'live' ? 'waiting' : s.state;
      say(
        badge,
        { live: 'Live', waiting: 'Waiting for its encoder', ended: 'Ended' }[/** @type {string} */ (state)] ?? state,
      );
      attribute(badge, 'data-state', state);
      away.disabled = !s.publisher;
      watch.hidden = !s.player;
      if (s.player) watch.href = `${s.player}?url=${encodeURIComponent(`/hls/${name}.m3u8`)}`;
      draw();
      withHeat.parentElement.hidden = !(s.audience?.viewers > 0);
      each(facts, keptFacts, factsOf(s), (item) => item.key, fact);
      const list = s.run?.rungs ?? [];
      rungs.hidden = list.length === 0;
      each(rows, keptRungs, list, (item) => item.name, rung);
      const limits = [undefined, s.tracks.video?.frame_rate, s.run?.target_duration, undefined];
      plots.forEach((one, i) => {
        one.update(
          s.samples.map((/** @type {number[] | null} */ sample) => sample?.[i]),
          limits[i],
        );
      });
    },
  };
}

/** @param {any} s */
function factsOf(s) {
  const { video, audio } = s.tracks;
  const { projection, stereo, orientation } = s.immersive;
  const turned = ['yaw', 'pitch', 'roll'].filter((angle) => orientation[angle] !== 0);
  const list = [
    [
      'From',
      s.publisher &&
        `${s.publisher.encoder || 'unnamed encoder'} at ${s.publisher.address}, since ${clock(s.publisher.since)}`,
    ],
    [
      'Video',
      video &&
        `${video.width} × ${video.height}${video.frame_rate ? `, ${round(video.frame_rate)} /s` : ''}, ${video.codec}`,
    ],
    ['Sound', audio && `${audio.sample_rate / 1000} kHz, ${count(audio.channels, 'channel')}, ${audio.codec}`],
    [
      'Shape',
      `${named(projection)}, ${named(stereo)}${turned.map((a) => `, ${a} ${round(orientation[a])}°`).join('')}`,
    ],
    ['Other origin', s.pairing && pairingWords(s.pairing)],
    ['Recording', s.run && (s.run.recording ? 'on' : 'off')],
    ['Window', s.run && `${size(s.run.window_bytes)} in memory`],
  ];
  return list.filter(([, words]) => words).map(([key, words]) => ({ key, words }));
}

/** @param {any} pairing */
function pairingWords(pairing) {
  const states = /** @type {Record<string, string>} */ ({
    locked: 'in step',
    holding: 'asking whether it carries this stream',
    alone: 'does not answer',
    apart: 'not in step',
  });
  const known = (/** @type {any} */ value) => value !== null && value !== undefined;
  const since = known(pairing.locked_seconds) ? ` for ${duration(pairing.locked_seconds)}` : '';
  const offset = known(pairing.offset_ms) ? `, ${pairing.offset_ms} ms apart` : '';
  const differing = pairing.disagreements > 0 ? `, ${count(pairing.disagreements, 'segment')} differed` : '';
  return `${states[pairing.state] ?? pairing.state}${since}${offset}${differing}`;
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2)).toString();
}

/** @param {string} rfc3339 */
function clock(rfc3339) {
  const at = new Date(rfc3339);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString(undefined, today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' });
}

/**
 * @param {any} item
 * @returns {Part}
 */
function fact(item) {
  const words = h('dd');
  return { element: h('div', {}, h('dt', {}, item.key), words), update: (now) => say(words, now.words) };
}

/** @returns {Part} */
function rung() {
  const cells = [h('th', { scope: 'row' }), h('td'), h('td'), h('td', { class: 'rung-state' })];
  const element = h('tr', {}, ...cells);
  return {
    element,
    update(r) {
      const sheds = r.sheds > 0 ? `, shed ${count(r.sheds, 'time')}` : '';
      const shape = r.projection ? `, ${r.projection}` : '';
      const words = [r.name, `${r.width} × ${r.height}${shape}`, rate(r.bitrate_max), `${r.state}${sheds}`];
      for (const [i, cell] of cells.entries()) say(cell, words[i] ?? '');
      attribute(element, 'data-state', r.state);
      attribute(element, 'title', r.reason ?? undefined);
    },
  };
}

/** @param {any} o */
function recordingsOf(o) {
  const list = o.recordings ?? [];
  if (list.length === 0)
    return [{ key: 'none', words: o.recordings === null ? 'This origin does not record.' : 'None: all are stored.' }];
  return list.map((/** @type {any} */ r) => ({
    key: r.key,
    name: r.stream,
    live: r.live,
    share: r.bytes > 0 ? r.confirmed_bytes / r.bytes : 0,
    words: `${size(r.confirmed_bytes)} of ${size(r.bytes)} stored${r.failing ? `; ${r.failing}` : ''}`,
  }));
}

/** @returns {Part} */
function recording() {
  return bar((item) => `${item.name}${item.live ? ' (live)' : ''}`);
}

/** @param {any} o */
function jobsOf(o) {
  const list = [];
  for (const { url, report, trouble } of o.transcoders) {
    if (!report) {
      list.push({ key: url, words: `${url}: ${trouble ?? 'asking'}` });
      continue;
    }
    const { jobs, queue } = report;
    for (const r of jobs.running) {
      const left = r.left_seconds === null ? '' : `, ${duration(r.left_seconds)} left`;
      list.push({
        key: `${url} ${r.asset} ${r.slice}`,
        name: r.asset,
        share: r.done,
        words: `slice ${r.slice + 1} of ${r.slices}, ${r.speed.toFixed(1)} × real time${left}`,
      });
    }
    const held = queue.error ?? `${queue.waiting} waiting, ${queue.held} under way, ${queue.dead} given up`;
    const done = `${count(jobs.assets_done, 'recording')} finished since it started`;
    list.push({ key: `${url} queue`, words: `Queue: ${held}. ${done}.` });
    for (const f of jobs.failures.slice(0, 3))
      list.push({ key: `${url} ${f.job} ${f.reason}`, words: `${f.job} failed: ${f.reason}`, bad: true });
  }
  return list;
}

/** @returns {Part} */
function job() {
  return bar((item) => item.name);
}

/**
 * A line with a name, a bar and words, or with words alone.
 * @param {(item: any) => string} nameOf
 * @returns {Part}
 */
function bar(nameOf) {
  const [name, words] = [h('b'), h('span')];
  const meter = h('progress', { max: '1' });
  const element = h('div', { class: 'bar' }, name, meter, words);
  return {
    element,
    update(item) {
      meter.hidden = item.share === undefined;
      name.hidden = item.share === undefined;
      if (item.share !== undefined) {
        meter.value = item.share;
        say(name, nameOf(item));
        attribute(meter, 'aria-label', `${nameOf(item)}, ${Math.round(item.share * 100)} %`);
      }
      say(words, item.words);
      attribute(element, 'data-bad', item.bad ? 'yes' : undefined);
    },
  };
}

/** @param {any} o */
function edgesOf(o) {
  return o.edges.map((/** @type {any} */ { url, report, trouble }) => {
    if (!report) return { key: url, name: url, words: trouble ?? 'asking', bad: trouble !== undefined };
    const up = report.origins.filter((/** @type {any} */ one) => one.up).length;
    const ready = report.readiness?.ready === false ? 'leaving; ' : '';
    return {
      key: url,
      name: url,
      words: `${ready}${count(report.viewers, 'viewer')}, ${size(report.cache.bytes)} cached, ${up} of ${count(report.origins.length, 'origin')} up`,
      bad: up === 0,
    };
  });
}

/** @returns {Part} */
function line() {
  const [name, words] = [h('b'), h('span')];
  const element = h('p', { class: 'line' }, name, words);
  return {
    element,
    update(item) {
      name.hidden = item.name === undefined;
      say(name, item.name ?? '');
      say(words, item.words);
      attribute(element, 'data-bad', item.bad ? 'yes' : undefined);
    },
  };
}
