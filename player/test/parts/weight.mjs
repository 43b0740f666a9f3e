// What the page weighs, how soon it shows a picture, and that watching for longer holds no more.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { newPage, playing } from '../lib/browser.mjs';
import { publish } from '../lib/live.mjs';
import { held } from '../lib/memory.mjs';

/** A-Frame is 390 KiB of it; the rest is for the player and hls.js. */
const PACKED_KIB_MAX = 600;
/** Requests until the first picture: page, style, scripts, playlists, init segments, first media. */
const REQUESTS_MAX = 24;
/** Media that hls.js keeps notes of, and what a collection leaves over. */
const HEAP_MIB_MAX = 3;
/** Of requests under way; one left over in each round would be more. */
const LISTENERS_MAX = 6;
const ROUNDS = 7;

const kib = (bytes) => Math.round(bytes / 1024);

export async function weight({ browser, server, media, check }) {
  const page = await newPage(browser);
  await check('the page is light and needs few requests', async () => {
    const from = server.state.requests.length;
    await page.goto(`${server.url}/?url=/vod/equirectangular-mono/index.m3u8`);
    await playing(page);
    const asked = server.state.requests.slice(from);
    const assets = new URL('../../dist/assets/', import.meta.url).pathname;
    const files = readdirSync(assets).filter((name) => asked.includes(`/assets/${name}`));
    const packed = files.reduce(
      (sum, name) => sum + gzipSync(readFileSync(assets + name), { level: 9 }).length,
      0,
    );
    const join = await page.evaluate(() => panocast.joinMs);
    console.log(
      `      ${kib(packed)} KiB packed in ${files.length} files, ${asked.length} requests, first picture after ${Math.round(join)} ms`,
    );
    assert.ok(kib(packed) <= PACKED_KIB_MAX, `${kib(packed)} KiB`);
    assert.ok(asked.length <= REQUESTS_MAX, `${asked.length} requests:\n${asked.join('\n')}`);
  });
  await check('holds no more after watching, switching and looking around', async () => {
    const stream = publish(`${media}/hls`, 'steady');
    try {
      await page.goto(`${server.url}/?url=/hls/steady/index.m3u8`);
      await playing(page, 30_000);
      const switchTo = async (level) => {
        await page.getByRole('button', { name: 'Settings' }).click();
        await page.getByRole('menuitemradio', { name: new RegExp(`^${level} `) }).click();
        await page.keyboard.press('Escape');
        await page.waitForFunction((w) => panocast.videoSize[0] === w, level, { timeout: 20_000 });
      };
      const round = async () => {
        for (const level of [320, 640]) await switchTo(level);
        for (const yaw of [90, 180, -90, 0])
          await page.evaluate((y) => {
            location.hash = `yaw=${y}`;
          }, yaw);
      };
      await round();
      // The window is full and slides from here on.
      await page.waitForFunction(
        () => panocast.snapshot.span.end - panocast.snapshot.span.start > 7,
      );
      const session = await page.context().newCDPSession(page);
      const devtools = {
        send: (method) => session.send(method),
        evaluate: (code) => page.evaluate(code),
      };
      const before = await held(devtools);
      for (let i = 0; i < ROUNDS; i++) await round();
      const after = await held(devtools);
      for (const what of ['textures', 'geometries', 'programs'])
        assert.ok(after[what] <= before[what], `${what}: ${before[what]}, then ${after[what]}`);
      const listeners = after.listeners - before.listeners;
      assert.ok(listeners <= LISTENERS_MAX, `${listeners} more listeners`);
      const grown = (after.heap - before.heap) / 2 ** 20;
      assert.ok(grown < HEAP_MIB_MAX, `the heap grew by ${grown.toFixed(1)} MiB`);
      assert.deepEqual(page.problems, []);
    } finally {
      await stream.stop();
    }
  });
  await page.context().close();
}
