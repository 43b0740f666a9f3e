/**
 * Arithmetic of looking around. Degrees everywhere; yaw counter-clockwise seen from above, pitch upwards, as in
 * Spherical Video V2, so that numbers in `info.json`, links and code mean the same.
 */

export const RADIANS = Math.PI / 180;
/** Vertical field of view: closer than 25° shows only enlarged texels, wider than 110° looks bent. */
export const FOV = { least: 25, usual: 80, most: 110 } as const;
/** Straight up would make yaw meaningless. */
export const STEEPEST = 89.9;

export type Vector = readonly [number, number, number];
export type Quaternion = readonly [x: number, y: number, z: number, w: number];

export function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

/** The same heading in −180 (not included) to 180. */
export function wrap(degrees: number): number {
  const rest = ((degrees % 360) + 360) % 360;
  return rest > 180 ? rest - 360 : rest;
}

/** The unit vector of a direction: −z ahead, +x to the right, +y up. */
export function direction(yaw: number, pitch: number): Vector {
  const [y, p] = [yaw * RADIANS, pitch * RADIANS];
  return [-Math.sin(y) * Math.cos(p), Math.sin(p), -Math.cos(y) * Math.cos(p)];
}

/** The direction of a vector; the inverse of `direction`. */
export function heading([x, y, z]: Vector): { yaw: number; pitch: number } {
  const flat = Math.hypot(x, z);
  return {
    yaw: flat === 0 ? 0 : Math.atan2(-x, -z) / RADIANS,
    pitch: Math.atan2(y, flat) / RADIANS,
  };
}

/** Which thirty degrees a view lies in, as `yaw.pitch`: enough to say where people look, too little to say who looks. */
export function coarse({ yaw, pitch }: { yaw: number; pitch: number }): string {
  const step = (degrees: number): number => Math.round(degrees / 30) * 30;
  return `${step(wrap(yaw))}.${step(pitch)}`;
}

/** Row-major 3×3 matrix from the viewer's space to the picture's, whose centre lies at yaw, pitch, roll. */
export function toPicture(yaw: number, pitch: number, roll: number): readonly number[] {
  const [a, b, c] = [yaw * RADIANS, pitch * RADIANS, -roll * RADIANS];
  const [ca, sa, cb, sb, cc, sc] = [
    Math.cos(a),
    Math.sin(a),
    Math.cos(b),
    Math.sin(b),
    Math.cos(c),
    Math.sin(c),
  ];
  // Columns of R = Ry(yaw)·Rx(pitch)·Rz(−roll), which turns the picture into place; its transpose undoes that.
  return [
    ca * cc + sa * sb * sc,
    cb * sc,
    -sa * cc + ca * sb * sc,
    -ca * sc + sa * sb * cc,
    cb * cc,
    sa * sc + ca * sb * cc,
    sa * cb,
    -sb,
    ca * cb,
  ];
}

export function apply(m: readonly number[], [x, y, z]: Vector): Vector {
  const row = (i: number): number => (m[i] ?? 0) * x + (m[i + 1] ?? 0) * y + (m[i + 2] ?? 0) * z;
  return [row(0), row(3), row(6)];
}

/** The camera's vertical field of view for a zoom: on a narrow window the wider side keeps the zoom's share. */
export function verticalFov(fov: number, aspect: number): number {
  if (aspect >= 1) return fov;
  const half = Math.tan((fov * RADIANS) / 2) / Math.sqrt(Math.max(aspect, 0.3));
  return (2 * Math.atan(half)) / RADIANS;
}

/** How far the view turns when the pointer moves: what was under it stays under it, near the middle. */
export function drag(pixels: number, height: number, fov: number): number {
  return Math.atan((2 * pixels * Math.tan((fov * RADIANS) / 2)) / Math.max(height, 1)) / RADIANS;
}

/** What is left of a speed after `seconds` of gliding; a third of a second takes it to 1/e. */
export function glide(speed: number, seconds: number): number {
  const rest = speed * Math.exp(-seconds / 0.33);
  return Math.abs(rest) < 0.5 ? 0 : rest;
}

/** Where a phone looks through its back: DeviceOrientation's angles and the screen's rotation to an attitude. */
export function attitude(alpha: number, beta: number, gamma: number, screen: number): Quaternion {
  const euler = multiply(multiply(turn(1, alpha), turn(0, beta)), turn(2, -gamma));
  // The camera looks out of the back of the device, and the page turns with the screen.
  return multiply(multiply(euler, turn(0, -90)), turn(2, -screen));
}

/** Yaw and pitch of an attitude's forward axis. */
export function attitudeHeading(q: Quaternion): { yaw: number; pitch: number } {
  return heading(rotate(q, [0, 0, -1]));
}

export function turn(axis: 0 | 1 | 2, degrees: number): Quaternion {
  const half = (degrees * RADIANS) / 2;
  const s = Math.sin(half);
  return [axis === 0 ? s : 0, axis === 1 ? s : 0, axis === 2 ? s : 0, Math.cos(half)];
}

export function multiply(a: Quaternion, b: Quaternion): Quaternion {
  const [ax, ay, az, aw] = a;
  const [bx, by, bz, bw] = b;
  return [
    ax * bw + aw * bx + ay * bz - az * by,
    ay * bw + aw * by + az * bx - ax * bz,
    az * bw + aw * bz + ax * by - ay * bx,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
}

export function rotate(q: Quaternion, v: Vector): Vector {
  const [x, y, z, w] = q;
  const p = multiply(multiply(q, [v[0], v[1], v[2], 0]), [-x, -y, -z, w]);
  return [p[0], p[1], p[2]];
}
