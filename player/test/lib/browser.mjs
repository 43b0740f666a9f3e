// Chromium without a screen, with WebGL in software.
import { chromium } from 'playwright-core';

export const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const ARGUMENTS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-gl=angle',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
];

export const launch = () => chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });

/** A page that fails the test when it logs an error or asks another host for anything. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 640, height: 400 }, ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (
      message.type() === 'error' &&
      !/404|503|ERR_CONNECTION|Failed to load resource/.test(message.text())
    ) {
      page.problems.push(`console: ${message.text()}`);
    }
  });
  page.on('request', (request) => {
    if (!/^(http:\/\/127\.0\.0\.1|blob:|data:)/.test(request.url()))
      page.problems.push(`outside: ${request.url()}`);
  });
  return page;
}

export async function playing(page, timeout = 20_000) {
  await page.waitForFunction(
    () => window.panocast?.state === 'playing' && window.panocast.readPixels(0.5, 0.5)[3] === 255,
    undefined,
    { timeout, polling: 100 },
  );
}
