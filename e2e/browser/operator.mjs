// The operator's page of a running origin in Chromium while somebody watches: `node operator.mjs OPERATOR PLAYER [SHOT]`.
//
// Waits until the page shows the stream's picture and where the viewer looks, sends the publisher away by its button, and
// prints one line of JSON: what was read, and every error that the browser noticed.

import { launch, open } from './page.mjs';

const [operator, player, shot] = process.argv.slice(2);
const PATIENCE = { timeout: 30_000 };

function listen(page) {
  const problems = [];
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(operator) && !/^(blob|data):/.test(request.url())) problems.push(`asks ${request.url()}`);
  });
  return problems;
}

const browser = await launch();
try {
  await open(browser, player);
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const problems = listen(page);
  await page.goto(operator);
  const card = page.locator('article');
  await card.locator('.looks', { hasText: /^1 viewer: \d+ % look left/ }).waitFor(PATIENCE);
  await page.waitForFunction(() => {
    const canvas = document.querySelector('.map canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((channel, at) => at % 4 < 3 && channel > 128);
  }, undefined, PATIENCE);
  const read = {
    name: await card.locator('h3').innerText(),
    badge: await card.locator('.badge').innerText(),
    plots: await card.locator('.plot svg').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label'))),
  };
  if (shot) await page.screenshot({ path: shot, fullPage: true });
  await card.getByRole('button', { name: /^Send publisher away/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Send away' }).click();
  await page.getByText(/was sent away\.$/).waitFor(PATIENCE);
  await card.locator('.badge', { hasText: 'Waiting' }).waitFor(PATIENCE);
  console.log(JSON.stringify({ ...read, problems }));
} finally {
  await browser.close();
}
