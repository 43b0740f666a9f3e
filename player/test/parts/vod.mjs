// A recording: captions, thumbnails, seeking, the end, a shared view.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { newPage, playing } from '../lib/browser.mjs';

function asset(media) {
  const out = `${media}/vod/talk`;
  mkdirSync(out, { recursive: true });
  writeFileSync(
    `${out}/index.m3u8`,
    `#EXTM3U
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="en.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=1440x720,CODECS="avc1.640020",SUBTITLES="s"
../equirectangular-mono/index.m3u8
`,
  );
  writeFileSync(
    `${out}/en.m3u8`,
    '#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:7,\nen.vtt\n#EXT-X-ENDLIST\n',
  );
  writeFileSync(
    `${out}/en.vtt`,
    'WEBVTT\n\n00:00.000 --> 00:07.000\nGood <b>evening</b>\nfrom the harbour\n',
  );
  writeFileSync(
    `${out}/thumbnails.vtt`,
    'WEBVTT\n\n00:00.000 --> 00:03.000\nsheet.jpg#xywh=0,0,160,80\n\n00:03.000 --> 00:09.000\nsheet.jpg#xywh=160,0,160,80\n',
  );
  spawnSync('ffmpeg', [
    '-v',
    'error',
    '-y',
    '-f',
    'lavfi',
    '-i',
    'testsrc=s=320x80',
    '-frames:v',
    '1',
    `${out}/sheet.jpg`,
  ]);
}

export async function vod({ browser, server, media, check, shots }) {
  asset(media);
  const page = await newPage(browser, { viewport: { width: 960, height: 540 } });
  await check('captions can be chosen and are shown', async () => {
    await page.goto(`${server.url}/?url=/vod/talk/index.m3u8#yaw=40&pitch=10&fov=90`);
    await playing(page);
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByRole('menuitemradio', { name: 'English' }).click();
    await page.keyboard.press('Escape');
    await page.locator('.captions span', { hasText: 'Good evening' }).waitFor();
  });
  await check('a thumbnail shows where the pointer is on the bar', async () => {
    const box = await page.getByRole('slider', { name: 'Seek' }).boundingBox();
    await page.mouse.move(box.x + box.width * 0.2, box.y + 10);
    const still = page.locator('.still');
    await page.mouse.move(box.x + box.width * 0.8, box.y + 10);
    await still.waitFor();
    await page.waitForFunction(
      () => getComputedStyle(document.querySelector('.still')).backgroundPosition === '-160px 0px',
    );
    if (shots) await page.screenshot({ path: `${shots}/vod.png` });
  });
  await check('a shared link holds the view', async () => {
    await page.getByRole('button', { name: 'Share this view' }).click();
    await page.getByRole('status').filter({ hasText: /link/i }).first().waitFor();
    assert.equal(new URL(page.url()).hash, '#yaw=40&pitch=10&fov=90');
  });
  await check('the bar seeks, the end is told, and it plays again', async () => {
    await page.getByRole('slider', { name: 'Seek' }).focus();
    await page.keyboard.press('End');
    await page.getByRole('button', { name: 'Play again' }).click();
    await page.waitForFunction(
      () => panocast.state === 'playing' && panocast.snapshot.span.position < 3,
    );
    assert.deepEqual(page.problems, []);
  });
  await page.context().close();
}
