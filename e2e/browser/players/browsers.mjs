// Players of browsers: a server for their pages, a page for each, and what each has seen.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const here = import.meta.dirname;
const { chromium } = createRequire(path.resolve(here, '../../../player/package.json'))(
  'playwright-core',
);

/** Name -> its build below node_modules. */
export const BROWSER_PLAYERS = {
  'hls.js 1.6.16': 'hls-js-1-6/dist/hls.mjs',
  'hls.js 1.7.4': 'hls-js-1-7/dist/hls.mjs',
  'video.js 8.24.1': 'video.js/dist/video.min.js',
  'Shaka 5.2.12': 'shaka-player/dist/shaka-player.compiled.js',
};

const FILES = {
  '/': 'players/page.html',
  '/watch.js': 'players/watch.js',
  '/blocks.mjs': 'blocks.mjs',
};
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
};

/** Chromium without a screen, with one page for each of `names` on `url`. */
export async function openBrowsers(names, url) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    const known = Object.values(BROWSER_PLAYERS).map((file) => `/node_modules/${file}`);
    const file = FILES[pathname] ?? (known.includes(pathname) ? pathname.slice(1) : undefined);
    if (!file) return response.writeHead(404).end();
    const bytes = await readFile(path.resolve(here, '..', file));
    return response.writeHead(200, { 'content-type': TYPES[path.extname(file)] }).end(bytes);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      // Pages that are not in front would be slowed down.
      '--disable-background-timer-throttling',
      '--disable-backgrounding-occluded-windows',
      '--disable-renderer-backgrounding',
    ],
  });
  const players = await Promise.all(
    names.map(async (name) => {
      // A window each: what is in front is drawn at full rate.
      const page = await (
        await browser.newContext({ viewport: { width: 480, height: 240 } })
      ).newPage();
      const crashes = [];
      page.on('pageerror', (error) =>
        crashes.push({ at: Date.now(), fatal: true, detail: `page: ${error.message}` }),
      );
      const query = new URLSearchParams({
        player: name,
        module: `/node_modules/${BROWSER_PLAYERS[name]}`,
        url,
      });
      await page.goto(`http://127.0.0.1:${server.address().port}/?${query}`);
      return {
        name,
        async seen() {
          const seen = await page.evaluate(() => window.look());
          return { ...seen, errors: [...seen.errors, ...crashes] };
        },
      };
    }),
  );
  const close = async () => {
    await browser.close();
    server.close();
  };
  return { players, close };
}
