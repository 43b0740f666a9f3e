// `panocast up` with its test source on free ports of this machine, for programs that watch it in a browser.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import path from 'node:path';
import { root } from './page.mjs';

const PATIENCE_MS = 60_000;

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

/**
 * Starts it in `folder` and waits until the stream can be watched. `origin`, `ladder` and `source` are lines of TOML;
 * `profile` names the folder below the target folder that holds the program. `stop()` waits until it has ended.
 */
export async function startPanocast(folder, { lowLatency = true, origin = '', ladder = '', source = 'width = 1280', profile = 'release' } = {}) {
  const [rtmp, http, admin, edge, edgeAdmin, workerAdmin] = await Promise.all(Array.from({ length: 6 }, freePort));
  const config = path.join(folder, 'panocast.toml');
  writeFileSync(config, `
[log]
level = "warn"
[origin]
rtmp_listen = "127.0.0.1:${rtmp}"
http_listen = "127.0.0.1:${http}"
admin_listen = "127.0.0.1:${admin}"
record = false
${ladder}
[origin.hls]
low_latency = ${lowLatency}
${origin}
[edge]
listen = "127.0.0.1:${edge}"
admin_listen = "127.0.0.1:${edgeAdmin}"
player = "${path.join(root, 'player/dist')}"
[transcoder]
admin_listen = "127.0.0.1:${workerAdmin}"
[test-source]
targets = ["rtmp://127.0.0.1:${rtmp}/live/test"]
${source}
`);
  const target = process.env.CARGO_TARGET_DIR ?? path.join(homedir(), '.cache/panocast/target');
  const child = spawn(path.join(target, profile, 'panocast'), ['up', '--config', config], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  const base = `http://127.0.0.1:${edge}`;
  const until = Date.now() + PATIENCE_MS;
  while (!(await fetch(`${base}/hls/test.m3u8`).then((answer) => answer.ok, () => false))) {
    if (Date.now() > until || child.exitCode !== null) {
      await stop();
      throw new Error('panocast up did not get to a first picture');
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return { base, admin: `http://127.0.0.1:${admin}`, stop };
}
