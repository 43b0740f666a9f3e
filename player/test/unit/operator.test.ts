// The pure parts of the operator's page, which lives with the origin.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count, duration, rate, size } from '../../../origin/src/operator/page/format.js';
import { between, directions } from '../../../origin/src/operator/page/map.js';
import { ceiling, paths } from '../../../origin/src/operator/page/plot.js';
import { Overview } from '../../../origin/src/operator/page/server.js';

const table = (cells: Record<string, number>): number[][] =>
  Array.from({ length: 7 }, (_, row) =>
    Array.from({ length: 12 }, (_, column) => cells[`${row},${column}`] ?? 0),
  );

test('numbers read easily', () => {
  assert.deepEqual([rate(15_920_000), rate(480_400)], ['15.9 Mb/s', '480 kb/s']);
  assert.deepEqual(
    [size(999), size(1500), size(149e6), size(7.25e9)],
    ['999 B', '1.5 kB', '149 MB', '7.3 GB'],
  );
  assert.deepEqual(
    [duration(59.6), duration(3725), duration(90_000)],
    ['1 min 0 s', '1 h 2 min', '1 d 1 h'],
  );
  assert.deepEqual([count(1, 'viewer'), count(0, 'viewer')], ['1 viewer', '0 viewers']);
  assert.deepEqual([37.5, 20, 0.21, 99, 1000].map(ceiling), [40, 20, 0.25, 100, 1000]);
});

test('a hole breaks the line, and the newest sample is at the right', () => {
  const { outline, filled } = paths([1, 2, undefined, 3], (v: number) => v * 10);
  assert.equal(outline, 'M298.5 10.0L299.0 20.0M300.0 30.0');
  assert.equal(filled.match(/Z/g)?.length, 2);
  assert.equal(paths([undefined], (v: number) => v).outline, '');
});

test('the heat is where they look, wraps at the back and has one value at a pole', () => {
  const ahead = table({ '3,6': 8 });
  assert.equal(between(ahead, 0.5, 0.5), 8);
  assert.equal(between(ahead, 0, 0.5), 0);
  const behind = table({ '3,0': 4 });
  assert.equal(between(behind, 0, 0.5), 4);
  assert.equal(between(behind, 0.999, 0.5) > 3.9, true);
  assert.equal(between(behind, 1.25, 0.5), between(behind, 0.25, 0.5));
  const up = table({ '0,0': 2 });
  assert.deepEqual([between(up, 0.1, 0), between(up, 0.7, 0)], [2, 2]);
  assert.equal(between([], 0.5, 0.5), 0);
});

test('directions in words', () => {
  const sums = directions(table({ '3,6': 5, '3,3': 2, '4,9': 1, '3,0': 4, '0,0': 3, '6,0': 6 }));
  assert.deepEqual(sums, { ahead: 5, left: 2, right: 1, behind: 4, up: 3, down: 6 });
});

test('histories are put together from what each answer adds', () => {
  const overview = new Overview(3);
  const take = (
    sample: number,
    known: number,
    name: string,
    first: number,
    samples: unknown[],
  ): unknown[] => {
    const stream = { name, history: { first, samples }, samples: [] as unknown[] };
    overview.take({ sample, streams: [stream] }, known);
    return stream.samples;
  };
  assert.deepEqual(take(2, -1, 'a', 1, [1, 2]), [1, 2]);
  assert.deepEqual(take(4, 2, 'a', 3, [3, null]), [2, 3, null]);
  assert.deepEqual(take(4, 4, 'a', 5, []), [2, 3, null]);
  // The origin was started again: what was known is another process's.
  assert.deepEqual(take(1, 4, 'a', 2, []), []);
  assert.deepEqual(take(5, 1, 'b', 5, [9]), [9]);
});
