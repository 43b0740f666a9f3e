// One picture of every projection and stereo layout, as a desk and as a phone show it: `node test/sheet.mjs [--out FILE]`.
// The screenshots are those of the pixel tests, which must pass; looking at the sheet shows what they do not ask:
// whether labels read right, where seams are, how the page around the picture looks.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './lib/browser.mjs';
import { LAYOUTS, SHAPES } from './lib/pattern.mjs';

const { values: options } = parseArgs({
  options: {
    out: {
      type: 'string',
      default: new URL('../../docs/images/shapes.png', import.meta.url).pathname,
    },
  },
});

const shots = mkdtempSync(join(tmpdir(), 'panocast-shots-'));
const img = (name) => {
  const data = readFileSync(`${shots}/${name}.png`).toString('base64');
  return `<img src="data:image/png;base64,${data}" height="130">`;
};
const cell = (shape, layout, views) =>
  `<td>${views.map((view) => img(`${shape}-${layout}-${view}`)).join(' ')}</td>`;
const row = (shape) =>
  `<tr><th>${shape}</th>${LAYOUTS.map((layout) => cell(shape, layout, ['desktop', 'phone'])).join('')}` +
  `${cell(shape, 'mono', ['back', 'up'])}</tr>`;
try {
  const tests = new URL('browser.mjs', import.meta.url).pathname;
  const env = { ...process.env, SHOTS: shots };
  const run = spawnSync(process.execPath, [tests, 'pixels'], { env, stdio: 'inherit' });
  if (run.status !== 0) throw new Error('the pixel tests failed');
  const browser = await launch();
  const page = await browser.newPage({ viewport: { width: 1800, height: 100 } });
  const heads = [...LAYOUTS, 'behind and above'].map((head) => `<th>${head}</th>`).join('');
  await page.setContent(`<style>
      body { font: 15px sans-serif; margin: 0 }
      table { width: max-content }
      tr > :first-child { writing-mode: vertical-rl; rotate: 180deg }
      td { padding: 3px 5px }
    </style><table><tr><th></th>${heads}</tr>${Object.keys(SHAPES).map(row).join('')}</table>`);
  await page.locator('table').screenshot({ path: options.out });
  await browser.close();
  console.log(`written: ${options.out}`);
} finally {
  rmSync(shots, { recursive: true });
}
