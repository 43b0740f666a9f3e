// Every projection x stereo layout of the test picture through the whole of Panocast: is each direction where it belongs,
// and does each eye get its own picture?
//
// The picture's colour bars tell the heading and, lying above the horizon only, up from down; a large letter, red L or
// blue R, tells the eyes apart. The second eye is looked through with an emulated headset.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './page.mjs';
import { startPanocast } from './panocast.mjs';

const PROJECTIONS = ['equirectangular', 'half-equirectangular', 'cubemap', 'eac', 'dual-fisheye', 'rectilinear'];
const LAYOUTS = ['mono', 'top-bottom', 'side-by-side', 'right-left'];

// As in test-source/src/scene.rs: bars of 15° from 60° left of ahead on, three times around, 24° to 40° high.
const BARS = [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191], [0, 0, 0]];
const BAR_PITCH = 32;
const LETTER_PITCH = 55.5;
/** The scene stands still: few pictures do, and leave the machine to the browser. */
const CHEAP = 'width = 960\nframe_rate = 10\ngop = "1s"';
/** Bars are told by which of red, green and blue they have, so coding does not matter. */
const BRIGHT = 95;

/** The middle of each bar, with its colour; yaw counter-clockwise. */
const bars = () => Array.from({ length: 24 }, (_, i) => ({ yaw: ((60 - 7.5 - i * 15 + 540) % 360) - 180, rgb: BARS[i % 8] }));

function shows(projection, yaw, pitch) {
  const [y, p] = [(yaw * Math.PI) / 180, (pitch * Math.PI) / 180];
  if (projection === 'half-equirectangular') return Math.abs(yaw) < 88;
  if (projection !== 'rectilinear') return true;
  return Math.cos(y) > 0 && Math.abs(Math.tan(y)) < 0.95 && Math.tan(p) / Math.cos(y) < 0.95;
}

/** Turns the view; runs in the page. */
async function turn([yaw, pitch]) {
  location.hash = `yaw=${yaw}&pitch=${pitch}&fov=60`;
  const there = ({ view }) => Math.abs(view.yaw - yaw) < 0.01 && Math.abs(view.pitch - pitch) < 0.01;
  for (let i = 0; i < 100 && !there(window.panocast); i += 1) await new Promise(requestAnimationFrame);
  if (!there(window.panocast)) throw new Error(`the view does not turn to ${yaw}, ${pitch}`);
}

/** What is drawn in each direction. */
async function colours(page, directions) {
  const seen = [];
  for (const direction of directions) {
    await page.evaluate(turn, direction);
    seen.push(await page.evaluate(([yaw, pitch]) => {
      const [x, y] = window.panocast.locate(yaw, pitch);
      return window.panocast.readView(x, y).slice(0, 3);
    }, direction));
  }
  return seen;
}

/** How many pixels around the middle of each eye's picture are red and blue, looking up at the letter in a headset. */
const letters = (page) => page.evaluate(async (pitch) => {
  const scene = document.querySelector('a-scene');
  await scene.enterVR();
  const half = (pitch * Math.PI) / 360;
  window.headset.quaternion.set(Math.sin(half), 0, 0, Math.cos(half));
  for (let i = 0; i < 20; i += 1) await new Promise((next) => scene.xrSession.requestAnimationFrame(next));
  const gl = scene.renderer.getContext();
  const seen = await new Promise((resolve) => {
    const draw = scene.renderer.render;
    scene.renderer.render = (...what) => {
      draw(...what);
      scene.renderer.render = draw;
      resolve(scene.renderer.xr.getCamera().cameras.map(({ viewport: v }) => {
        const [w, h] = [Math.round(v.width / 4), Math.round(v.height / 4)];
        const bytes = new Uint8Array(w * h * 4);
        gl.readPixels(v.x + Math.round((v.width - w) / 2), v.y + Math.round((v.height - h) / 2), w, h, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
        const count = { red: 0, blue: 0 };
        for (let i = 0; i < bytes.length; i += 4) {
          if (bytes[i] > 150 && bytes[i] > bytes[i + 2] + 60) count.red += 1;
          if (bytes[i + 2] > 150 && bytes[i + 2] > bytes[i] + 60) count.blue += 1;
        }
        return count;
      }));
    };
  });
  await scene.exitVR();
  return seen;
}, LETTER_PITCH);

async function judge(page, projection, layout) {
  const wrong = [];
  const wanted = bars().filter(({ yaw }) => shows(projection, yaw, BAR_PITCH));
  const seen = await colours(page, wanted.map(({ yaw }) => [yaw, BAR_PITCH]));
  wanted.forEach(({ yaw, rgb }, i) => {
    if (rgb.some((level, k) => level > BRIGHT !== seen[i][k] > BRIGHT)) wrong.push(`at yaw ${yaw}: ${seen[i]}, wanted ${rgb}`);
  });
  if (layout !== 'mono' && shows(projection, 0, LETTER_PITCH)) {
    // What lies ahead on the screen lies ahead in the headset.
    await page.evaluate(turn, [0, 0]);
    const [left, right] = await letters(page);
    if (!(left.red > 20 && left.blue < left.red / 10)) wrong.push(`the left eye sees ${JSON.stringify(left)}`);
    if (!(right.blue > 20 && right.red < right.blue / 10)) wrong.push(`the right eye sees ${JSON.stringify(right)}`);
  }
  return wrong;
}

/** Looks at every combination; what is wrong with each, an empty list for those that are right. */
export async function shapes(browser, folder, settings) {
  const iwer = readFileSync(path.join(root, 'player/node_modules/iwer/build/iwer.min.js'), 'utf8');
  const found = {};
  for (const projection of PROJECTIONS) {
    for (const layout of LAYOUTS) {
      const shape = `projection = "${projection}"\nstereo = "${layout}"\n`;
      const panocast = await startPanocast(folder, {
        ...settings, origin: `[origin.immersive]\n${shape}`, ladder: 'ladder = []', source: `${CHEAP}\n${shape}`,
      });
      try {
        const page = await browser.newPage({ viewport: { width: 640, height: 400 } });
        await page.addInitScript(`${iwer}
          window.headset = new IWER.XRDevice(IWER.metaQuest3);
          window.headset.installRuntime({ forceInstall: true });
          window.headset.stereoEnabled = true;`);
        await page.goto(`${panocast.base}/?url=/hls/test.m3u8`);
        await page.waitForFunction(() => window.panocast?.state === 'playing' && window.panocast.readPixels(0.5, 0.5)[3] === 255,
          undefined, { timeout: 60_000 });
        const wrong = await judge(page, projection, layout);
        found[`${projection}, ${layout}`] = wrong;
        console.log(`${wrong.length > 0 ? 'WRONG' : 'right'}  ${projection}, ${layout}`, ...wrong);
        await page.close();
      } finally {
        await panocast.stop();
      }
    }
  }
  return found;
}
