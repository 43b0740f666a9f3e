// No seam: across the back, the cube's edges, the lenses' joint and the poles the picture goes on without a step, and
// neither eye shows anything of the other.
import assert from 'node:assert/strict';
import { newPage, playing } from '../lib/browser.mjs';
import { LAYOUTS, SHAPES } from '../lib/pattern.mjs';
import { makeSmooth } from '../lib/smooth.mjs';

/** Where pictures meet their own ends, their faces' edges and their lenses' rims: yaw, pitch. */
const PLACES = [
  [180, 0],
  [180, 40],
  [45, 0],
  [-45, 0],
  [135, 0],
  [90, 0],
  [-90, 0],
  [20, 45],
  [160, -45],
  [0, 89.9],
  [0, -89.9],
];
/** Video range, 8 bits and filtering stay within this; the pattern itself bends far less over six pixels. */
const STEP = 7;
const REACH = 3;

function seen(shape, yaw, pitch) {
  if (shape === 'half-equirectangular') return Math.abs(yaw) < 80 && Math.abs(pitch) < 80;
  return shape !== 'rectilinear';
}

/** Pixels of the row and the column through the middle of the canvas, with the view turned there. */
function lines(page, yaw, pitch) {
  return page.evaluate(
    async ([y, p]) => {
      location.hash = `yaw=${y}&pitch=${p}&fov=50`;
      const there = () =>
        Math.abs(panocast.view.yaw - y) < 0.01 && Math.abs(panocast.view.pitch - p) < 0.01;
      for (let i = 0; i < 100 && !there(); i++) await new Promise(requestAnimationFrame);
      panocast.readView(0.5, 0.5);
      // Drawn in this task: the canvas still holds it.
      const gl = document.querySelector('canvas.a-canvas').getContext('webgl2');
      const [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
      const line = (x, from, wide, high) => {
        const bytes = new Uint8Array(wide * high * 4);
        gl.readPixels(x, from, wide, high, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
        return Array.from({ length: wide * high }, (_, i) => bytes[i * 4 + 1]);
      };
      return [line(0, Math.floor(h / 2), w, 1), line(Math.floor(w / 2), 0, 1, h)];
    },
    [yaw, pitch],
  );
}

/** The widest run of pixels that stand out from those three to their sides. */
export function seam(line) {
  let [widest, run] = [0, 0];
  for (let i = REACH; i < line.length - REACH; i++) {
    const out = Math.abs(line[i] - (line[i - REACH] + line[i + REACH]) / 2) > STEP;
    run = out ? run + 1 : 0;
    widest = Math.max(widest, run);
  }
  return widest;
}

export async function seams({ browser, server, media, check }) {
  makeSmooth(`${media}/vod`);
  const page = await newPage(browser);
  await check('the measure sees a seam', () => {
    const ramp = Array.from({ length: 100 }, (_, i) => i);
    assert.equal(seam(ramp), 0);
    assert.equal(seam(ramp.with(50, 90)), 1);
    assert.equal(seam(ramp.map((v, i) => (i === 50 || i === 51 ? 200 : v))), 2);
  });
  for (const shape of Object.keys(SHAPES).filter((name) => name !== 'rectilinear')) {
    for (const layout of LAYOUTS) {
      await check(`${shape}, ${layout}`, async () => {
        await page.goto(`${server.url}/?url=/vod/smooth-${shape}-${layout}/index.m3u8`);
        await playing(page);
        for (const [yaw, pitch] of PLACES.filter(([y, p]) => seen(shape, y, p))) {
          const widths = (await lines(page, yaw, pitch)).map(seam);
          assert.ok(
            Math.max(...widths) <= 1,
            `at yaw ${yaw} pitch ${pitch} a seam of ${Math.max(...widths)} pixels`,
          );
        }
        assert.deepEqual(page.problems, []);
      });
    }
  }
  await page.context().close();
}
