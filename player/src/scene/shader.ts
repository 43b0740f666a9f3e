/**
 * The picture around the viewer as one shader: each pixel asks where its direction lies in the picture.
 *
 * Per pixel rather than per vertex, so that poles and face edges are exact with twelve triangles; at infinity, so that
 * moving the head never shows the shape. `projection.ts` says the same in TypeScript and carries the explanations.
 */

import type { Projection } from '../media/info.ts';
import { SAMPLE_PLANES } from './yuv-textures.ts';

export const VERTEX = /* glsl */ `
varying vec3 way;
void main() {
  way = position;
  // No translation: the picture is infinitely far away, also from each eye of a headset.
  gl_Position = projectionMatrix * vec4(mat3(viewMatrix) * position, 1.0);
}`;

const COMMON = /* glsl */ `
uniform vec4 eye;        // this eye's rectangle in the frame, from the left and top
uniform vec2 size;       // of one eye's picture in pixels
uniform mat3 toPicture;
uniform float lens;      // half the field of view of a lens or flat picture, radians
uniform float strength;  // 0 before the first picture
uniform float margin;    // texels kept clear of a cell's edge
varying vec3 way;
const float PI = 3.14159265358979;

// The cell (left, top, width, height in the eye's picture) and the point inside it, 0 to 1; z is the coverage.
void place(vec3 d, out vec4 cell, out vec3 at);

void main() {
  vec4 cell;
  vec3 at;
  place(normalize(toPicture * way), cell, at);
  // Inside the cell, so that filtering never mixes in a neighbouring face or the other eye.
  vec2 clear = margin / (size * cell.zw);
  vec2 p = cell.xy + clamp(at.xy, clear, 1.0 - clear) * cell.zw;
  gl_FragColor = vec4(mix(BACKGROUND, frame(eye.xy + p * eye.zw), at.z * strength), 1.0);
}`;

const PRECISION = 'precision highp float;';

/** `frame` is the colour at a point of the frame, 0 to 1 from its left and top; a texture starts at the bottom. */
const SAMPLE_TEXTURE = /* glsl */ `
uniform sampler2D map;
vec3 frame(vec2 at) {
  return texture2D(map, vec2(at.x, 1.0 - at.y)).rgb;
}`;

const FACES = /* glsl */ `
// Face index (right, left, up, down, front, back) and coordinates -1 to 1 from its left and top.
vec3 face(vec3 d) {
  vec3 a = abs(d);
  if (a.z >= a.x && a.z >= a.y)
    return d.z < 0.0 ? vec3(d.x, -d.y, 4.0 * a.z) / a.z : vec3(-d.x, -d.y, 5.0 * a.z) / a.z;
  if (a.x >= a.y)
    return d.x > 0.0 ? vec3(d.z, -d.y, 0.0) / a.x : vec3(-d.z, -d.y, a.x) / a.x;
  return d.y > 0.0 ? vec3(d.x, -d.z, 2.0 * a.y) / a.y : vec3(d.x, d.z, 3.0 * a.y) / a.y;
}`;

const PLACE: Record<Projection, string> = {
  equirectangular: /* glsl */ `
void place(vec3 d, out vec4 cell, out vec3 at) {
  cell = vec4(0.0, 0.0, 1.0, 1.0);
  at = vec3(0.5 + atan(d.x, -d.z) / (2.0 * PI), 0.5 - asin(clamp(d.y, -1.0, 1.0)) / PI, 1.0);
}`,
  'half-equirectangular': /* glsl */ `
void place(vec3 d, out vec4 cell, out vec3 at) {
  cell = vec4(0.0, 0.0, 1.0, 1.0);
  at = vec3(0.5 + atan(d.x, -d.z) / PI, 0.5 - asin(clamp(d.y, -1.0, 1.0)) / PI, 1.0);
  at.z = 1.0 - smoothstep(-0.02, 0.0, d.z);
}`,
  rectilinear: /* glsl */ `
void place(vec3 d, out vec4 cell, out vec3 at) {
  cell = vec4(0.0, 0.0, 1.0, 1.0);
  vec2 p = d.xy / max(-d.z, 1e-4) / (2.0 * tan(lens));
  at = vec3(0.5 + p.x, 0.5 - p.y * size.x / size.y, 0.0);
  vec2 soft = fwidth(at.xy);
  vec2 inside = smoothstep(vec2(0.0), soft, at.xy) * smoothstep(vec2(0.0), soft, 1.0 - at.xy);
  at.z = d.z < 0.0 ? inside.x * inside.y : 0.0;
}`,
  'dual-fisheye': /* glsl */ `
void place(vec3 d, out vec4 cell, out vec3 at) {
  float reach = acos(min(1.0, abs(d.z))) / lens;
  vec2 p = reach * d.xy / max(length(d.xy), 1e-6);
  bool front = d.z <= 0.0;
  cell = vec4(front ? 0.5 : 0.0, 0.0, 0.5, 1.0);
  at = vec3(0.5 + (front ? p.x : -p.x) / 2.0, 0.5 - p.y / 2.0, 1.0 - smoothstep(1.0, 1.01, reach));
}`,
  cubemap: /* glsl */ `${FACES}
void place(vec3 d, out vec4 cell, out vec3 at) {
  vec3 f = face(d);
  float i = floor(f.z + 0.5);
  float row = i < 2.5 ? 0.0 : 1.0;
  cell = vec4((i - 3.0 * row) / 3.0, row / 2.0, 1.0 / 3.0, 0.5);
  at = vec3(f.xy * 0.5 + 0.5, 1.0);
}`,
  eac: /* glsl */ `${FACES}
void place(vec3 d, out vec4 cell, out vec3 at) {
  vec3 f = face(d);
  float i = floor(f.z + 0.5);
  float row = (i == 2.0 || i == 3.0 || i == 5.0) ? 1.0 : 0.0;
  float column = (i == 1.0 || i == 3.0) ? 0.0 : (i > 3.5) ? 1.0 : 2.0;
  vec2 p = (i == 2.0 || i == 3.0) ? vec2(f.y, -f.x) : (i == 5.0) ? vec2(-f.y, f.x) : f.xy;
  cell = vec4(column / 3.0, row / 2.0, 1.0 / 3.0, 0.5);
  at = vec3(2.0 / PI * atan(p) + 0.5, 1.0);
}`,
};

/** Shown where the picture has nothing; the page's own dark, in the canvas's colour space. */
export const BACKGROUND = [0x0b / 255, 0x0f / 255, 0x16 / 255] as const;

/** `planes`: whether the frame lies in planes instead of a texture. */
export function fragment(projection: Projection, planes: boolean): string {
  const dark = `vec3(${BACKGROUND.map((c) => c.toFixed(4)).join(', ')})`;
  const frame = planes ? SAMPLE_PLANES : SAMPLE_TEXTURE;
  return PRECISION + frame + COMMON.replaceAll('BACKGROUND', dark) + PLACE[projection];
}
