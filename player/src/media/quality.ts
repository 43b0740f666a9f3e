/**
 * Which rung is worth playing: as sharp as the screen can show, as large as the device can take.
 *
 * Never by the size of a video element: ours is one pixel, and what counts on a sphere is pixels per degree. Pure.
 */

import { degreesAcross, eyes, type Lens } from '../scene/projection.ts';
import { type Info, infoFor } from './info.ts';

export interface Rung {
  width: number;
  height: number;
  bitrate: number;
}

/** Pixels a rung gives to one degree ahead, for one eye. */
export function sharpness(rung: Rung, info: Info, fov: number): number {
  const { stereo, projection } = infoFor(info, rung.width, rung.height);
  const [, , width, height] = eyes(stereo).left;
  const lens: Lens = { fov, size: [rung.width * width, rung.height * height] };
  return lens.size[0] / degreesAcross(projection, lens);
}

/** Pixels the screen gives to one degree in the middle of the view. */
export function wanted(pixelsHigh: number, verticalFov: number): number {
  const half = (verticalFov * Math.PI) / 360;
  return (pixelsHigh * Math.PI) / 360 / Math.tan(half);
}

/**
 * The highest rung worth fetching automatically: the first that reaches 80 % of what the screen shows (a fifth less is
 * hard to see in motion), else the sharpest. Rungs may come in any order; −1 without rungs.
 */
export function cap(rungs: readonly Rung[], info: Info, fov: number, need: number): number {
  const order = rungs
    .map((rung, index) => ({ index, rung, sharp: sharpness(rung, info, fov) }))
    .sort((a, b) => a.sharp - b.sharp || a.rung.bitrate - b.rung.bitrate);
  const enough = order.find(({ sharp }) => sharp >= 0.8 * need);
  return (enough ?? order.at(-1))?.index ?? -1;
}

/** Rungs the device can hold in one texture; when none fits, the smallest, because something must play. */
export function fitting(rungs: readonly Rung[], largestTexture: number): number[] {
  const indexes = rungs.map((_, index) => index);
  const fits = indexes.filter((i) => {
    const rung = rungs[i];
    return rung !== undefined && Math.max(rung.width, rung.height) <= largestTexture;
  });
  if (fits.length > 0 || rungs.length === 0) return fits;
  return [indexes.reduce((a, b) => ((rungs[a]?.width ?? 0) <= (rungs[b]?.width ?? 0) ? a : b))];
}

/** The name of a rung in the menu. */
export function label(rung: Rung): string {
  const size =
    rung.width >= 7000 ? '8K' : rung.width >= 5500 ? '6K' : rung.width >= 3500 ? '4K' : '';
  const pixels = rung.width > 0 ? `${rung.width} × ${rung.height}` : 'audio';
  const rate = rung.bitrate > 0 ? `${(rung.bitrate / 1e6).toFixed(1)} Mb/s` : '';
  return [size, pixels, rate].filter(Boolean).join(' · ');
}
