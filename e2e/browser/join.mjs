// How soon the page shows a moving picture: loads without any cache, one after the other, of a stream that already runs.
//
// Counted from the start of the navigation to the first frame of video on the canvas while the media plays.

const LOADS = 7;
/** Loads start at another place in the group of pictures each time. */
const APART_MS = 700;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** One load in a profile of its own. */
async function load(browser, address) {
  const context = await browser.newContext({ viewport: { width: 640, height: 360 } });
  const page = await context.newPage();
  await page.goto(address);
  await page.waitForFunction(() => window.panocast?.joinMs !== undefined && window.panocast.firstPictureMs !== undefined,
    undefined, { timeout: 60_000, polling: 50 });
  const seen = await page.evaluate(() => {
    const { joinMs, firstPictureMs } = window.panocast;
    const resources = performance.getEntriesByType('resource');
    const media = resources.filter(({ name }) => /\/hls\//.test(name));
    const page = resources.filter(({ name }) => /\/assets\//.test(name));
    const bytes = (list) => list.reduce((sum, { transferSize }) => sum + transferSize, 0);
    return {
      picture_ms: Math.round(Math.max(joinMs, firstPictureMs)), playing_ms: Math.round(joinMs),
      page_bytes: bytes(page), media_bytes: bytes(media), requests: resources.length + 1,
    };
  });
  await context.close();
  return seen;
}

/** The loads, and the medians over them. The first one warms the browser and is not counted. */
export async function joins(browser, base) {
  const loads = [];
  for (let i = 0; i <= LOADS; i += 1) {
    loads.push(await load(browser, `${base}/?url=/hls/test.m3u8`));
    await new Promise((resolve) => setTimeout(resolve, APART_MS));
  }
  const counted = loads.slice(1);
  const of = (key) => counted.map((one) => one[key]);
  return {
    first_picture_ms: { median: median(of('picture_ms')), all: of('picture_ms'), cold_browser: loads[0].picture_ms },
    playing_ms: median(of('playing_ms')), page_bytes: median(of('page_bytes')), media_bytes: median(of('media_bytes')),
    requests: median(of('requests')),
  };
}
