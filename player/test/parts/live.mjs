// The life of a live stream as a viewer sees it: late start, rung switch, end, comeback, crash; and a look around.
import assert from 'node:assert/strict';
import { newPage, playing } from '../lib/browser.mjs';
import { publish } from '../lib/live.mjs';

export async function live({ browser, server, media, check, shots }) {
  const page = await newPage(browser, { viewport: { width: 960, height: 600 } });
  const says = (text) =>
    page.getByRole('status').filter({ hasText: text }).waitFor({ timeout: 20_000 });
  const shot = async (name) => shots && page.screenshot({ path: `${shots}/${name}.png` });
  const folder = `${media}/hls`;
  let stream;

  await check('no stream yet: says that it waits', async () => {
    await page.goto(`${server.url}/?url=/hls/test/index.m3u8`);
    await says('Waiting for the stream');
    assert.equal(await page.evaluate(() => panocast.state), 'waiting');
    await shot('waiting');
  });
  await check(
    'the stream starts late: plays by itself, muted, with one button to unmute',
    async () => {
      stream = publish(folder, 'test');
      await playing(page, 30_000);
      assert.equal(await page.evaluate(() => document.querySelector('video').muted), true);
      const button = page.getByRole('button', { name: 'Tap to unmute' });
      await shot('live');
      await button.click();
      await button.waitFor({ state: 'hidden' });
      assert.equal(await page.evaluate(() => document.querySelector('video').muted), false);
    },
  );
  await check('requests carry CMCD in the query with a coarse heading', async () => {
    await page.waitForFunction(() => panocast.snapshot.span.end - panocast.snapshot.span.start > 5);
    const media = server.state.requests.filter((r) => /\.m4s\?/.test(r));
    assert.ok(media.length > 0, 'no segment request had a query');
    const cmcd = new URL(media.at(-1), 'http://x').searchParams.get('CMCD') ?? '';
    for (const key of ['sid=', 'cid=', 'ot=', 'st=', 'v=2', 'panocast-view='])
      assert.ok(cmcd.includes(key), `${key} in ${cmcd}`);
    if (process.env.VERBOSE) console.log(cmcd);
  });
  await check('drag turns the view with the pointer, and glides; keys turn and zoom', async () => {
    const view = () => page.evaluate(() => panocast.view);
    await page.mouse.move(480, 300);
    await page.mouse.down();
    await page.mouse.move(680, 240, { steps: 8 });
    await page.mouse.up();
    const dragged = await view();
    assert.ok(dragged.yaw > 15 && dragged.pitch < -2, JSON.stringify(dragged));
    await page.locator('canvas.a-canvas').focus();
    await page.keyboard.down('ArrowRight');
    await page.waitForFunction((yaw) => panocast.view.yaw < yaw - 5, dragged.yaw);
    await page.keyboard.up('ArrowRight');
    await page.keyboard.press('+');
    assert.ok((await view()).fov < 80);
    await page.mouse.wheel(0, 200);
    await page.waitForFunction(() => panocast.view.fov > 80);
    await page.keyboard.press('Home');
    await page.waitForFunction(
      () => Math.abs(panocast.view.yaw) < 1 && Math.abs(panocast.view.fov - 80) < 1,
    );
  });
  await check('choosing a rung changes the texture without a black frame', async () => {
    await page.evaluate(() => {
      window.dark = 0;
      const watch = () => {
        const [r, g, b, a] = panocast.readView(0.5, 0.5);
        if (a === 0 || r + g + b < 3) window.dark += 1;
        window.watching = requestAnimationFrame(watch);
      };
      watch();
    });
    const textures = () =>
      page.evaluate(() => document.querySelector('a-scene').renderer.info.memory.textures);
    const before = await textures();
    for (const width of [320, 640]) {
      await page.getByRole('button', { name: 'Settings' }).click();
      if (width === 320) await shot('menu');
      await page.getByRole('menuitemradio', { name: new RegExp(`^${width} `) }).click();
      await page.keyboard.press('Escape');
      await page.waitForFunction(
        (w) => panocast.videoSize[0] === w && panocast.readPixels(0.99, 0.01)[3] === 255,
        width,
        { timeout: 15_000 },
      );
    }
    // Old textures are given back; the new one is there with the next picture drawn.
    await page.waitForFunction(
      (n) => document.querySelector('a-scene').renderer.info.memory.textures === n,
      before,
    );
    assert.equal(
      await page.evaluate(() => {
        cancelAnimationFrame(window.watching);
        return window.dark;
      }),
      0,
    );
  });
  await check('seeking back leaves live, the button returns to it', async () => {
    await page.keyboard.press('j');
    const button = page.getByRole('button', { name: 'Go to live' });
    await button.waitFor();
    assert.equal(await page.evaluate(() => panocast.snapshot.following), false);
    await shot('dvr');
    await button.click();
    await page.waitForFunction(() => panocast.snapshot.following && panocast.state === 'playing');
  });
  await check('statistics are drawn as plots; they and the keyboard help open by key', async () => {
    await page.keyboard.press('s');
    await page.getByRole('region', { name: 'Statistics' }).waitFor();
    await page.waitForFunction(() => {
      const plots = [...document.querySelectorAll('.stats .plot')];
      // The base line is a hint of white; a curve is opaque.
      const drawn = (canvas) => {
        const { width, height } = canvas;
        if (width * height === 0) return false;
        const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
        return data.some((level, i) => i % 4 === 3 && level > 200);
      };
      const told = (plot) => /\d/.test(plot.querySelector('.value').textContent);
      return plots.length === 4 && plots.every((p) => told(p) && drawn(p.querySelector('canvas')));
    });
    await shot('stats');
    await page.keyboard.press('s');
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await shot('help');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  });
  await check('the stream ends: says so; comes back with other numbers: plays again', async () => {
    await stream.stop();
    await says('The stream has ended');
    await shot('ended');
    stream = publish(folder, 'test', { start: 500 });
    await playing(page, 30_000);
  });
  await check(
    'the publisher crashes and the playlist stands still: says so, and plays on when it is back',
    async () => {
      await stream.crash();
      await says('The publisher has gone quiet');
      stream = publish(folder, 'test', { start: 900 });
      await playing(page, 40_000);
    },
  );
  await check('the server goes away: says so, and plays on when it is back', async () => {
    server.state.refuse = (path) => (path.startsWith('/hls/') ? 503 : undefined);
    await says('The server does not answer');
    server.state.refuse = undefined;
    await playing(page, 40_000);
    assert.deepEqual(page.problems, []);
  });
  await stream?.stop();
  await page.context().close();
}
