// Glass to glass in Chromium: `node e2e/browser/glass.mjs [--seconds 600] [--out docs/images] [--normal]`.
//
// It starts `panocast up` with a 1280x640 test picture and two rungs, opens the real page, and reads the burnt-in
// blocks back from the texture the page draws: latency is the clock now minus the moment the picture was made.
// Everything runs on one machine, so the rendering of WebGL in software is part of what is measured.

import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { decode } from './blocks.mjs';
import { launch, look, open, root } from './page.mjs';
import { plot } from './plot.mjs';

const { values: options } = parseArgs({
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

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

async function startPanocast(folder) {
  const [rtmp, http, admin, edge, edgeAdmin, workerAdmin] = await Promise.all(Array.from({ length: 6 }, freePort));
  const config = path.join(folder, 'panocast.toml');
  writeFileSync(config, `
[log]
level = "warn"
[origin]
rtmp_listen = "127.0.0.1:${rtmp}"
http_listen = "127.0.0.1:${http}"
admin_listen = "127.0.0.1:${admin}"
record = false
[origin.hls]
low_latency = ${mode === 'low-latency'}
[edge]
listen = "127.0.0.1:${edge}"
admin_listen = "127.0.0.1:${edgeAdmin}"
player = "${path.join(root, 'player/dist')}"
[transcoder]
admin_listen = "127.0.0.1:${workerAdmin}"
[test-source]
width = 1280
`);
  const target = process.env.CARGO_TARGET_DIR ?? path.join(homedir(), '.cache/panocast/target');
  const child = spawn(path.join(target, options.profile, 'panocast'), ['up', '--config', config], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const base = `http://127.0.0.1:${edge}`;
  for (let tries = 0; ; tries += 1) {
    const ready = await fetch(`${base}/hls/test.m3u8`).then((answer) => answer.ok, () => false);
    if (ready) return { child, base };
    if (tries > 240 || child.exitCode !== null) throw new Error('panocast up did not get to a first picture');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

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
  writeFileSync(path.join(options.out, `glass-${mode}.json`), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

const folder = mkdtempSync(path.join(tmpdir(), 'panocast-glass-'));
let panocast;
let browser;
try {
  panocast = await startPanocast(folder);
  browser = await launch();
  const page = await open(browser, `${panocast.base}/?url=/hls/test.m3u8`);
  const samples = await measure(page);
  if (samples.length === 0) throw new Error('no picture with readable blocks was seen');
  console.log(JSON.stringify(report(samples), null, 2));
  await page.setViewportSize({ width: 960, height: 540 });
  await page.screenshot({ path: path.join(folder, 'last.png'), timeout: 60_000 });
} finally {
  await browser?.close();
  panocast?.child.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
}
