// WebXR through an emulator: enters with the heading kept, draws one picture per eye, tells where the head looks, leaves.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { newPage, playing } from '../lib/browser.mjs';
import { colour } from '../lib/pattern.mjs';

const IWER = readFileSync(
  new URL('../../node_modules/iwer/build/iwer.min.js', import.meta.url),
  'utf8',
);

/** The colour in the middle of what each eye is drawn, a little above the horizon, read inside a frame of the session. */
function eyes(page) {
  return page.evaluate(async () => {
    const scene = document.querySelector('a-scene');
    const gl = scene.renderer.getContext();
    for (let i = 0; i < 20; i++)
      await new Promise((next) => scene.xrSession.requestAnimationFrame(next));
    return new Promise((resolve) => {
      const draw = scene.renderer.render;
      scene.renderer.render = (...what) => {
        draw(...what);
        scene.renderer.render = draw;
        const views = scene.renderer.xr.getCamera().cameras.map(({ viewport: v }) => {
          const bytes = new Uint8Array(4);
          const [x, y] = [v.x + v.width * 0.5, v.y + v.height * 0.6];
          gl.readPixels(x, y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
          return [...bytes];
        });
        resolve(views);
      };
    });
  });
}

const near = (rgb, want) => want.every((c, i) => Math.abs(c - rgb[i]) <= 14);

export async function headset({ browser, server, check, shots }) {
  const page = await newPage(browser, { viewport: { width: 800, height: 400 } });
  await page.addInitScript(`${IWER}
    window.device = new IWER.XRDevice(IWER.metaQuest3);
    window.device.installRuntime({ forceInstall: true });
    window.device.stereoEnabled = true;`);
  const button = page.getByRole('button', { name: 'Enter VR' });
  for (const layout of ['mono', 'top-bottom', 'side-by-side', 'right-left']) {
    await check(`enters VR, shows each eye its own picture, leaves: ${layout}`, async () => {
      // Another path for each: a change of the fragment alone would not load the page.
      await page.goto(`${server.url}/?url=/vod/equirectangular-${layout}/index.m3u8#yaw=15`);
      await playing(page);
      await button.waitFor();
      await button.click();
      await page.getByRole('button', { name: 'Leave VR' }).waitFor();
      const seen = await eyes(page);
      if (shots) await page.screenshot({ path: `${shots}/headset-${layout}.png` });
      assert.equal(seen.length, 2, 'two eyes');
      // 15° to the left of the front, a little above the horizon: the cell (15, 15) of each eye.
      const other = layout === 'mono' ? 'left' : 'right';
      for (const [i, eye] of ['left', other].entries()) {
        const want = colour(15, 15, eye);
        assert.ok(near(seen[i], want), `eye ${i} sees ${seen[i]}, wanted ${want}`);
      }
      await page.evaluate(() => document.querySelector('a-scene').exitVR());
      await button.waitFor();
      const rgb = await page.evaluate(() => panocast.readView(...panocast.locate(15, 15)));
      assert.ok(near(rgb, colour(15, 15)), `after leaving: ${rgb}`);
      assert.deepEqual(page.problems, []);
    });
  }
  await check('a half-sphere and a cubemap reach both eyes too', async () => {
    for (const shape of ['half-equirectangular', 'eac']) {
      await page.goto(`${server.url}/?url=/vod/${shape}-side-by-side/index.m3u8#yaw=15`);
      await playing(page);
      await button.click();
      await page.getByRole('button', { name: 'Leave VR' }).waitFor();
      const seen = await eyes(page);
      assert.ok(near(seen[0], colour(15, 15, 'left')), `${shape}, left: ${seen[0]}`);
      assert.ok(near(seen[1], colour(15, 15, 'right')), `${shape}, right: ${seen[1]}`);
      await page.evaluate(() => document.querySelector('a-scene').exitVR());
      await button.waitFor();
    }
  });
  await page.context().close();
}
