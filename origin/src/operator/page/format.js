/** Numbers to what people read. */

/** @param {number} bitsPerSecond */
export function rate(bitsPerSecond) {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [d, h, m] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${m} min`;
  return m > 0 ? `${m} min ${whole % 60} s` : `${whole} s`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function count(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** Names that config and reports use, as people say them. */
const NAMES = /** @type {Record<string, string>} */ ({
  equirectangular: '360°',
  'half-equirectangular': '180°',
  cubemap: '360° cubemap',
  eac: '360° equi-angular cubemap',
  'dual-fisheye': 'dual fisheye',
  rectilinear: 'flat',
  mono: 'mono',
  'top-bottom': '3D, left eye above',
  'side-by-side': '3D, left eye left',
  'right-left': '3D, left eye right',
});

/** @param {string} name */
export function named(name) {
  return NAMES[name] ?? name;
}
