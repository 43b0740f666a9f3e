import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { LAYOUTS, PROJECTIONS } from '../../src/media/info.ts';
import { direction, type Vector } from '../../src/scene/orientation.ts';
import { eyes, grid, type Lens, locate } from '../../src/scene/projection.ts';

const AHEAD: Vector = [0, 0, -1];
const SQUARE: Lens = { fov: 180, size: [1200, 800] };

test('equirectangular: ahead is the middle, right is to the right, the poles are top and bottom', () => {
  assert.deepEqual(locate('equirectangular', AHEAD, SQUARE), { u: 0.5, v: 0.5 });
  assert.deepEqual(locate('equirectangular', [1, 0, 0], SQUARE), { u: 0.75, v: 0.5 });
  assert.deepEqual(locate('equirectangular', [-1, 0, 0], SQUARE), { u: 0.25, v: 0.5 });
  assert.equal(locate('equirectangular', [0, 1, 0], SQUARE)?.v, 0);
  assert.equal(locate('equirectangular', [0, -1, 0], SQUARE)?.v, 1);
});

test('half-equirectangular fills the front half and has nothing behind', () => {
  assert.deepEqual(locate('half-equirectangular', AHEAD, SQUARE), { u: 0.5, v: 0.5 });
  assert.equal(locate('half-equirectangular', direction(89, 0), SQUARE)?.u.toFixed(3), '0.006');
  assert.equal(locate('half-equirectangular', direction(180, 0), SQUARE), undefined);
});

test('rectilinear keeps straight lines, its aspect, and ends at its edges', () => {
  const lens: Lens = { fov: 90, size: [1600, 800] };
  assert.deepEqual(locate('rectilinear', AHEAD, lens), { u: 0.5, v: 0.5 });
  assert.equal(locate('rectilinear', direction(-44.9, 0), lens)?.u.toFixed(2), '1.00');
  assert.equal(locate('rectilinear', direction(-46, 0), lens), undefined);
  assert.equal(locate('rectilinear', direction(0, 26), lens)?.v.toFixed(2), '0.01');
  assert.equal(locate('rectilinear', direction(0, 27), lens), undefined);
});

test('eyes never share a pixel unless the picture is mono', () => {
  for (const layout of LAYOUTS) {
    const { left, right } = eyes(layout);
    assert.equal(left[2] * left[3], layout === 'mono' ? 1 : 0.5);
    assert.equal(left.join() === right.join(), layout === 'mono');
  }
  assert.deepEqual(eyes('top-bottom').left, [0, 0, 1, 0.5]);
  assert.deepEqual(eyes('right-left').left, [0.5, 0, 0.5, 1]);
});

test('every direction has a place in every full projection', () => {
  for (const projection of PROJECTIONS) {
    if (projection === 'rectilinear' || projection === 'half-equirectangular') continue;
    for (let yaw = -180; yaw < 180; yaw += 7) {
      for (let pitch = -90; pitch <= 90; pitch += 7) {
        const point = locate(projection, direction(yaw, pitch), SQUARE);
        assert.ok(
          point && point.u >= -1e-9 && point.u <= 1 + 1e-9,
          `${projection} ${yaw} ${pitch}`,
        );
        assert.ok(point.v >= -1e-9 && point.v <= 1 + 1e-9, `${projection} ${yaw} ${pitch}`);
      }
    }
  }
  assert.deepEqual(grid('eac'), [3, 2]);
});

// The pattern: red follows the longitude, green the latitude, blue says which side of the back seam we are on.
const [WIDTH, HEIGHT] = [1440, 720];

function pattern(): Buffer {
  const rgb = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const lon = ((x + 0.5) / WIDTH) * 2 * Math.PI;
      const at = (y * WIDTH + x) * 3;
      rgb[at] = Math.round(127.5 + 127.5 * Math.sin(lon));
      rgb[at + 1] = Math.round(((y + 0.5) / HEIGHT) * 255);
      rgb[at + 2] = Math.round(127.5 + 127.5 * Math.cos(lon));
    }
  }
  return rgb;
}

function v360(output: string, width: number, height: number): Buffer {
  const run = spawnSync(
    'ffmpeg',
    [
      '-v',
      'error',
      '-f',
      'rawvideo',
      '-pix_fmt',
      'rgb24',
      '-s',
      `${WIDTH}x${HEIGHT}`,
      '-i',
      '-',
      '-vf',
      output.includes('vstack')
        ? `v360=e:${output}`
        : `v360=e:${output}:w=${width}:h=${height}:interp=linear`,
      '-f',
      'rawvideo',
      '-pix_fmt',
      'rgb24',
      '-',
    ],
    { input: pattern(), maxBuffer: 1 << 26 },
  );
  assert.equal(run.status, 0, run.stderr.toString());
  return run.stdout;
}

/** v360 puts margins of two pixels around each row of faces; ours has none. */
const EAC =
  'eac:w=1204:h=808:interp=linear,split[a][b];[a]crop=1200:400:2:2[c];[b]crop=1200:400:2:406[d];[c][d]vstack';

const PEERS = [
  ['cubemap', 'c3x2', 1200, 800],
  ['eac', EAC, 1200, 800],
  ['dual-fisheye', 'dfisheye', 1440, 720],
  ['half-equirectangular', 'hequirect', 720, 720],
  ['rectilinear', 'flat:h_fov=90:v_fov=53.13', 1200, 600],
] as const;

for (const [projection, output, width, height] of PEERS) {
  test(`${projection} agrees with FFmpeg's v360 in every direction`, () => {
    const picture = v360(output, width, height);
    const lens: Lens = { fov: projection === 'rectilinear' ? 90 : 180, size: [width, height] };
    let [checked, worst] = [0, 0];
    for (let yaw = -176; yaw < 180; yaw += 6) {
      for (let pitch = -83; pitch <= 84; pitch += 6) {
        const point = locate(projection, direction(yaw, pitch), lens);
        if (!point) continue;
        const x = Math.min(width - 1, Math.floor(point.u * width));
        const y = Math.min(height - 1, Math.floor(point.v * height));
        const lon = (0.5 - yaw / 360) * 2 * Math.PI;
        const want = [
          127.5 + 127.5 * Math.sin(lon),
          (0.5 - pitch / 180) * 255,
          127.5 + 127.5 * Math.cos(lon),
        ];
        for (let c = 0; c < 3; c++) {
          const off = Math.abs((picture[(y * width + x) * 3 + c] ?? -99) - (want[c] ?? 0));
          worst = Math.max(worst, off);
          // Near the rim of a fisheye circle a texel spans several degrees.
          assert.ok(
            off <= 6,
            `${projection} yaw ${yaw} pitch ${pitch} channel ${c}: off by ${off}`,
          );
        }
        checked += 1;
      }
    }
    assert.ok(checked > 100, `only ${checked} directions were inside`);
  });
}
