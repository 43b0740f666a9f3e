// Watches a live stream for long and sees whether the page holds more and more: `node test/steady.mjs [--minutes 10]`.
// Every quarter of a minute it looks around and now and then changes the rung, collects garbage and counts. It fails
// when the last third holds more than the first after the warm-up; the plot goes to --out (docs/images/steady.svg).
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { plot } from '../../e2e/browser/plot.mjs';
import { openBare } from './lib/bare.mjs';
import { publish } from './lib/live.mjs';
import { held } from './lib/memory.mjs';
import { serve } from './lib/server.mjs';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    out: {
      type: 'string',
      default: new URL('../../docs/images/steady.svg', import.meta.url).pathname,
    },
  },
});
const EVERY_MS = 15_000;
/** Caches fill, code is compiled, the window reaches its length. */
const WARM_UP_MS = 60_000;
/** Between medians of thirds: what collections leave over varies by about this. */
const GROWTH_MAX = { heap: 2 * 2 ** 20, process: 30 * 2 ** 20 };
const MIB = 2 ** 20;

/**
 * Memory of the browser's processes without what is mapped from files: the program's own pages count for more as soon as
 * another browser on this machine, with which they were shared, ends.
 */
function processes(root) {
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      parents.set(Number(pid), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // Ended meanwhile.
    }
  }
  const ours = (pid) => pid === root || (parents.has(pid) && ours(parents.get(pid)));
  // Not this program, which serves the stream and notes each request, nor the encoder.
  const browsers = (pid) => /^chrom/.test(readFileSync(`/proc/${pid}/comm`, 'utf8'));
  return [...parents.keys()].filter(ours).reduce((sum, pid) => {
    try {
      if (!browsers(pid)) return sum;
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0);
      return sum + (kib('Pss_Anon') + kib('Pss_Shmem')) * 1024;
    } catch {
      return sum;
    }
  }, 0);
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Runs in the page: the rung of that width, by the menu. */
function chooseRung(width) {
  const button = () => document.querySelector('button[aria-label="Settings"]');
  if (button().getAttribute('aria-expanded') !== 'true') button().click();
  const rungs = [...document.querySelectorAll('[role="menuitemradio"]')];
  rungs.find((item) => item.textContent.startsWith(`${width} `)).click();
  if (button().getAttribute('aria-expanded') === 'true') button().click();
}

/** Runs in the page: it plays, and the sphere shows a picture, within so many milliseconds. */
function plays(limit) {
  return new Promise((resolve, reject) => {
    const look = () => {
      const { panocast } = window;
      if (panocast?.state === 'playing' && panocast.readPixels(0.5, 0.5)[3] === 255) resolve();
      else if (performance.now() > limit)
        reject(new Error(`it ${panocast?.state} after ${limit} ms`));
      else setTimeout(look, 100);
    };
    look();
  });
}

async function watch(page) {
  const samples = [];
  const started = Date.now();
  const until = started + WARM_UP_MS + Number(options.minutes) * 60_000;
  for (let turn = 0; Date.now() < until; turn++) {
    await sleep(EVERY_MS);
    await page.evaluate(
      (yaw) => {
        location.hash = `yaw=${yaw}`;
      },
      ((turn * 70) % 360) - 180,
    );
    if (turn % 4 === 3) await page.evaluate(chooseRung, turn % 8 === 3 ? 320 : 640);
    const { state, stalls } = await page.evaluate(() => ({
      state: panocast.state,
      stalls: panocast.stalls,
    }));
    samples.push({
      at: Date.now() - started,
      state,
      stalls,
      ...(await held(page)),
      process: processes(process.pid),
    });
  }
  return samples.filter(({ at }) => at > WARM_UP_MS);
}

function judge(samples) {
  const third = Math.floor(samples.length / 3);
  const [first, last] = [samples.slice(0, third), samples.slice(-third)];
  const result = {
    minutes: Number(options.minutes),
    samples: samples.length,
    stalls: samples.at(-1).stalls,
  };
  const wrong = [];
  for (const what of ['heap', 'process']) {
    const [before, after] = [first, last].map((list) => median(list.map((one) => one[what])));
    result[`${what}_mib`] = [before, after].map((bytes) => Number((bytes / MIB).toFixed(1)));
    if (after - before > GROWTH_MAX[what]) wrong.push(`${what} grew`);
  }
  for (const what of ['nodes', 'listeners', 'textures', 'geometries', 'programs']) {
    const [before, after] = [first, last].map((list) => Math.max(...list.map((one) => one[what])));
    result[what] = [before, after];
    if (after > before * 1.1) wrong.push(`${what} grew`);
  }
  if (samples.at(-1).state !== 'playing') wrong.push(`it ${samples.at(-1).state}`);
  return { result, wrong };
}

const media = join(tmpdir(), `panocast-steady-${process.pid}`);
const server = await serve(new URL('../dist', import.meta.url).pathname, media);
const stream = publish(`${media}/hls`, 'test');
const page = await openBare(`${server.url}/?url=/hls/test/index.m3u8`);
try {
  await page.evaluate(plays, 60_000);
  const samples = await watch(page);
  const { result, wrong } = judge(samples);
  const line = (name, colour, what) => ({
    name,
    colour,
    points: samples.map((one) => [one.at / 60_000, one[what] / MIB]),
  });
  const series = [
    line('script heap after a collection', '#06c', 'heap'),
    line('all processes of the browser', '#c33', 'process'),
  ];
  writeFileSync(
    options.out,
    plot({ title: 'Memory while watching', x: 'minutes', y: 'MiB', series }),
  );
  console.log(JSON.stringify(result, null, 2));
  if (wrong.length > 0) throw new Error(wrong.join(', '));
} finally {
  await page.close();
  await stream.stop();
  stream.wipe();
  server.close();
}
