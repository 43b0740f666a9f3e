import assert from 'node:assert/strict';
import { test } from 'node:test';
import { infoFor, PLAIN, parseInfo } from '../../src/media/info.ts';
import { CALM, LiveLatency } from '../../src/media/live-latency.ts';
import { firstVariant, judge, lastNumber } from '../../src/media/probe.ts';
import { cap, fitting, label, sharpness, wanted } from '../../src/media/quality.ts';
import { asksAgain, next, type Phase, retryDelay, words } from '../../src/media/state.ts';
import { parseThumbnails, thumbnailAt } from '../../src/media/thumbnails.ts';
import { bufferedAhead, clock, latencyOf, nextBuffered, spoken } from '../../src/media/timing.ts';
import { AFTER, type Sample, Watchdog } from '../../src/media/watchdog.ts';

const PHASES: Phase[] = [
  'connecting',
  'waiting',
  'unreachable',
  'buffering',
  'quiet',
  'playing',
  'paused',
  'blocked',
  'ended',
  'finished',
  'failed',
];

test('every state but playing and paused has words', () => {
  for (const phase of PHASES) {
    const silent = phase === 'playing' || phase === 'paused';
    assert.equal(words(phase) === undefined, silent, phase);
    assert.notEqual(words(phase)?.title, '');
  }
});

test('from every state a playing picture leads to playing, and an open to connecting', () => {
  for (const phase of PHASES) {
    assert.equal(next(phase, { kind: 'playing' }), 'playing');
    assert.equal(next(phase, { kind: 'open' }), 'connecting');
  }
  assert.equal(
    next('ended', { kind: 'absent' }),
    'ended',
    'an ended stream whose playlist goes away stays ended',
  );
  assert.equal(next('connecting', { kind: 'absent' }), 'waiting');
  assert.equal(
    next('paused', { kind: 'starved' }),
    'paused',
    'a viewer who paused is not told about buffers',
  );
  assert.equal(next('waiting', { kind: 'quiet' }), 'waiting');
  assert.deepEqual(PHASES.filter(asksAgain), ['waiting', 'unreachable', 'ended', 'failed']);
});

test('questions come quickly at first and never slower than five seconds and a bit', () => {
  assert.ok(retryDelay(0, 0.5) <= 1001);
  for (let n = 0; n < 100; n++) assert.ok(retryDelay(n, 1) <= 5000 && retryDelay(n, 0) >= 799);
});

function dog(): { check(over: Partial<Sample>): string; at: number } {
  const watchdog = new Watchdog();
  watchdog.reset(0);
  const base: Sample = {
    now: 0,
    wants: true,
    live: true,
    following: true,
    position: 10,
    nextBuffered: undefined,
    ahead: 3,
    edge: 15,
    closed: false,
    latency: 2,
    target: 2,
    targetDuration: 2,
  };
  return {
    at: 0,
    check(over) {
      this.at += 1;
      return watchdog.check({ ...base, now: this.at, ...over });
    },
  };
}

test('the watchdog leaves a healthy stream and a paused viewer alone', () => {
  const d = dog();
  for (let i = 0; i < 60; i++) assert.equal(d.check({ position: 10 + i, edge: 15 + i }), 'nothing');
  const paused = dog();
  for (let i = 0; i < 60; i++)
    assert.equal(paused.check({ wants: false, edge: 15 + i, latency: 60 }), 'nothing');
});

test('a gap is skipped, a hang goes live and then starts over, silence is said and then asked about', () => {
  const gap = dog();
  const remedies = [1, 2, 3, 4].map(() => gap.check({ ahead: 0, nextBuffered: 12 }));
  assert.ok(remedies.includes('skip gap'), remedies.join());
  const hang = dog();
  const seen = Array.from({ length: 14 }, (_, i) => hang.check({ edge: 15 + i }));
  assert.ok(
    seen.indexOf('go live') >= AFTER.goLive - 1 &&
      seen.indexOf('rebuild') > seen.indexOf('go live'),
    seen.join(),
  );
  const slow = dog();
  const waits = Array.from({ length: 11 }, (_, i) => slow.check({ edge: 15 + i, ahead: 0 }));
  assert.ok(
    waits.every((w) => w === 'nothing'),
    'a slow line gets its time',
  );
  const silent = dog();
  const said = Array.from({ length: 24 }, () => silent.check({ ahead: 0 }));
  assert.ok(said.indexOf('say quiet') >= AFTER.quiet - 1, said.join());
  assert.ok(said.indexOf('ask') >= AFTER.ask - 1, said.join());
  assert.ok(!said.includes('rebuild'), 'nothing to rebuild while the publisher is away');
  const over = dog();
  const end = Array.from({ length: 5 }, () =>
    over.check({ live: false, closed: true, position: 14.5, ahead: 0 }),
  );
  assert.ok(end.includes('finish'), end.join());
});

