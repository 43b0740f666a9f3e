// The operator's page: reads at a glance, asks before it acts, wants the token, says when nobody answers.
import assert from 'node:assert/strict';
import { audit, DEVICES } from '../lib/audit.mjs';
import { newPage } from '../lib/browser.mjs';
import { origin, overview } from '../lib/origin.mjs';

const dot = (page, selector, x, y) =>
  page.evaluate(
    ([s, u, v]) => {
      const canvas = document.querySelector(s);
      const at = [Math.floor(u * canvas.width), Math.floor(v * canvas.height), 1, 1];
      return [...canvas.getContext('2d').getImageData(...at).data];
    },
    [selector, x, y],
  );

export async function operator({ browser, check, shots }) {
  const admin = await origin();
  for (const [device, options] of DEVICES) {
    const size = device === 'desktop' ? { viewport: { width: 1440, height: 900 } } : options;
    const page = await newPage(browser, size);
    await check(`streams, alarms, recordings, jobs and edges are shown, ${device}`, async () => {
      await page.goto(admin.url);
      const card = page.getByRole('article', { name: 'harbour' });
      await card.getByText('134 viewers: ').waitFor();
      await card
        .getByRole('img', { name: /^Bitrate: 1[56]\.\d Mb\/s; in 10 min 0 s between/ })
        .waitFor();
      await card.getByText('in step for 1 h 30 min, 12 ms apart, 2 segments differed').waitFor();
      await page.getByText('cannot reach 10.0.1.8:9091').waitFor();
      await page.getByRole('progressbar', { name: 'rehearsal-2026-11-20, 63 %' }).waitFor();
      const alarms = page.getByRole('log').locator('.alarm');
      assert.match(await alarms.first().innerText(), /^Error/);
      assert.equal(await page.title(), '(2) Panocast origin');
      await page.waitForFunction(() => {
        const canvas = document.querySelector('.map canvas');
        return canvas.getContext('2d').getImageData(320, 160, 1, 1).data[0] > 60;
      });
      await audit(page);
      if (shots) await page.screenshot({ path: `${shots}/operator-${device}.png`, fullPage: true });
    });
    await check(`nothing is cut off sideways, ${device}`, async () => {
      const over = await page.evaluate(() => document.body.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${over} pixels too wide`);
    });
    assert.deepEqual(page.problems, []);
    await page.context().close();
  }
  const page = await newPage(browser, { viewport: { width: 1280, height: 800 } });
  await check('the map is warm where they look and can be switched off', async () => {
    await page.goto(admin.url);
    await page.getByText('134 viewers: ').waitFor();
    const ahead = () => dot(page, '.map canvas', 0.5, 0.5);
    await page.waitForFunction(() => {
      const { data } = document
        .querySelector('.map canvas')
        .getContext('2d')
        .getImageData(320, 160, 1, 1);
      return data[0] > 200 && data[2] < 150;
    });
    const warm = await ahead();
    await page.getByRole('checkbox', { name: 'Show where they look' }).first().uncheck();
    assert.notDeepEqual(await ahead(), warm);
  });
  await check('sending a publisher away and draining ask first; Escape means no', async () => {
    const away = page.getByRole('button', { name: 'Send publisher away… (harbour)' });
    await away.click();
    await page.getByRole('dialog', { name: 'Send the publisher of “harbour” away?' }).waitFor();
    await audit(page);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    assert.deepEqual(admin.state.asked, []);
    await away.focus();
    await page.keyboard.press('Enter');
    if (shots) await page.screenshot({ path: `${shots}/operator-question.png` });
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('The publisher of “harbour” was sent away.').waitFor();
    await page.getByRole('button', { name: 'Drain…' }).click();
    await page.getByRole('button', { name: 'Drain', exact: true }).click();
    await page.getByText('The origin drains.').waitFor();
    assert.deepEqual(admin.state.asked, ['DELETE /api/streams/harbour/publisher', 'POST /drain']);
    const silent = page.getByRole('button', { name: 'Send publisher away… (rehearsal)' });
    assert.equal(await silent.isDisabled(), true);
  });
  await check('focus stays while figures change', async () => {
    await page.goto(admin.url);
    const watch = page.getByRole('link', { name: 'Watch stage-left in the player' });
    await watch.focus();
    admin.state.overview.streams.shift();
    admin.state.overview.sample += 1;
    await page.getByRole('article', { name: 'harbour' }).waitFor({ state: 'detached' });
    assert.equal(await watch.evaluate((e) => e === document.activeElement), true);
    admin.state.overview = overview();
  });
  await check('a token is asked for where there is one, and kept for the tab', async () => {
    admin.state.locked = true;
    await page.goto(admin.url);
    await page.getByLabel('Admin token').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('That is not the token of this origin.').waitFor();
    await audit(page);
    if (shots) await page.screenshot({ path: `${shots}/operator-token.png` });
    await page.getByLabel('Admin token').fill(admin.token);
    await page.keyboard.press('Enter');
    await page.getByRole('article', { name: 'harbour' }).waitFor();
    await page.reload();
    await page.getByRole('article', { name: 'harbour' }).waitFor();
    admin.state.locked = false;
  });
  await check('an origin with nothing, and one that does not answer', async () => {
    const nothing = { streams: [], recordings: [], edges: [], transcoders: [], alarms: [] };
    Object.assign(admin.state.overview, nothing);
    await page.getByText('No stream yet.').waitFor();
    await audit(page);
    if (shots) await page.screenshot({ path: `${shots}/operator-empty.png` });
    admin.state.silent = true;
    await page.getByRole('status').filter({ hasText: 'no answer for' }).waitFor();
    admin.state.silent = false;
    await page.getByRole('status').filter({ hasText: 'in service' }).waitFor();
    assert.deepEqual(
      page.problems.filter((text) => !text.includes('ERR_EMPTY')),
      [],
    );
  });
  await page.context().close();
  admin.close();
}
