// A picture without edges: bright ahead, dark behind, the other way round for the right eye. Whatever mixes in the wrong
// place (the far end of a row, another face, the other eye, a coarser copy of the texture) shows as a step.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { encode, LAYOUTS, SHAPES, STACKS } from './pattern.mjs';

const [WIDTH, HEIGHT] = [1440, 720];
const AHEAD = 'cos((X+0.5)/W*2*PI-PI)*sin((Y+0.5)/H*PI)';

/** Makes `folder`/smooth-<shape>-<layout>/ for every combination that is missing. */
export function makeSmooth(folder) {
  for (const [shape, { filter }] of Object.entries(SHAPES)) {
    for (const layout of LAYOUTS) {
      const out = `${folder}/smooth-${shape}-${layout}`;
      if (existsSync(`${out}/index.m3u8`)) continue;
      mkdirSync(out, { recursive: true });
      const info = { projection: shape, stereo: layout };
      writeFileSync(`${out}/info.json`, JSON.stringify(info));
      const eye = (brightness) =>
        [`nullsrc=s=${WIDTH}x${HEIGHT}:r=2,format=gray,geq=lum='${brightness}*${AHEAD}'`, filter]
          .filter(Boolean)
          .join(',');
      const [left, right] = [eye('145+80'), eye('110-80')];
      const graph =
        layout === 'mono' ? `${left}[o]` : `${left}[l];${right}[r];${STACKS[layout]}[o]`;
      const run = spawnSync('ffmpeg', [
        ...[
          '-v',
          'error',
          '-filter_complex',
          `${graph};[o]loop=5:1,scale=out_range=tv,format=yuv420p[v]`,
        ],
        ...['-map', '[v]', '-frames:v', '6'],
        ...encode(`${out}/index.m3u8`),
      ]);
      if (run.status !== 0) throw new Error(`ffmpeg, smooth ${shape} ${layout}: ${run.stderr}`);
    }
  }
}
