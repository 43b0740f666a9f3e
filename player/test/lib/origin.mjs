// What an origin's admin listener answers to the operator's page: a fixed state that a test may change, and a record of
// what the page asked for. The page comes as its source files; that the program puts them together is its own test's.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const PAGE = new URL('../../../origin/src/operator/page/', import.meta.url);
const TOKEN = 'let-me-in';

function document() {
  const read = (name) => readFileSync(new URL(name, PAGE), 'utf8');
  return read('index.html')
    .replace('%STYLE%', () => read('style.css'))
    .replace('<script>%SCRIPT%</script>', '<script type="module" src="main.js"></script>');
}

function still() {
  const filter = 'testsrc2=s=640x320:r=1,drawgrid=w=iw/12:h=ih/6:color=white@0.4';
  const args = ['-v', 'error', '-f', 'lavfi', '-i', filter, '-frames:v', '1', '-f', 'mjpeg', '-'];
  return spawnSync('ffmpeg', args).stdout;
}

/** Ten minutes of `[bits per second, frames, seconds, milliseconds]` with a dip and a hole, the same each time. */
function samples(bitrate, hole) {
  return Array.from({ length: 600 }, (_, t) => {
    if (t >= hole && t < hole + 30) return null;
    const wave = Math.sin(t / 9) + Math.sin(t / 23);
    const dip = t > 420 && t < 450 ? 0.6 : 1;
    return [
      bitrate * dip * (1 + wave / 40),
      30 * (dip < 1 ? 0.93 : 1),
      2,
      3 + 2 * Math.abs(wave) + (dip < 1 ? 60 : 0),
    ];
  });
}

const rung = (height, bitrate, state = 'running', sheds = 0) => ({
  name: `${height}p`,
  width: height * 2,
  height,
  bitrate_max: bitrate,
  state,
  sheds,
  reason: state === 'shed' ? 'the machine cannot keep up' : null,
});

function stream(name, more) {
  return {
    name,
    state: 'live',
    publisher: {
      address: '203.0.113.7:51822',
      encoder: 'FMLE/3.0 (compatible; FMSc/1.0)',
      since: '2026-11-20T09:00:00Z',
      health: { bitrate_bps: 15_900_000, frame_rate: 30, gop_seconds: 2, jitter_ms: 4.2 },
      damaged_tags: 0,
    },
    tracks: {
      video: { codec: 'avc1.640033', width: 3840, height: 1920, frame_rate: 30 },
      audio: { codec: 'mp4a.40.2', sample_rate: 48000, channels: 2 },
    },
    immersive: {
      projection: 'equirectangular',
      stereo: 'mono',
      orientation: { yaw: 0, pitch: 0, roll: 0 },
    },
    run: {
      target_duration: 3,
      window_bytes: 149_000_000,
      rungs: [rung(960, 6_380_000), rung(480, 2_530_000), rung(240, 550_000)],
      recording: { dropped_units: 0 },
    },
    pairing: { state: 'locked', locked_seconds: 5400, offset_ms: 12, disagreements: 2 },
    conformance: { violations: 0, rules: {} },
    audience: { viewers: 0, views: [] },
    history: { first: 1, samples: samples(15_900_000, -99) },
    ...more,
  };
}

/** Most look ahead and to the left, a few behind. */
function views() {
  return Array.from({ length: 7 }, (_, row) =>
    Array.from({ length: 12 }, (_, column) => {
      const near = (r, c, weight) => weight * Math.exp(-((row - r) ** 2 + (column - c) ** 2));
      return row === 0 || row === 6 ? 0 : near(3, 6, 64) + near(3, 3.5, 25) + near(2, 0, 6);
    }),
  );
}

