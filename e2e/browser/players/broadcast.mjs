// Panocast's own programs on free ports: a test source with its faults, an origin that can be
// killed, an edge in front.

import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The longest anything takes to come up on a busy machine. */
const PATIENCE_MS = 60_000;
const STREAM = 'players';
/** Pictures per second of the source. */
export const FRAME_RATE = 15;

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Asks until `probe` gives something true. */
export async function until(what, probe, limit = PATIENCE_MS) {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${limit / 1000} s in vain until ${what}`);
    await sleep(50);
  }
}

class Program {
  constructor(binaries, folder, name, config) {
    this.path = path.join(binaries, `panocast-${name}`);
    this.config = path.join(folder, `${name}.toml`);
    this.log = createWriteStream(path.join(folder, `${name}.log`), { flags: 'a' });
    this.said = '';
    writeFileSync(this.config, config);
  }

  start() {
    this.child = spawn(this.path, ['--config', this.config], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.gone = new Promise((resolve, reject) => {
      this.child.on('exit', resolve);
      this.child.on('error', reject);
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.said += text;
        this.log.write(text);
      });
    }
  }

  async kill() {
    this.child?.kill('SIGKILL');
    await this.gone;
  }
}

/** A running broadcast. `binaries`: folder of the programs; `lowLatency`: parts or not. */
export async function startBroadcast({ binaries, folder, lowLatency }) {
  mkdirSync(folder, { recursive: true });
  const [rtmp, http, admin, edgeHttp, edgeAdmin] = await Promise.all(
    Array.from({ length: 5 }, freePort),
  );
  const origin = new Program(
    binaries,
    folder,
    'origin',
    `
[log]
level = "info"
[origin]
rtmp_listen = "127.0.0.1:${rtmp}"
http_listen = "127.0.0.1:${http}"
admin_listen = "127.0.0.1:${admin}"
state = "${folder}/state"
record = false
[origin.hls]
low_latency = ${lowLatency}
[[origin.ladder]]
width = 432
bitrate = "300k"
preset = "ultrafast"
[store]
ingest = "file://${folder}/ingest"
egress = "file://${folder}/egress"
[jobs]
queue = "sqlite://${folder}/jobs.db"
`,
  );
  const edge = new Program(
    binaries,
    folder,
    'edge',
    `
[log]
level = "info"
[edge]
listen = "127.0.0.1:${edgeHttp}"
admin_listen = "127.0.0.1:${edgeAdmin}"
origins = ["http://127.0.0.1:${http}"]
[store]
egress = "file://${folder}/egress"
`,
  );
  origin.start();
  edge.start();
  let source;

  /** Starts the test source with the keys of `[test-source.faults]` given. */
  const publish = (faults = '') => {
    source = new Program(
      binaries,
      folder,
      'test-source',
      `
[log]
level = "info"
[test-source]
targets = ["rtmp://127.0.0.1:${rtmp}/live/${STREAM}"]
width = 960
frame_rate = ${FRAME_RATE}
gop = "1s"
bitrate = "1500k"
preset = "ultrafast"
threads = 1
[test-source.faults]
${faults}
`,
    );
    source.start();
  };

  const ask = (url) => fetch(url).catch(() => undefined);
  const stream = async () => {
    const answer = await ask(`http://127.0.0.1:${admin}/api/streams`);
    return answer?.ok ? (await answer.json()).find((one) => one.name === STREAM) : undefined;
  };
  return {
    url: `http://127.0.0.1:${edgeHttp}/hls/${STREAM}.m3u8`,
    publish,
    stream,
    sourceSaid: (what) => what.test(source.said),
    stopSource: () => source.kill(),
    killOrigin: () => origin.kill(),
    startOrigin: () => origin.start(),
    /** How often the origin has begun a new timeline, and why. */
    discontinuities: () => origin.said.match(/discontinuity.*reason=\S+/g) ?? [],
    async ready() {
      await until('the multivariant playlist lists the rung', async () => {
        const answer = await ask(this.url);
        return answer?.ok && (await answer.text()).includes('216p/');
      });
    },
    async close() {
      await Promise.all([source?.kill(), origin.kill(), edge.kill()]);
    },
  };
}
