// Projections per bit: `node bench/projections.mjs [--width 1920] [--out docs/images]`, or `make projections`.
//
// Makes two 3840x1920 sources, one with detail everywhere and one with little around the poles
// (crates/encode/examples/sphere_source.rs), encodes them in each projection at several bitrates with Panocast's own
// ladder, measures WS-PSNR (crates/encode/examples/sphere_psnr.rs), plots it, and writes projections.json: the curves, and
// the mean horizontal distance of two of them over the qualities that both reach, bitrate on a logarithmic scale.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { plot } from '../e2e/browser/plot.mjs';

const root = path.resolve(import.meta.dirname, '..');
const { values: options } = parseArgs({
  options: {
    width: { type: 'string', default: '1920' },
    out: { type: 'string', default: path.join(root, 'docs/images') },
  },
});
const target = process.env.CARGO_TARGET_DIR ?? path.join(homedir(), '.cache/panocast/target');
const cache = process.env.PANOCAST_BENCH_CACHE ?? path.join(homedir(), '.cache/panocast/bench');
const examples = path.join(target, 'release/examples');
const FRAMES = 90;
/** Around the default for a width of 1920. */
const KILOBITS = [1500, 2900, 5800, 11600];
const KINDS = { even: 'detail everywhere', quiet: 'little detail around the poles' };
const NAMES = { equirectangular: 'equirectangular', cubemap: 'cubemap', eac: 'equi-angular cubemap' };
const COLOURS = { equirectangular: '#c33', cubemap: '#b80', eac: '#06c' };

/** A source, made once. 3 s with a keyframe each 1.5 s; nearly lossless, so that its own coding is no part of the result. */
function source(kind) {
  const file = path.join(cache, `sphere-${kind}.mp4`);
  if (existsSync(file)) return file;
  console.log(`making the ${kind} 4K source (once)`);
  mkdirSync(cache, { recursive: true });
  const generate = `'${examples}/sphere_source' 3840 ${FRAMES} ${kind}`;
  const encode = 'ffmpeg -v error -y -f rawvideo -pixel_format gray -video_size 3840x1920 -framerate 30 -i - -pix_fmt yuv420p ' +
    `-c:v libx264 -preset veryfast -crf 12 -g 45 -keyint_min 45 -sc_threshold 0 -f mp4 '${file}.part'`;
  execFileSync('bash', ['-o', 'pipefail', '-c', `${generate} | ${encode}`], { stdio: ['ignore', 'inherit', 'inherit'] });
  renameSync(`${file}.part`, file);
  return file;
}

/** The rungs of one source in one projection. */
function measure(kind, projection, folder) {
  const program = path.join(examples, 'sphere_psnr');
  const words = [source(kind), folder, options.width, projection, ...KILOBITS.map(String)];
  const run = spawnSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  if (run.status !== 0) throw new Error(`${program} failed: run make projections, which builds it`);
  return run.stdout.trim().split('\n').map((line) => JSON.parse(line));
}

/** The logarithm of the bitrate at which a curve reaches `quality`, between its points. */
function rateAt(curve, quality) {
  const i = curve.findIndex(({ ws_psnr }) => ws_psnr >= quality);
  const [a, b] = [curve[Math.max(0, i - 1)], curve[Math.max(1, i)]];
  const share = (quality - a.ws_psnr) / (b.ws_psnr - a.ws_psnr);
  return Math.log(a.kbps) + share * (Math.log(b.kbps) - Math.log(a.kbps));
}

/** How many bits more or less `curve` needs than `against`, in percent. */
function difference(curve, against) {
  const from = Math.max(curve[0].ws_psnr, against[0].ws_psnr);
  const to = Math.min(curve.at(-1).ws_psnr, against.at(-1).ws_psnr);
  const steps = Array.from({ length: 50 }, (_, i) => from + ((i + 0.5) / 50) * (to - from));
  const mean = steps.reduce((sum, q) => sum + rateAt(curve, q) - rateAt(against, q), 0) / steps.length;
  return (Math.exp(mean) - 1) * 100;
}

/** Measures one source, plots it, and says how the others compare with equirectangular. */
function compare(kind, folder) {
  const curves = Object.fromEntries(Object.keys(NAMES).map((name) => [name, measure(kind, name, folder)]));
  const series = Object.entries(curves).map(([name, curve]) => ({
    name: `${NAMES[name]} ${curve[0].width} × ${curve[0].height}`,
    colour: COLOURS[name],
    points: curve.map(({ kbps, ws_psnr }) => [kbps / 1000, ws_psnr]),
  }));
  const bottom = Math.floor(Math.min(...Object.values(curves).flat().map(({ ws_psnr }) => ws_psnr)));
  const title = `Quality on the sphere per bit: ${KINDS[kind]}`;
  writeFileSync(path.join(options.out, `projections-${kind}.svg`), plot({ title, x: 'Mb/s', y: 'WS-PSNR, dB', bottom, series }));
  const more = (name) => Number(difference(curves[name], curves.equirectangular).toFixed(1));
  return { curves, bits_against_equirectangular_percent: { cubemap: more('cubemap'), eac: more('eac') } };
}

const folder = mkdtempSync(path.join(tmpdir(), 'panocast-projections-'));
try {
  const kinds = Object.keys(KINDS).map((kind) => [kind, compare(kind, folder)]);
  const found = `${JSON.stringify(Object.fromEntries(kinds), null, 2)}\n`;
  writeFileSync(path.join(options.out, 'projections.json'), found);
  console.log(found);
} finally {
  rmSync(folder, { recursive: true });
}
