// Accessibility by axe, the start page, and the layout on a phone.
import assert from 'node:assert/strict';
import { audit, DEVICES } from '../lib/audit.mjs';
import { newPage, playing } from '../lib/browser.mjs';

const LISTS = {
  '**/hls/index.json': [
    {
      name: 'harbour',
      url: '/hls/harbour.m3u8',
      started_at: '2026-11-20T09:00:00Z',
      info: { projection: 'equirectangular', stereo: 'mono' },
    },
    {
      name: 'stage-left',
      url: '/hls/stage-left.m3u8',
      started_at: '2026-11-20T09:20:00Z',
      info: '/hls/stage-left/info.json',
    },
  ],
  '**/hls/stage-left/info.json': { projection: 'half-equirectangular', stereo: 'side-by-side' },
  '**/vod/index.json': [
    {
      asset: 'a1',
      stream: 'harbour',
      started_at: '2026-11-19T18:00:00Z',
      duration: 3725,
      url: '/vod/a1/index.m3u8',
      poster: '/vod/none.jpg',
    },
    {
      asset: 'a2',
      stream: 'rehearsal',
      started_at: 1_795_000_000,
      duration: 62,
      url: '/vod/a2/index.m3u8',
    },
  ],
};

export async function access({ browser, server, check, shots }) {
  for (const [device, options] of DEVICES) {
    const page = await newPage(browser, options);
    await check(`empty start page, ${device}`, async () => {
      await page.goto(`${server.url}/`);
      await page.getByRole('heading', { name: 'Nothing to watch yet' }).waitFor();
      await audit(page);
      if (shots) await page.screenshot({ path: `${shots}/empty-${device}.png` });
    });
    await check(`start page with cards, ${device}`, async () => {
      for (const [path, json] of Object.entries(LISTS))
        await page.route(path, (route) => route.fulfill({ json }));
      await page.goto(`${server.url}/`);
      assert.equal(
        await page.getByRole('link', { name: /rehearsal/ }).getAttribute('href'),
        '?url=/vod/a2/index.m3u8',
      );
      await page.getByRole('link', { name: /stage-left.*180° · 3D/s }).waitFor();
      await audit(page);
      if (shots) await page.screenshot({ path: `${shots}/cards-${device}.png` });
      for (const path of Object.keys(LISTS)) await page.unroute(path);
    });
    await check(`a wrong address is told, ${device}`, async () => {
      await page.goto(`${server.url}/?url=javascript:alert(1)`);
      await page.getByRole('alert').waitFor();
    });
    await check(`player, ${device}`, async () => {
      await page.goto(`${server.url}/?url=/vod/equirectangular-top-bottom/index.m3u8`);
      await playing(page);
      await audit(page);
      if (shots) await page.screenshot({ path: `${shots}/player-${device}.png` });
      await page.getByRole('button', { name: 'Settings' }).click();
      await page.getByRole('menuitem', { name: 'Statistics' }).click();
      await page.keyboard.press('?');
      await audit(page);
      await page.keyboard.press('Escape');
      await page.evaluate(() => document.querySelector('.stats').setAttribute('hidden', ''));
      await page.getByRole('button', { name: 'Settings' }).click();
      await audit(page);
      if (shots) await page.screenshot({ path: `${shots}/player-menu-${device}.png` });
      assert.deepEqual(page.problems, []);
    });
    await page.context().close();
  }
}
