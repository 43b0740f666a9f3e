/**
 * Which point of the picture shows a direction, for every projection.
 *
 * The shader in `shader.ts` does the same per pixel; this is the readable form that tests and the angular resolution
 * use. Layouts follow Spherical Video V2 (equi, cbmp layout 0) and FFmpeg's v360 filter (eac without margins, dual fisheye), because
 * that is what produces such pictures. It knows nothing of textures.
 */

import type { Projection, StereoLayout } from '../media/info.ts';
import { RADIANS, type Vector } from './orientation.ts';

/** A point of one eye's picture, 0 to 1 from its left and top; undefined where the picture has nothing. */
export type Point = { u: number; v: number } | undefined;
/** An eye's rectangle in the frame, 0 to 1 from its left and top. */
export type Rectangle = readonly [left: number, top: number, width: number, height: number];

export interface Lens {
  /** Degrees; see `usualFov`. */
  fov: number;
  /** Width and height of one eye's picture in pixels. */
  size: readonly [number, number];
}

/** A fisheye lens sees half the world, a flat picture a quarter of a turn, unless `info.json` says otherwise. */
export function usualFov(projection: Projection): number {
  return projection === 'rectilinear' ? 90 : 180;
}

/** How many columns and rows of faces a projection has. */
export function grid(projection: Projection): readonly [number, number] {
  if (projection === 'cubemap' || projection === 'eac') return [3, 2];
  return projection === 'dual-fisheye' ? [2, 1] : [1, 1];
}

/**
 * Texels to keep clear of a cell's edge. Half a texel stops filtering from reaching over; where something foreign lies
 * beyond, 4:2:0 has already mixed its colour into the last column, which is then left out too.
 */
export function margin(info: { projection: Projection; stereo: StereoLayout }): number {
  const foreign = ['cubemap', 'eac', 'dual-fisheye'].includes(info.projection);
  return foreign || info.stereo !== 'mono' ? 1.5 : 0.5;
}

export function eyes(stereo: StereoLayout): { left: Rectangle; right: Rectangle } {
  switch (stereo) {
    case 'mono':
      return { left: [0, 0, 1, 1], right: [0, 0, 1, 1] };
    case 'top-bottom':
      return { left: [0, 0, 1, 0.5], right: [0, 0.5, 1, 0.5] };
    case 'side-by-side':
      return { left: [0, 0, 0.5, 1], right: [0.5, 0, 0.5, 1] };
    case 'right-left':
      return { left: [0.5, 0, 0.5, 1], right: [0, 0, 0.5, 1] };
  }
}

/** Where `d` (a unit vector, −z ahead) lies in one eye's picture. */
export function locate(projection: Projection, d: Vector, lens: Lens): Point {
  switch (projection) {
    case 'equirectangular':
      return { u: 0.5 + Math.atan2(d[0], -d[2]) / (2 * Math.PI), v: 0.5 - latitude(d) / Math.PI };
    case 'half-equirectangular':
      return d[2] > 0
        ? undefined
        : { u: 0.5 + Math.atan2(d[0], -d[2]) / Math.PI, v: 0.5 - latitude(d) / Math.PI };
    case 'rectilinear':
      return flat(d, lens);
    case 'dual-fisheye':
      return fisheye(d, lens);
    case 'cubemap':
      return cubemap(d);
    case 'eac':
      return equiangular(d);
  }
}

function latitude(d: Vector): number {
  return Math.asin(Math.min(1, Math.max(-1, d[1])));
}

function flat(d: Vector, lens: Lens): Point {
  if (d[2] >= 0) return undefined;
  const half = Math.tan((lens.fov * RADIANS) / 2);
  const u = 0.5 + d[0] / -d[2] / (2 * half);
  const v = 0.5 - (d[1] / -d[2] / (2 * half)) * (lens.size[0] / lens.size[1]);
  return u < 0 || u > 1 || v < 0 || v > 1 ? undefined : { u, v };
}

/** The back lens is the left circle, the front lens the right one. */
function fisheye(d: Vector, lens: Lens): Point {
  const out = Math.hypot(d[0], d[1]);
  const reach = (2 * Math.acos(Math.min(1, Math.abs(d[2])))) / (lens.fov * RADIANS);
  if (reach > 1.01) return undefined;
  const [x, y] = out > 0 ? [(reach * d[0]) / out, (reach * d[1]) / out] : [0, 0];
  return d[2] <= 0 ? { u: 0.5 + (x + 1) / 4, v: (1 - y) / 2 } : { u: (1 - x) / 4, v: (1 - y) / 2 };
}

type Face = 'right' | 'left' | 'up' | 'down' | 'front' | 'back';

/** The face a direction meets, with coordinates −1 to 1 from its left and top as seen from inside. */
export function face(d: Vector): { name: Face; x: number; y: number } {
  const [ax, ay, az] = [Math.abs(d[0]), Math.abs(d[1]), Math.abs(d[2])];
  if (az >= ax && az >= ay) {
    return d[2] < 0
      ? { name: 'front', x: d[0] / az, y: -d[1] / az }
      : { name: 'back', x: -d[0] / az, y: -d[1] / az };
  }
  if (ax >= ay) {
    return d[0] > 0
      ? { name: 'right', x: d[2] / ax, y: -d[1] / ax }
      : { name: 'left', x: -d[2] / ax, y: -d[1] / ax };
  }
  return d[1] > 0
    ? { name: 'up', x: d[0] / ay, y: -d[2] / ay }
    : { name: 'down', x: d[0] / ay, y: d[2] / ay };
}

const CUBE: Record<Face, readonly [column: number, row: number]> = {
  right: [0, 0],
  left: [1, 0],
  up: [2, 0],
  down: [0, 1],
  front: [1, 1],
  back: [2, 1],
};

function cubemap(d: Vector): Point {
  const { name, x, y } = face(d);
  const [column, row] = CUBE[name];
  return { u: (column + (x + 1) / 2) / 3, v: (row + (y + 1) / 2) / 2 };
}

const EAC: Record<Face, readonly [column: number, row: number, quarterTurns: number]> = {
  left: [0, 0, 0],
  front: [1, 0, 0],
  right: [2, 0, 0],
  down: [0, 1, 3],
  back: [1, 1, 1],
  up: [2, 1, 3],
};

/** Without the margins that v360 puts around the rows of faces: its geometry would depend on its size. */
function equiangular(d: Vector): Point {
  const { name, x, y } = face(d);
  const [column, row, turns] = EAC[name];
  const [rx, ry] = turns === 3 ? [y, -x] : turns === 1 ? [-y, x] : [x, y];
  const even = (n: number): number => (2 / Math.PI) * Math.atan(n) + 0.5;
  return { u: (even(rx) + column) / 3, v: (even(ry) + row) / 2 };
}

/** Degrees of the world across the width of one eye's picture, where it is looked at straight ahead. */
export function degreesAcross(projection: Projection, lens: Lens): number {
  switch (projection) {
    case 'half-equirectangular':
      return 180;
    case 'rectilinear':
      return (2 * Math.tan((lens.fov * RADIANS) / 2)) / RADIANS;
    case 'dual-fisheye':
      return 2 * lens.fov;
    case 'cubemap':
      // The middle of a face is the coarsest place: 2 units of tangent across a face, three faces in a row.
      return 3 * (2 / RADIANS);
    case 'eac':
      return 3 * 90;
    case 'equirectangular':
      return 360;
  }
}
