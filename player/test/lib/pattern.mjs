// The test picture: 72 cells of 30° × 30°, each with a colour of its own, labels at the six main directions, the right
// eye with red and blue exchanged; turned into every projection by FFmpeg's v360 and put together for every layout.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';

const [WIDTH, HEIGHT] = [1440, 720];
const LEVELS = [30, 80, 130, 180, 230];

/** The colour shown in a direction, degrees; yaw counter-clockwise, pitch up. */
export function colour(yaw, pitch, eye = 'left') {
  const column = Math.floor(((((180 - yaw) % 360) + 360) % 360) / 30);
  const row = Math.min(5, Math.floor((90 - pitch) / 30));
  const n = ((column * 6 + row) * 1.7) | 0;
  const rgb = [LEVELS[n % 5], LEVELS[((n / 5) | 0) % 5], LEVELS[((n / 25) | 0) % 5]];
  return eye === 'left' ? rgb : rgb.reverse();
}

/** Directions near the middle of every cell, off the edges of cube faces, where 4:2:0 mixes colours. */
export function directions() {
  const all = [];
  for (let yaw = -161; yaw < 180; yaw += 30)
    for (let pitch = -75; pitch < 90; pitch += 30) all.push([yaw, pitch]);
  return all;
}

export const SHAPES = {
  equirectangular: { filter: '', size: [WIDTH, HEIGHT] },
  'half-equirectangular': { filter: 'v360=e:hequirect:w=720:h=720', size: [720, 720] },
  cubemap: { filter: 'v360=e:c3x2:w=1080:h=720', size: [1080, 720] },
  // Without the margins that v360 puts around each row of faces.
  eac: {
    filter:
      'v360=e:eac:w=1084:h=728,split[p][q];[p]crop=1080:360:2:2[s];[q]crop=1080:360:2:366[t];[s][t]vstack',
    size: [1080, 720],
  },
  'dual-fisheye': { filter: 'v360=e:dfisheye:w=1440:h=720', size: [1440, 720] },
  rectilinear: { filter: 'v360=e:flat:h_fov=90:v_fov=53.13:w=1280:h=640', size: [1280, 640] },
};
/** How two eyes' pictures [l] and [r] become one. */
export const STACKS = {
  'top-bottom': '[l][r]vstack',
  'side-by-side': '[l][r]hstack',
  'right-left': '[r][l]hstack',
};
export const LAYOUTS = ['mono', 'top-bottom', 'side-by-side', 'right-left'];

function equirect(eye) {
  const rgb = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const c = colour(180 - ((x + 0.5) / WIDTH) * 360, 90 - ((y + 0.5) / HEIGHT) * 180, eye);
      const at = (y * WIDTH + x) * 3;
      [rgb[at], rgb[at + 1], rgb[at + 2]] = c;
    }
  }
  return rgb;
}

function labels(eye) {
  const text = (word, yaw, pitch) => {
    const [x, y] = [((180 - yaw) / 360) * WIDTH, ((90 - pitch) / 180) * HEIGHT];
    return `drawtext=text='${word}':fontsize=26:fontcolor=white:borderw=3:x=${x}-tw/2:y=${y}-th/2`;
  };
  const mark = eye === 'left' ? 'L' : 'R';
  return [
    text('FRONT', 0, 0),
    text('RIGHT', -90, 0),
    text('LEFT', 90, 0),
    text('BACK', 165, 0),
    text('UP', 0, 60),
    text('DOWN', 0, -60),
    text(mark, 0, -12),
  ].join(',');
}

/** Makes `folder`/<shape>-<layout>/ with an HLS playlist and info.json for every combination that is missing. */
export function makePatterns(folder) {
  const pictures = { left: equirect('left'), right: equirect('right') };
  for (const [shape, { filter, size }] of Object.entries(SHAPES)) {
    for (const layout of LAYOUTS) {
      const out = `${folder}/${shape}-${layout}`;
      if (existsSync(`${out}/index.m3u8`)) continue;
      mkdirSync(out, { recursive: true });
      writeFileSync(
        `${out}/info.json`,
        JSON.stringify({ projection: shape, stereo: layout, yaw: 0 }),
      );
      const shaped = (eye) => [labels(eye), filter].filter(Boolean).join(',');
      const both =
        layout === 'mono'
          ? `[0]crop=${WIDTH}:${HEIGHT}:0:0,${shaped('left')}[o]`
          : `[0]split[a][b];[a]crop=${WIDTH}:${HEIGHT}:0:0,${shaped('left')}[l];` +
            `[b]crop=${WIDTH}:${HEIGHT}:0:${HEIGHT},${shaped('right')}[r];${STACKS[layout]}[o]`;
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
          `${WIDTH}x${HEIGHT * 2}`,
          '-r',
          '2',
          '-i',
          '-',
          '-filter_complex',
          `${both};[o]loop=59:1,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p[v]`,
          '-map',
          '[v]',
          ...encode(`${out}/index.m3u8`),
        ],
        { input: Buffer.concat([pictures.left, pictures.right]) },
      );
      if (run.status !== 0) throw new Error(`ffmpeg, ${shape} ${layout} ${size}: ${run.stderr}`);
    }
  }
}

/** FFmpeg's words for a recording of H.264 that keeps colours. */
export function encode(playlist) {
  return [
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-qp', '12', '-g', '4'],
    ...[
      '-colorspace',
      'bt709',
      '-color_primaries',
      'bt709',
      '-color_trc',
      'bt709',
      '-color_range',
      'tv',
    ],
    ...[
      '-f',
      'hls',
      '-hls_time',
      '2',
      '-hls_playlist_type',
      'vod',
      '-hls_segment_type',
      'fmp4',
      playlist,
    ],
  ];
}
