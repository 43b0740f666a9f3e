import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PLAIN } from '../../src/media/info.ts';
import { layerAttitude, layerFor } from '../../src/scene/equirect-layer.ts';
import {
  apply,
  attitude,
  attitudeHeading,
  coarse,
  direction,
  drag,
  glide,
  heading,
  rotate,
  toPicture,
  type Vector,
  verticalFov,
  wrap,
} from '../../src/scene/orientation.ts';

const near = (a: number, b: number, within = 1e-9): boolean => Math.abs(a - b) <= within;
const same = (a: Vector, b: Vector): boolean => a.every((c, i) => near(c, b[i] ?? 9, 1e-6));

test('yaw is counter-clockwise from above, pitch is up, and both come back', () => {
  assert.ok(same(direction(0, 0), [0, 0, -1]));
  assert.ok(same(direction(90, 0), [-1, 0, 0]), 'a quarter turn to the left');
  assert.ok(same(direction(0, 90), [0, 1, 0]));
  for (const [yaw, pitch] of [
    [10, 20],
    [-170, -80],
    [179, 5],
    [90, 0],
  ] as const) {
    const back = heading(direction(yaw, pitch));
    assert.ok(near(back.yaw, yaw, 1e-6) && near(back.pitch, pitch, 1e-6), `${yaw} ${pitch}`);
  }
  assert.equal(wrap(190), -170);
  assert.equal(wrap(-540), 180);
});

test('a view is told to thirty degrees', () => {
  for (const [yaw, pitch, told] of [
    [0, 0, '0.0'],
    [-14, 14, '0.0'],
    [16, -16, '30.-30'],
    [179, 89, '180.90'],
    [-179, 0, '-180.0'],
    [350, 0, '0.0'],
  ] as const)
    assert.equal(coarse({ yaw, pitch }), told);
});

test('what lies at the picture’s yaw and pitch is the picture’s middle', () => {
  for (const [yaw, pitch, roll] of [
    [30, 0, 0],
    [0, 25, 0],
    [-100, 40, 15],
    [180, -30, -60],
  ] as const) {
    assert.ok(
      same(apply(toPicture(yaw, pitch, roll), direction(yaw, pitch)), [0, 0, -1]),
      `${yaw} ${pitch} ${roll}`,
    );
  }
});

test('roll turns the picture clockwise: what was up leans to the right', () => {
  // The world's "up and a little right" shows the picture's "up".
  const seen = apply(toPicture(0, 0, 30), [Math.sin(Math.PI / 6), Math.cos(Math.PI / 6), 0]);
  assert.ok(same(seen, [0, 1, 0]), String(seen));
});

test('the matrix of the sphere and the attitude of the headset’s layer agree', () => {
  const info = { ...PLAIN, yaw: 40, pitch: 10, roll: 20 };
  const ahead = rotate(layerAttitude(info, 0), [0, 0, -1]);
  assert.ok(same(apply(toPicture(40, 10, 20), ahead), [0, 0, -1]));
  const up = rotate(layerAttitude(info, 0), [0, 1, 0]);
  assert.ok(same(apply(toPicture(40, 10, 20), up), [0, 1, 0]));
  assert.ok(
    same(rotate(layerAttitude(PLAIN, 90), [0, 0, -1]), [1, 0, 0]),
    'a viewer turned left sees it to the right',
  );
});

test('layers are for what a compositor knows', () => {
  assert.equal(layerFor({ ...PLAIN, stereo: 'top-bottom' })?.layout, 'stereo-top-bottom');
  assert.equal(layerFor({ ...PLAIN, projection: 'half-equirectangular' })?.angle, Math.PI);
  assert.equal(layerFor({ ...PLAIN, stereo: 'right-left' }), undefined);
  assert.equal(layerFor({ ...PLAIN, projection: 'eac' }), undefined);
  const rungs = [{ width: 1440, height: 960, projection: 'eac' as const }];
  assert.equal(layerFor({ ...PLAIN, rungs }), undefined, 'no layer can follow a switch');
});

test('an upright phone looks at the horizon, and turning it left turns the view left', () => {
  const upright = attitudeHeading(attitude(0, 90, 0, 0));
  assert.ok(near(upright.pitch, 0, 1e-6) && near(upright.yaw, 0, 1e-6), JSON.stringify(upright));
  assert.ok(near(attitudeHeading(attitude(30, 90, 0, 0)).yaw, 30, 1e-6));
  assert.ok(attitudeHeading(attitude(0, 120, 0, 0)).pitch > 29, 'tilted back looks up');
  const landscape = attitudeHeading(attitude(90, 0, -90, 90));
  assert.ok(near(landscape.pitch, 0, 1e-6), JSON.stringify(landscape));
});

test('the view follows the pointer, and a glide comes to rest', () => {
  assert.ok(
    near(drag(360, 720, 80), 40, 1e-6),
    'from the middle to the edge is half the field of view',
  );
  assert.ok(near(drag(-10, 720, 80), -drag(10, 720, 80)));
  let [speed, turned] = [100, 0];
  for (let i = 0; i < 600 && speed !== 0; i++) {
    turned += speed / 60;
    speed = glide(speed, 1 / 60);
  }
  assert.equal(speed, 0);
  assert.ok(turned > 25 && turned < 40, `${turned}`);
});

test('a narrow window shows more height, never a slit', () => {
  assert.equal(verticalFov(80, 1.8), 80);
  assert.ok(verticalFov(80, 0.5) > 95 && verticalFov(80, 0.5) < 105);
  assert.ok(verticalFov(110, 0.1) < 140);
});
