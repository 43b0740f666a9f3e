// Glass to glass in Chromium: `node e2e/browser/glass.mjs [join watch shapes] [--seconds 600] [--out docs/images] [--normal]`.
//
// It starts `panocast up` with a 1280x640 test picture and two rungs and opens the real page: `join` measures how soon it
// shows a picture, `watch` reads the burnt-in blocks back from the texture the page draws (latency is the clock now minus
// the moment the picture was made), `shapes` looks at every projection and stereo layout. Without names: all three.
// Everything runs on one machine, so the rendering of WebGL in software is part of what is measured.

import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { decode } from './blocks.mjs';
import { joins } from './join.mjs';
import { launch, look, open, root } from './page.mjs';
import { startPanocast } from './panocast.mjs';
import { plot } from './plot.mjs';
import { shapes } from './shapes.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '600' },
    out: { type: 'string', default: path.join(root, 'docs/images') },
    normal: { type: 'boolean', default: false },
    profile: { type: 'string', default: 'release' },
  },
});
const SECONDS = Number(options.seconds);
const SAMPLE_MS = 250;
const mode = options.normal ? 'standard' : 'low-latency';
const wants = (part) => positionals.length === 0 || positionals.includes(part);
const settings = { lowLatency: !options.normal, profile: options.profile };

async function measure(page) {
  const samples = [];
  const until = Date.now() + SECONDS * 1000;
  while (Date.now() < until) {
    const seen = await look(page);
    const stamp = seen?.grid && decode(Array.from(seen.grid));
    if (stamp) samples.push({ at: seen.now, glass: (seen.now - stamp.unixMs) / 1000, ...seen, grid: undefined });
    await page.waitForTimeout(SAMPLE_MS);
  }
  return samples;
}

function report(samples) {
  const start = samples[0].at;
  const sorted = samples.map((sample) => sample.glass).sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const last = samples.at(-1);
  const marks = samples.filter((sample, index) => index > 0 && sample.stalls > samples[index - 1].stalls)
    .map((sample) => (sample.at - start) / 1000);
  const result = {
    mode, seconds: Math.round((last.at - start) / 1000), samples: samples.length,
    glass_to_glass_seconds: { median: at(0.5), p95: at(0.95), min: sorted[0], max: sorted.at(-1) },
    join_ms: Math.round(samples[0].joinMs), stalls: last.stalls, dropped_frames: last.dropped, total_frames: last.total,
  };
  mkdirSync(options.out, { recursive: true });
  const points = samples.map((sample) => [(sample.at - start) / 1000, sample.glass]);
  writeFileSync(path.join(options.out, `glass-${mode}.svg`), plot({
    title: `Glass to glass, ${mode}: median ${at(0.5).toFixed(2)} s, ${last.stalls} stalls`, x: 'seconds', y: 'seconds behind',
    series: [{ name: 'read from the texture', colour: '#06c', points }], marks,
  }));
  return result;
}

/** Writes what was found beside the plots and shows it. */
function tell(name, found) {
  mkdirSync(options.out, { recursive: true });
  writeFileSync(path.join(options.out, `${name}.json`), `${JSON.stringify(found, null, 2)}\n`);
  console.log(JSON.stringify({ [name]: found }, null, 2));
}

const folder = mkdtempSync(path.join(tmpdir(), 'panocast-glass-'));
const browser = await launch();
let panocast;
try {
  if (wants('join') || wants('watch')) panocast = await startPanocast(folder, settings);
  if (wants('join')) tell(`join-${mode}`, await joins(browser, panocast.base));
  if (wants('watch')) {
    const page = await open(browser, `${panocast.base}/?url=/hls/test.m3u8`);
    const samples = await measure(page);
    if (samples.length === 0) throw new Error('no picture with readable blocks was seen');
    tell(`glass-${mode}`, report(samples));
  }
  await panocast?.stop();
  panocast = undefined;
  if (wants('shapes')) {
    const found = await shapes(browser, folder, settings);
    const wrong = Object.entries(found).filter(([, list]) => list.length > 0);
    console.log(`shapes: ${Object.keys(found).length - wrong.length} of ${Object.keys(found).length} are right`);
    if (wrong.length > 0) throw new Error(`wrong shapes: ${JSON.stringify(Object.fromEntries(wrong), null, 2)}`);
  }
} finally {
  await browser.close();
  await panocast?.stop();
  rmSync(folder, { recursive: true, force: true });
}