test('latency that crept up is taken back by a jump, but not from someone who rewound', () => {
  const late = dog();
  const seen = [0, 1, 2, 3, 4, 5, 6].map((i) =>
    late.check({ position: 10 + i, edge: 40 + i, latency: 30 }),
  );
  assert.ok(seen.includes('go live'), seen.join());
  const rewound = dog();
  for (let i = 0; i < 20; i++) {
    assert.equal(
      rewound.check({ following: false, position: 10 + i, edge: 40 + i, latency: 30 }),
      'nothing',
    );
  }
});

test('info.json is read leniently', () => {
  assert.deepEqual(parseInfo(null), PLAIN);
  const info = parseInfo({
    projection: 'eac',
    stereo: 'sideways',
    yaw: 12.5,
    pitch: 'x',
    state: 'live',
    started_at: '2026-01-02T03:04:05Z',
  });
  assert.equal(info.projection, 'eac');
  assert.equal(info.stereo, 'mono');
  assert.deepEqual([info.yaw, info.pitch, info.state], [12.5, 0, 'live']);
  assert.equal(info.startedAt?.getUTCFullYear(), 2026);
});

test('a rung of another projection is told by its size', () => {
  const rungs = [
    { width: 1440, height: 960, projection: 'eac' },
    { width: 720, height: 480, projection: 'octahedron' },
    'noise',
  ];
  const info = parseInfo({ projection: 'dual-fisheye', fov: 200, yaw: 30, rungs });
  assert.equal(info.rungs.length, 1, 'what is not understood is left out');
  assert.equal(infoFor(info, 3840, 1920), info);
  const rung = infoFor(info, 1440, 960);
  assert.deepEqual([rung.projection, rung.fov, rung.yaw], ['eac', undefined, 30]);
});

test('playlists are told apart', () => {
  const top =
    '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n# a comment\ntest/source/index.m3u8\n#EXT-X-STREAM-INF:B=2\nb.m3u8';
  assert.equal(firstVariant(top), 'test/source/index.m3u8');
  assert.equal(firstVariant('#EXTM3U\n#EXTINF:2,\na.m4s'), undefined);
  assert.equal(judge('#EXTM3U\n#EXTINF:2,\na.m4s'), 'live');
  assert.equal(judge('#EXTM3U\r\n#EXT-X-ENDLIST\r\n'), 'ended');
  assert.equal(judge('<html>'), 'absent');
  assert.equal(lastNumber('#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\na\n#EXTINF:2,\nb'), 8);
  assert.equal(lastNumber('#EXTM3U'), undefined);
});

const LADDER = [
  { width: 480, height: 240, bitrate: 5e5 },
  { width: 960, height: 480, bitrate: 2.3e6 },
  { width: 1920, height: 960, bitrate: 5.8e6 },
  { width: 3840, height: 1920, bitrate: 16e6 },
];

test('the rung follows the pixels per degree of the view, not the size of an element', () => {
  const desktop = wanted(1080, 80);
  assert.ok(desktop > 11 && desktop < 12, `${desktop} pixels per degree`);
  assert.equal(cap(LADDER, PLAIN, 180, desktop), 3);
  assert.equal(cap(LADDER, PLAIN, 180, wanted(400, 80)), 2);
  assert.equal(cap(LADDER, PLAIN, 180, wanted(400, 30)), 3, 'who zooms in gets a sharper rung');
  const half = { ...PLAIN, projection: 'half-equirectangular' as const };
  assert.equal(cap(LADDER, half, 180, wanted(400, 80)), 1, 'half the world needs half the pixels');
  const pair = { ...PLAIN, stereo: 'side-by-side' as const };
  assert.equal(sharpness({ width: 1920, height: 960, bitrate: 1 }, pair, 180), 960 / 360);
  assert.equal(cap([], PLAIN, 180, 10), -1);
  const faces = parseInfo({ rungs: [{ width: 1440, height: 960, projection: 'eac' }] });
  assert.equal(sharpness({ width: 1440, height: 960, bitrate: 1 }, faces, 180), 1920 / 360);
});

