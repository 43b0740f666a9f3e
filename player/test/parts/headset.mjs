// WebXR through an emulator: enters with the heading kept, draws one picture per eye, leaves again.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { newPage, playing } from '../lib/browser.mjs';
import { colour } from '../lib/pattern.mjs';

const IWER = readFileSync(
  new URL('../../node_modules/iwer/build/iwer.min.js', import.meta.url),
  'utf8',
);

export async function headset({ browser, server, check, shots }) {
  const page = await newPage(browser, { viewport: { width: 800, height: 400 } });
  await page.addInitScript(`${IWER}
    window.device = new IWER.XRDevice(IWER.metaQuest3);
    window.device.installRuntime({ forceInstall: true });
    window.device.stereoEnabled = true;`);
  await check('enters VR, shows each eye its own picture, leaves', async () => {
    await page.goto(`${server.url}/?url=/vod/equirectangular-top-bottom/index.m3u8#yaw=15&pitch=0`);
    await playing(page);
    const button = page.getByRole('button', { name: 'Enter VR' });
    await button.waitFor();
    await button.click();
    await page.getByRole('button', { name: 'Leave VR' }).waitFor();
    const seen = await page.evaluate(async () => {
      const scene = document.querySelector('a-scene');
      const gl = scene.renderer.getContext();
      // Read inside a frame of the session, after it was drawn.
      for (let i = 0; i < 20; i++)
        await new Promise((next) => scene.xrSession.requestAnimationFrame(next));
      return new Promise((resolve) => {
        const draw = scene.renderer.render;
        scene.renderer.render = (...what) => {
          draw(...what);
          scene.renderer.render = draw;
          const views = scene.renderer.xr.getCamera().cameras.map(({ viewport: v }) => {
            const bytes = new Uint8Array(4);
            gl.readPixels(
              v.x + v.width * 0.5,
              v.y + v.height * 0.6,
              1,
              1,
              gl.RGBA,
              gl.UNSIGNED_BYTE,
              bytes,
            );
            return [...bytes];
          });
          resolve(views);
        };
      });
    });
    if (shots) await page.screenshot({ path: `${shots}/headset.png` });
    assert.equal(seen.length, 2, 'two eyes');
    const near = (rgb, want) => want.every((c, i) => Math.abs(c - rgb[i]) <= 14);
    // 15° to the left of the front, a little above the horizon: the cell (15, 15) of each eye.
    assert.ok(
      near(seen[0], colour(15, 15, 'left')),
      `left eye ${seen[0]} wanted ${colour(15, 15, 'left')}`,
    );
    assert.ok(
      near(seen[1], colour(15, 15, 'right')),
      `right eye ${seen[1]} wanted ${colour(15, 15, 'right')}`,
    );
    await page.evaluate(() => document.querySelector('a-scene').exitVR());
    await button.waitFor();
    const rgb = await page.evaluate(() => panocast.readView(...panocast.locate(15, 15)));
    assert.ok(near(rgb, colour(15, 15)), `after leaving: ${rgb}`);
    assert.deepEqual(page.problems, []);
  });
  await page.context().close();
}
