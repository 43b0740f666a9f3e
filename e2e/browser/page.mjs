// The player page in Chromium: how it is started, and one look at it.

import { createRequire } from 'node:module';
import path from 'node:path';
import { PLACE } from './blocks.mjs';

export const root = path.resolve(import.meta.dirname, '../..');
const { chromium } = createRequire(path.join(root, 'player/'))('playwright-core');

/** A browser without a screen that renders WebGL in software. */
export const launch = () => chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless=new', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
});

/** Opens the page and waits until it plays. */
export async function open(browser, address) {
  const page = await browser.newPage({ viewport: { width: 640, height: 360 } });
  await page.goto(address);
  await page.waitForFunction(() => window.panocast?.state === 'playing', undefined, { timeout: 60_000 });
  return page;
}

/** What the texture shows, and what the player says of itself. */
export const look = (page) => page.evaluate((place) => {
  const player = window.panocast;
  return player && {
    now: Date.now(), grid: player.readGrid(place), latency: player.latency, stalls: player.stalls, level: player.level,
    joinMs: player.joinMs, dropped: player.droppedFrames, total: player.totalFrames, state: player.state,
  };
}, PLACE);