test('no rung that a texture cannot hold, but always one', () => {
  assert.deepEqual(fitting(LADDER, 4096), [0, 1, 2, 3]);
  assert.deepEqual(fitting(LADDER, 2048), [0, 1, 2]);
  assert.deepEqual(fitting(LADDER, 100), [0]);
  assert.equal(label({ width: 3840, height: 1920, bitrate: 16e6 }), '4K · 3840 × 1920 · 16.0 Mb/s');
});

const ranges = (...pairs: [number, number][]): TimeRanges => ({
  length: pairs.length,
  start: (i) => pairs[i]?.[0] ?? 0,
  end: (i) => pairs[i]?.[1] ?? 0,
});

test('times', () => {
  const video = { currentTime: 5, buffered: ranges([0, 8], [10, 12]) };
  assert.equal(bufferedAhead(video), 3);
  assert.equal(nextBuffered(video), 10);
  assert.equal(bufferedAhead({ ...video, currentTime: 9 }), 0);
  assert.equal(clock(3725), '1:02:05');
  assert.equal(clock(62.9), '1:02');
  assert.equal(spoken(3725), '1 hour 2 minutes 5 seconds');
  assert.equal(spoken(0), '0 seconds');
  const hls = { playingDate: new Date(10_000), latency: 3 };
  assert.equal(latencyOf(hls, 12_500), 2.5);
  assert.equal(latencyOf(hls, 0), 3, 'clocks that disagree are not believed');
  assert.equal(latencyOf(undefined, 0), undefined);
});

test('thumbnails', () => {
  const vtt =
    'WEBVTT\n\n00:00.000 --> 00:05.000\nsheet.jpg#xywh=0,0,160,80\n\n00:00:05.000 --> 00:00:10.000\nsheet.jpg#xywh=160,0,160,80\n';
  const cues = parseThumbnails(vtt, 'http://x/vod/a/thumbnails.vtt');
  assert.equal(cues.length, 2);
  assert.deepEqual(thumbnailAt(cues, 7), {
    from: 5,
    to: 10,
    url: 'http://x/vod/a/sheet.jpg',
    part: [160, 0, 160, 80],
  });
  assert.equal(thumbnailAt(cues, 99)?.from, 5);
  assert.equal(thumbnailAt([], 1), undefined);
  assert.deepEqual(parseThumbnails('<html>', 'http://x/'), []);
});

test('after a stall the player comes closer to live again, and tries less often where that costs one', () => {
  const liveLatency = new LiveLatency();
  liveLatency.reset(0);
  let target = 1.5;
  let stalls = 0;
  const closer = (from: number, to: number): number[] => {
    const at: number[] = [];
    for (let now = from; now < to; now += 1) {
      const next = liveLatency.check(now, stalls, target, 1.5, 0.5);
      if (next !== undefined) {
        target = next;
        at.push(now);
      }
    }
    return at;
  };
  const stall = (): void => {
    stalls += 1;
    target += 0.5;
  };
  assert.deepEqual(closer(0, 100), [], 'close as can be');
  stall();
  stall();
  assert.deepEqual(closer(100, 300), [100 + CALM, 100 + 2 * CALM], 'a step a minute');
  assert.equal(target, 1.5);
  stall();
  assert.deepEqual(closer(300, 300 + 2 * CALM), [], 'it was too close: twice the patience');
  assert.deepEqual(closer(300 + 2 * CALM, 600), [300 + 2 * CALM]);
  stall();
  assert.deepEqual(closer(600, 600 + 5 * CALM), [600 + 4 * CALM]);
});
