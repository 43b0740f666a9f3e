/**
 * `info.json`: how the picture lies around the viewer. Read leniently: an unknown word falls back to the plain case,
 * because a picture shown in the wrong shape is better than none.
 */

export const PROJECTIONS = [
  'equirectangular',
  'half-equirectangular',
  'cubemap',
  'eac',
  'dual-fisheye',
  'rectilinear',
] as const;
export type Projection = (typeof PROJECTIONS)[number];

export const LAYOUTS = ['mono', 'top-bottom', 'side-by-side', 'right-left'] as const;
export type StereoLayout = (typeof LAYOUTS)[number];

export interface Info {
  projection: Projection;
  stereo: StereoLayout;
  /** Where the picture's centre lies, degrees: yaw counter-clockwise from above, pitch up, roll clockwise. */
  yaw: number;
  pitch: number;
  roll: number;
  /** Of one lens (dual fisheye) or of the width (rectilinear), degrees; undefined means the usual one. */
  fov: number | undefined;
  /** Rungs whose projection is another, by the size of their pictures. */
  rungs: readonly { width: number; height: number; projection: Projection }[];
  startedAt: Date | undefined;
  /** What a recording lacks or had to be mended, in sentences. */
  warnings: readonly string[];
  /** Undefined for anything that is not a live stream of ours. */
  state: 'live' | 'waiting' | 'ended' | undefined;
}

export const PLAIN: Info = {
  projection: 'equirectangular',
  stereo: 'mono',
  yaw: 0,
  pitch: 0,
  roll: 0,
  fov: undefined,
  rungs: [],
  startedAt: undefined,
  warnings: [],
  state: undefined,
};

/** Understands a parsed `info.json`. */
export function parseInfo(value: unknown): Info {
  if (typeof value !== 'object' || value === null) return PLAIN;
  const from = value as Record<string, unknown>;
  const degrees = (key: string): number => {
    const v = from[key];
    return typeof v === 'number' && Number.isFinite(v) ? v : 0;
  };
  return {
    projection: oneOf(PROJECTIONS, from['projection']) ?? 'equirectangular',
    stereo: oneOf(LAYOUTS, from['stereo']) ?? 'mono',
    yaw: degrees('yaw'),
    pitch: degrees('pitch'),
    roll: degrees('roll'),
    fov: degrees('fov') > 0 ? degrees('fov') : undefined,
    rungs: rungs(from['rungs']),
    startedAt: date(from['started_at']),
    warnings: sentences(from['warnings']),
    state: oneOf(['live', 'waiting', 'ended'] as const, from['state']),
  };
}

/** The strings of a list; anything else in its place is nothing. */
export function sentences(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

/** What holds for a picture of this size; the lens is the source's own. */
export function infoFor(info: Info, width: number, height: number): Info {
  const rung = info.rungs.find((one) => one.width === width && one.height === height);
  return rung ? { ...info, projection: rung.projection, fov: undefined } : info;
}

function rungs(value: unknown): Info['rungs'] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown) => {
    if (typeof one !== 'object' || one === null) return [];
    const { width, height, projection } = one as Record<string, unknown>;
    const known = oneOf(PROJECTIONS, projection);
    const sized = typeof width === 'number' && typeof height === 'number';
    return sized && known ? [{ width, height, projection: known }] : [];
  });
}

function oneOf<T extends string>(words: readonly T[], value: unknown): T | undefined {
  return words.find((word) => word === value);
}

/** A moment as RFC 3339 text or as Unix seconds. */
export function date(value: unknown): Date | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const moment = new Date(typeof value === 'number' ? value * 1000 : value);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}
