// Every projection × stereo layout: the colour on the canvas where a direction is drawn must be that direction's.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { newPage, playing } from '../lib/browser.mjs';
import { colour, directions, LAYOUTS, SHAPES } from '../lib/pattern.mjs';

/** Video range, 4:2:0 and rounding stay within this. */
const TOLERANCE = 10;

function visible(shape, yaw, pitch) {
  const front = Math.cos((yaw * Math.PI) / 180) * Math.cos((pitch * Math.PI) / 180);
  if (shape === 'half-equirectangular') return front > 0;
  if (shape !== 'rectilinear') return true;
  const [y, p] = [(yaw * Math.PI) / 180, (pitch * Math.PI) / 180];
  return front > 0 && Math.abs(Math.tan(y)) < 1 && Math.abs(Math.tan(p) / Math.cos(y)) < 0.5;
}

/** Where a cell's middle lies off the picture, the page's own ground must show. */
const GROUND = [0x0b, 0x0f, 0x16];

function near(seen, want) {
  return want.every((c, i) => Math.abs(c - seen[i]) <= TOLERANCE);
}

/** Looks at each direction by the page's fragment and reads the middle of the canvas. */
async function look(page, list) {
  return page.evaluate(async (all) => {
    const seen = [];
    for (const [yaw, pitch] of all) {
      location.hash = `yaw=${yaw}&pitch=${pitch}&fov=60`;
      const there = () =>
        Math.abs(panocast.view.yaw - yaw) < 0.01 && Math.abs(panocast.view.pitch - pitch) < 0.01;
      for (let i = 0; i < 100 && !there(); i++) await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      const [x, y] = panocast.locate(yaw, pitch) ?? [-1, -1];
      seen.push([x, y, ...panocast.readView(x, y)]);
    }
    return seen;
  }, list);
}

const DESK = { width: 960, height: 600 };
const AHEAD = 'yaw=25&pitch=12&fov=100';

/** As a desk and as a phone show it, and what lies behind and above. */
async function photograph(page, name) {
  const usual = page.viewportSize();
  for (const [view, size, hash] of [
    ['desktop', DESK, AHEAD],
    ['phone', { width: 390, height: 780 }, AHEAD],
    ['back', DESK, 'yaw=180&pitch=0&fov=100'],
    ['up', DESK, 'yaw=0&pitch=90&fov=100'],
  ]) {
    await page.setViewportSize(size);
    await page.evaluate(async (to) => {
      location.hash = to;
      for (let i = 0; i < 10; i++) await new Promise(requestAnimationFrame);
    }, hash);
    await page.screenshot({ path: `${name}-${view}.png` });
  }
  await page.setViewportSize(usual);
}

