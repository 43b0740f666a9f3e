// Plays a finished recording as people do: `node vod.mjs BASE ASSET`, such as `http://127.0.0.1:8080 stage-17-k3f9`.
//
// First in our own page, found in its list: plays, seeks, shows thumbnails, ends. Then in Shaka Player, which shares no
// code with hls.js: every rung in turn while it plays, a seek, the end. Prints one line of JSON; ends with 1 and the
// reason when anything is not as it should be.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
const { chromium } = createRequire(path.join(root, 'player/'))('playwright-core');
const shaka = createRequire(import.meta.url).resolve('shaka-player');
const [base, asset] = process.argv.slice(2);
const playlist = `${base}/vod/${asset}/index.m3u8`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless=new', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
    '--autoplay-policy=no-user-gesture-required'],
});

/** A page that remembers what went wrong. Of addresses only the asset's count: a page may ask for what is not there. */
async function newPage() {
  const page = await browser.newPage({ viewport: { width: 640, height: 400 } });
  const problems = [];
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('response', (response) => {
    if (response.url().includes(`/vod/${asset}/`) && response.status() >= 400) problems.push(`${response.status()} ${response.url()}`);
  });
  return { page, problems };
}

async function ourPage() {
  const { page, problems } = await newPage();
  await page.goto(base);
  await page.locator(`a.card[href*="${asset}"]`).click();
  await page.waitForFunction(() => window.panocast?.state === 'playing' && window.panocast.readPixels(0.5, 0.5)[3] === 255);
  const { end } = await page.evaluate(() => window.panocast.snapshot.span);
  const bar = page.getByRole('slider', { name: 'Seek' });
  const box = await bar.boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2);
  await page.locator('.still').waitFor();
  // To and fro: each time the picture there moves.
  for (const share of [0.7, 0.2, 0.5]) {
    await page.mouse.click(box.x + box.width * share, box.y + box.height / 2);
    await page.waitForFunction(([from, to]) => {
      const { state, snapshot } = window.panocast;
      return state === 'playing' && snapshot.span.position > from && snapshot.span.position < to;
    }, [end * share - 0.5, end * share + 2]);
    const before = await page.evaluate(() => window.panocast.clock.media);
    await page.waitForFunction((media) => window.panocast.clock.media > media, before);
  }
  await bar.focus();
  await page.keyboard.press('End');
  await page.getByRole('button', { name: 'Play again' }).waitFor();
  assert.deepEqual(problems, []);
  await page.close();
  return { seconds: end };
}

/** Runs in the page: plays every rung, seeks, and goes to the end. */
async function shakaPlays(url) {
  const video = document.querySelector('video');
  const player = new window.shaka.Player();
  const errors = [];
  player.addEventListener('error', (event) => errors.push(`${event.detail.code}: ${event.detail.message}`));
  await player.attach(video);
  player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: 4, rebufferingGoal: 0.5 } });
  await player.load(url);
  const moves = async (from) => {
    while (video.currentTime <= from + 0.2 || video.seeking) {
      if (errors.length > 0) throw new Error(errors.join('; '));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await video.play();
  await moves(0);
  const heights = [];
  for (const track of player.getVariantTracks()) {
    if (!track.videoCodec) continue;
    // Clears what is buffered, so that the next picture comes from this rung.
    player.selectVariantTrack(track, true);
    while (video.videoHeight !== track.height) {
      if (errors.length > 0) throw new Error(errors.join('; '));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await moves(video.currentTime);
    heights.push(track.height);
    if (video.currentTime > video.duration / 2) video.currentTime = 0;
  }
  video.currentTime = video.duration * 0.6;
  await moves(video.duration * 0.6);
  const stalls = player.getStats().stateHistory.filter((entry) => entry.state === 'buffering').length;
  video.currentTime = video.duration - 0.5;
  await new Promise((resolve) => video.addEventListener('ended', resolve, { once: true }));
  const { duration } = video;
  await player.destroy();
  return { duration, heights, stalls, errors };
}

async function shakaPage() {
  const { page, problems } = await newPage();
  const html = '<!doctype html><title>Shaka</title><video muted></video>';
  await page.route('**/shaka.html', (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.goto(`${base}/shaka.html`);
  await page.addScriptTag({ content: readFileSync(shaka, 'utf8') });
  const seen = await page.evaluate(shakaPlays, playlist);
  assert.deepEqual(seen.errors, []);
  assert.deepEqual(problems, []);
  await page.close();
  return seen;
}

try {
  console.log(JSON.stringify({ page: await ourPage(), shaka: await shakaPage() }));
} finally {
  await browser.close();
}
