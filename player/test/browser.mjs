// The built page in Chromium: pixels of every projection and layout, life of a live stream, accessibility, headset.
// `node test/browser.mjs [pixels|seams|live|vod|weight|access|headset|operator …]` runs some of it; SHOTS=folder keeps screenshots.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch } from './lib/browser.mjs';
import { makePatterns } from './lib/pattern.mjs';
import { serve } from './lib/server.mjs';
import { access } from './parts/access.mjs';
import { headset } from './parts/headset.mjs';
import { live } from './parts/live.mjs';
import { operator } from './parts/operator.mjs';
import { pixels } from './parts/pixels.mjs';
import { seams } from './parts/seams.mjs';
import { vod } from './parts/vod.mjs';
import { weight } from './parts/weight.mjs';

const parts = { pixels, seams, live, vod, weight, access, headset, operator };
const wanted = process.argv.slice(2);
// Patterns are made once per machine and version of what makes them; live streams are made anew.
const makers = ['pattern', 'smooth'].map((name) =>
  readFileSync(new URL(`lib/${name}.mjs`, import.meta.url)),
);
const version = createHash('sha256').update(Buffer.concat(makers)).digest('hex').slice(0, 8);
const media =
  process.env.PLAYER_TEST_MEDIA ??
  join(tmpdir(), `panocast-player-test-${process.getuid?.() ?? 0}-${version}`);
const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });
rmSync(`${media}/hls`, { recursive: true, force: true });
makePatterns(`${media}/vod`);

const server = await serve(new URL('../dist', import.meta.url).pathname, media);
const browser = await launch();
let failed = 0;
for (const [name, part] of Object.entries(parts)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const check = async (what, run) => {
    const started = performance.now();
    try {
      await run();
      console.log(
        `ok    ${name}: ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
      );
    } catch (error) {
      failed += 1;
      console.log(
        `FAIL  ${name}: ${what}\n      ${String(error.stack ?? error).replaceAll('\n', '\n      ')}`,
      );
    }
  };
  await part({ browser, server, media, check, shots });
}
await browser.close();
server.close();
console.log(failed === 0 ? 'all of the page passed' : `${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