/** A pattern's playlist again and again, so that there is time to switch. */
function repeat(folder, times) {
  const [head, ...segments] = readFileSync(`${folder}/index.m3u8`, 'utf8').split(/(?=#EXTINF)/);
  const once = segments.join('').replace('#EXT-X-ENDLIST\n', '');
  const all = Array(times).fill(once).join('#EXT-X-DISCONTINUITY\n');
  writeFileSync(`${folder}/long.m3u8`, `${head}${all}#EXT-X-ENDLIST\n`);
}

/** A recording with an equirectangular rung and an equi-angular one. */
function rungs(folder) {
  const variant = (name, width, kilobits) => {
    repeat(`${folder}/${name}`, 10);
    return `#EXT-X-STREAM-INF:BANDWIDTH=${kilobits}000,RESOLUTION=${width}x720,CODECS="avc1.640020"\n../${name}/long.m3u8\n`;
  };
  mkdirSync(`${folder}/two-shapes`, { recursive: true });
  writeFileSync(
    `${folder}/two-shapes/index.m3u8`,
    `#EXTM3U\n${variant('equirectangular-mono', 1440, 800)}${variant('eac-mono', 1080, 400)}`,
  );
  const eac = { width: 1080, height: 720, projection: 'eac' };
  writeFileSync(`${folder}/two-shapes/info.json`, JSON.stringify({ rungs: [eac] }));
}

/** One shape in one layout, every direction of it as drawn on the canvas. */
async function shown(page, server, shape, layout) {
  await page.goto(`${server.url}/?url=/vod/${shape}-${layout}/index.m3u8`);
  await playing(page);
  // All directions once; the layouts then only differ in where the eye's rectangle lies.
  const list = directions().filter((_, i) => layout === 'mono' || i % 5 === 0);
  const seen = await look(page, list);
  list.forEach(([yaw, pitch], i) => {
    const [x, y, ...rgb] = seen[i];
    assert.ok(
      Math.abs(x - 0.5) < 0.01 && Math.abs(y - 0.5) < 0.01,
      `yaw ${yaw} pitch ${pitch} is at ${x}, ${y}`,
    );
    const want = visible(shape, yaw, pitch) ? colour(yaw, pitch) : GROUND;
    assert.ok(near(rgb, want), `yaw ${yaw} pitch ${pitch}: saw ${rgb.slice(0, 3)}, wanted ${want}`);
  });
}

/** Whether frames come as planes, as where WebGL runs in software, or the browser's own way. */
const planes = (page) =>
  page.evaluate(() => {
    const { picture } = document.querySelector('#world').components.panorama;
    return picture.planes !== undefined;
  });

export async function pixels({ browser, server, media, check, shots }) {
  const page = await newPage(browser);
  for (const shape of Object.keys(SHAPES)) {
    for (const layout of LAYOUTS) {
      await check(`${shape}, ${layout}`, async () => {
        await shown(page, server, shape, layout);
        if (shots) await photograph(page, `${shots}/${shape}-${layout}`);
        assert.deepEqual(page.problems, []);
      });
    }
  }
  await check('without a GPU frames come as planes; with one the same is shown', async () => {
    assert.equal(await planes(page), true, 'these tests draw in software');
    const other = await newPage(browser);
    await other.addInitScript(() => delete window.VideoFrame);
    for (const shape of Object.keys(SHAPES)) await shown(other, server, shape, 'mono');
    assert.equal(await planes(other), false);
    assert.deepEqual(other.problems, []);
    await other.context().close();
  });
  await check('rungs of another projection are drawn as such after a switch', async () => {
    rungs(`${media}/vod`);
    await page.goto(`${server.url}/?url=/vod/two-shapes/index.m3u8`);
    await playing(page);
    for (const width of [1080, 1440, 1080]) {
      await page.getByRole('button', { name: 'Settings' }).click();
      await page.getByRole('menuitemradio', { name: new RegExp(`^${width} `) }).click();
      await page.keyboard.press('Escape');
      await page.waitForFunction(
        (w) => panocast.videoSize[0] === w && panocast.readPixels(0.99, 0.01)[3] === 255,
        width,
      );
      const list = directions().filter((_, i) => i % 5 === 0);
      const seen = await look(page, list);
      list.forEach(([yaw, pitch], i) => {
        const rgb = seen[i].slice(2);
        assert.ok(near(rgb, colour(yaw, pitch)), `${width}: yaw ${yaw} pitch ${pitch}: saw ${rgb}`);
      });
    }
  });
  await check('the picture turns with info.json: yaw to the left, pitch up', async () => {
    await page.route('**/info.json', (route) =>
      route.fulfill({ json: { projection: 'equirectangular', stereo: 'mono', yaw: 30, pitch: 0 } }),
    );
    await page.goto(`${server.url}/?url=/vod/equirectangular-mono/index.m3u8`);
    await playing(page);
    const [[, , ...left], [, , ...ahead]] = await look(page, [
      [45, 15],
      [15, 15],
    ]);
    assert.ok(near(left, colour(15, 15)), `45° to the left shows ${left}`);
    assert.ok(near(ahead, colour(-15, 15)), `15° to the left shows ${ahead}`);
    await page.unroute('**/info.json');
  });
  await check(
    'missing info.json means equirectangular mono; a prefix changes nothing',
    async () => {
      await page.route('**/info.json', (route) => route.fulfill({ status: 404 }));
      await page.goto(
        `${server.url}/some/prefix/?url=/vod/equirectangular-mono/index.m3u8#yaw=45&pitch=15`,
      );
      await playing(page);
      const [[, , ...seen]] = await look(page, [[45, 15]]);
      assert.ok(near(seen, colour(45, 15)), `${seen}`);
      await page.unroute('**/info.json');
      assert.deepEqual(page.problems, []);
    },
  );
  await check('readPixels and readGrid give the frame the GPU has', async () => {
    const rgb = await page.evaluate(() => panocast.readPixels(15 / 360, 15 / 180).slice(0, 3));
    assert.ok(near(rgb, colour(165, 75)), `${rgb}`);
    const grid = await page.evaluate(() =>
      panocast.readGrid({ left: 0, top: 0, width: 1, height: 1, columns: 12, rows: 6 }),
    );
    const want = (yaw, pitch) => {
      const [r, g, b] = colour(yaw, pitch);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    grid.forEach((seen, i) => {
      const [yaw, pitch] = [165 - (i % 12) * 30, 75 - Math.floor(i / 12) * 30];
      assert.ok(Math.abs(seen - want(yaw, pitch)) <= TOLERANCE, `cell ${i}: ${seen}`);
    });
  });
  await page.context().close();
}
