// Builds dist/: one page, hashed files under assets/. Nothing names an absolute path or another host, so that the
// folder works below any path prefix and from a static bucket.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as esbuild from 'esbuild';

const root = new URL('.', import.meta.url).pathname;
const dist = `${root}dist`;

/** Copies a ready-made file to assets/ under a name that changes with its content. */
async function hashed(source, name) {
  const bytes = await readFile(source);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8).toUpperCase();
  const file = name.replace(/(\.\w+)$/, `-${hash}$1`);
  await writeFile(`${dist}/assets/${file}`, bytes);
  return file;
}

await rm(dist, { recursive: true, force: true });
await mkdir(`${dist}/assets`, { recursive: true });

const aframe = await hashed(`${root}node_modules/aframe/dist/aframe-v1.8.0.min.js`, 'aframe.js');
const icon = await hashed(`${root}src/icon.svg`, 'icon.svg');

const result = await esbuild.build({
  entryPoints: { main: `${root}src/main.ts`, style: `${root}src/style.css` },
  outdir: `${dist}/assets`,
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['es2022', 'safari16.4'],
  minify: true,
  legalComments: 'none',
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  metafile: true,
  define: { AFRAME_FILE: JSON.stringify(aframe) },
});

const built = (entry) =>
  basename(
    Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint?.endsWith(entry))?.[0] ??
      '',
  );
// What the entry needs at once is asked for together with it, not after it.
const entry = Object.values(result.metafile.outputs).find((o) =>
  o.entryPoint?.endsWith('src/main.ts'),
);
const preload = (entry?.imports ?? [])
  .filter(({ kind }) => kind === 'import-statement')
  .map(({ path }) => `<link rel="modulepreload" href="assets/${basename(path)}">`)
  .join('');
const page = await readFile(`${root}src/index.html`, 'utf8');
await writeFile(
  `${dist}/index.html`,
  page
    .replace('%MAIN%', `assets/${built('src/main.ts')}`)
    .replace('%STYLE%', `assets/${built('src/style.css')}`)
    .replace('%ICON%', `assets/${icon}`)
    .replace('%PRELOAD%', preload),
);

let total = 0;
let packed = 0;
const files = [...Object.keys(result.metafile.outputs).map((f) => basename(f)), aframe, icon];
for (const file of files) {
  const bytes = await readFile(`${dist}/assets/${file}`);
  const gzip = gzipSync(bytes, { level: 9 }).length;
  total += bytes.length;
  packed += gzip;
  if (process.argv.includes('--sizes')) console.log(`${bytes.length}\t${gzip}\t${file}`);
}
console.log(
  `player/dist: ${(total / 1024).toFixed(0)} KiB, gzip ${(packed / 1024).toFixed(0)} KiB`,
);
