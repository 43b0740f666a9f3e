// Bundles every test/unit/*.test.ts and runs it with Node's own test runner.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as esbuild from 'esbuild';

const here = new URL('unit/', import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), 'player-unit-'));
await esbuild.build({
  entryPoints: readdirSync(here)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => here + name),
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'warning',
});
const files = readdirSync(out).map((name) => join(out, name));
const run = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' });
rmSync(out, { recursive: true });
process.exit(run.status ?? 1);
