import assert from 'node:assert/strict';
import test from 'node:test';
import { Pace } from '../../src/scene/frame-pacing.ts';
import { conversion, planesOf, rgb } from '../../src/scene/yuv-textures.ts';

function seen(matrix: string, fullRange: boolean, sample: number[]): number[] {
  const found = conversion(matrix, fullRange);
  assert.ok(found);
  return rgb(found, sample);
}

test('colours of broadcasts come out as their standards say', () => {
  // Full bars as ITU-R BT.601 and BT.709 code them, limited range.
  assert.deepEqual(seen('bt709', false, [235, 128, 128]), [255, 255, 255]);
  assert.deepEqual(seen('bt709', false, [16, 128, 128]), [0, 0, 0]);
  assert.deepEqual(seen('bt709', false, [63, 102, 240]), [255, 1, 0]);
  assert.deepEqual(seen('smpte170m', false, [81, 90, 240]), [254, 0, 0]);
  assert.deepEqual(seen('smpte170m', false, [145, 54, 34]), [0, 255, 1]);
  assert.deepEqual(seen('bt470bg', true, [29, 255, 107]), [0, 0, 254]);
  assert.deepEqual(seen('bt2020-ncl', true, [200, 128, 128]), [200, 200, 200]);
});

test('colour spaces that are no matrix are left to the browser', () => {
  assert.equal(conversion('rgb', true), undefined);
  assert.equal(conversion('bt2020-cl', false), undefined);
});

test('planes lie one behind the other, also of odd sizes', () => {
  assert.deepEqual(planesOf(5, 3, true), [
    { start: 0, width: 5, height: 3, samples: 1 },
    { start: 15, width: 3, height: 2, samples: 2 },
  ]);
  assert.deepEqual(planesOf(4, 2, false), [
    { start: 0, width: 4, height: 2, samples: 1 },
    { start: 8, width: 2, height: 1, samples: 1 },
    { start: 10, width: 2, height: 1, samples: 1 },
  ]);
});

/** A context whose drawings are done when `finish` says so. */
function context(): { gl: WebGL2RenderingContext; finish(): void; syncs(): number } {
  let [signalled, open] = [false, 0];
  const gl = {
    SYNC_STATUS: 1,
    SIGNALED: 2,
    SYNC_GPU_COMMANDS_COMPLETE: 3,
    fenceSync: () => {
      signalled = false;
      open += 1;
      return {};
    },
    deleteSync: () => {
      open -= 1;
    },
    getSyncParameter: () => (signalled ? 2 : 0),
    flush: () => undefined,
  };
  return {
    gl: gl as unknown as WebGL2RenderingContext,
    finish: () => {
      signalled = true;
    },
    syncs: () => open,
  };
}

test('after a drawing the processor is left alone for as long as the drawing took', () => {
  const { gl, finish, syncs } = context();
  let now = 1000;
  const pace = new Pace(gl, () => now);
  assert.ok(pace.rested(), 'nothing was drawn');
  pace.drawn();
  now += 40;
  assert.ok(!pace.done() && !pace.rested());
  finish();
  assert.ok(pace.done(), 'a turned view is drawn at once');
  assert.ok(!pace.rested(), 'a frame is not');
  now += 39;
  assert.ok(!pace.rested());
  now += 1;
  assert.ok(pace.rested());
  pace.drawn();
  pace.drawn();
  finish();
  assert.ok(pace.done());
  assert.equal(syncs(), 0, 'no sync is left behind');
});