export function overview() {
  return {
    version: '0.1.0',
    sample: 600,
    readiness: { ready: true, weight: 100, unmet: {} },
    player: 'http://127.0.0.1:1/',
    streams: [
      stream('harbour', { audience: { viewers: 134, views: views() } }),
      stream('stage-left', {
        immersive: {
          projection: 'half-equirectangular',
          stereo: 'side-by-side',
          orientation: { yaw: 30, pitch: 0, roll: 0 },
        },
        run: {
          target_duration: 3,
          window_bytes: 98_000_000,
          rungs: [rung(960, 6_380_000, 'shed', 2), rung(480, 2_530_000)],
          recording: null,
        },
        pairing: { state: 'alone', locked_seconds: null, offset_ms: null, disagreements: 0 },
        audience: { viewers: 1, views: [] },
        history: { first: 1, samples: samples(11_200_000, 200) },
      }),
      stream('rehearsal', {
        publisher: null,
        history: { first: 571, samples: Array(30).fill(null) },
      }),
    ],
    recordings: [
      {
        stream: 'harbour',
        key: 'harbour/2026-11-20T09-00-00Z.mp4',
        live: true,
        bytes: 7_300_000_000,
        confirmed_bytes: 7_215_000_000,
        failing: null,
      },
      {
        stream: 'rehearsal',
        key: 'rehearsal/2026-11-20T07-10-00Z.mp4',
        live: false,
        bytes: 910_000_000,
        confirmed_bytes: 402_000_000,
        failing: null,
      },
    ],
    edges: [
      {
        url: 'http://10.0.1.7:9091',
        report: {
          viewers: 135,
          cache: { bytes: 412_000_000, objects: 960 },
          origins: [
            { url: 'http://10.0.0.4:8081', up: true },
            { url: 'http://10.0.0.5:8081', up: false },
          ],
          readiness: { ready: true },
        },
      },
      { url: 'http://10.0.1.8:9091', trouble: 'cannot reach 10.0.1.8:9091: connection refused' },
    ],
    transcoders: [
      {
        url: 'http://10.0.2.3:9092',
        report: {
          jobs: {
            running: [
              {
                asset: 'rehearsal-2026-11-20',
                slice: 4,
                slices: 12,
                done: 0.63,
                speed: 2.41,
                left_seconds: 14,
              },
              {
                asset: 'rehearsal-2026-11-20',
                slice: 5,
                slices: 12,
                done: 0.12,
                speed: 2.3,
                left_seconds: null,
              },
            ],
            failures: [],
            assets_done: 3,
          },
          queue: { waiting: 7, held: 2, dead: 0 },
        },
      },
    ],
    alarms: [
      {
        level: 'warning',
        at: 'stage-left',
        what: 'rung 960p is shed: the machine cannot keep up',
        remedy: 'take a rung out of the ladder, or give the origin more cores',
      },
      {
        level: 'error',
        at: 'rehearsal',
        what: 'nobody publishes; viewers wait',
        remedy: 'start the encoder again before the reconnect window is over',
      },
    ],
  };
}

/** Serves the page and `state.overview`; with `state.locked` it wants the token. `asked` holds what was not a GET. */
export async function origin() {
  const state = { overview: overview(), locked: false, silent: false, asked: [] };
  const picture = still();
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    const answer = (status, type, body) =>
      response.writeHead(status, { 'content-type': type }).end(body);
    if (state.silent) return request.socket.destroy();
    if (pathname === '/') return answer(200, 'text/html; charset=utf-8', document());
    if (/^\/\w+\.js$/.test(pathname))
      return answer(200, 'text/javascript', readFileSync(new URL(`.${pathname}`, PAGE)));
    if (state.locked && request.headers.authorization !== `Bearer ${TOKEN}`)
      return answer(401, 'application/json', '{"error":"bearer token needed"}');
    if (request.method !== 'GET') {
      state.asked.push(`${request.method} ${pathname}`);
      return answer(200, 'application/json', '{}');
    }
    if (pathname.endsWith('/still')) return answer(200, 'image/jpeg', picture);
    return answer(200, 'application/json', JSON.stringify(state.overview));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  return { url, state, token: TOKEN, close: () => server.close() };
}
