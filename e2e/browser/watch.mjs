// Watches the player page in Chromium until SIGUSR2, then prints what a viewer noticed: `node watch.mjs ADDRESS`.
//
// Prints "playing" once there is a picture, and one line of JSON at the end: the longest time for which the picture
// stood still, and every answer of a stream that was not as it should be.

import { launch, open } from './page.mjs';

const [address] = process.argv.slice(2);
const told = new Promise((resolve) => process.once('SIGUSR2', resolve));

/** Runs in the page: remembers the longest time without a later picture. */
function watch() {
  const seen = { media: window.panocast.clock.media, at: performance.now(), longest: 0 };
  window.stoodStill = seen;
  setInterval(() => {
    const { media } = window.panocast.clock;
    const now = performance.now();
    seen.longest = Math.max(seen.longest, now - seen.at);
    if (media !== seen.media) Object.assign(seen, { media, at: now });
  }, 50);
}

/** Collects what was answered, and what was not as it should be. */
function listen(page) {
  const heard = { answers: 0, bad: [] };
  page.on('response', (response) => {
    if (!new URL(response.url()).pathname.startsWith('/hls/')) return;
    heard.answers += 1;
    if (response.status() !== 200) heard.bad.push(`${response.status()} ${response.url()}`);
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // The page itself gives up what it does not need any more.
    if (why !== 'net::ERR_ABORTED') heard.bad.push(`${why} ${request.url()}`);
  });
  page.on('pageerror', (error) => heard.bad.push(`error: ${error.message}`));
  return heard;
}

const browser = await launch();
try {
  const page = await open(browser, address);
  const heard = listen(page);
  await page.evaluate(watch);
  console.log('playing');
  await told;
  const seen = await page.evaluate(() => ({ longest_ms: window.stoodStill.longest, stalls: window.panocast.stalls,
    state: window.panocast.state, latency: window.panocast.latency, frames: window.panocast.totalFrames }));
  console.log(JSON.stringify({ ...seen, ...heard }));
} finally {
  await browser.close();
}
