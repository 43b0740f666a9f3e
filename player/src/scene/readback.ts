/** Reads back what the GPU has of the frame that is shown, for tests and measurements. */

import type { Picture } from './picture.ts';
import type { Stage } from './scene.ts';

/** Columns from the left, rows from the top of the frame. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Readback {
  size: readonly [width: number, height: number];
  /** RGBA, row by row from the top. */
  read(region: Region): Uint8Array;
}

/** Undefined while the GPU has no frame of the size that the video has now. */
export function readback(stage: Stage): Readback | undefined {
  const { picture } = stage;
  const { videoWidth, videoHeight } = picture.source ?? {};
  if (!videoWidth || !videoHeight) return undefined;
  const reader = picture.planes ? fromPlanes(stage, picture) : fromTexture(stage, picture);
  return reader && { size: [videoWidth, videoHeight], read: reader };
}

type Read = (region: Region) => Uint8Array;

function fromTexture(stage: Stage, picture: Picture): Read | undefined {
  const texel = picture.texture && texels(stage, picture.texture);
  const height = picture.source?.videoHeight ?? 0;
  if (!texel) return undefined;
  return ({ x, y, width, height: rows }) => {
    // Its first row is the picture's last.
    const turned = texel({ x, y: height - y - rows, width, height: rows });
    const bytes = new Uint8Array(turned.length);
    const line = width * 4;
    for (let row = 0; row < rows; row++) {
      bytes.set(turned.subarray((rows - 1 - row) * line, (rows - row) * line), row * line);
    }
    return bytes;
  };
}

function fromPlanes(stage: Stage, { planes, source }: Picture): Read | undefined {
  const fits =
    planes?.size?.[0] === source?.videoWidth && planes?.size?.[1] === source?.videoHeight;
  const conversion = planes?.conversion;
  const [luma, first, second] = (planes?.textures ?? []).map((plane) => texels(stage, plane));
  if (!fits || !conversion || !luma || !first) return undefined;
  const { rows, offset } = conversion;
  return ({ x, y, width, height }) => {
    const [left, top] = [x >> 1, y >> 1];
    const [across, down] = [((x + width - 1) >> 1) - left + 1, ((y + height - 1) >> 1) - top + 1];
    const colour = { x: left, y: top, width: across, height: down };
    const [brightness, cb, cr] = [luma({ x, y, width, height }), first(colour), second?.(colour)];
    const bytes = new Uint8Array(width * height * 4);
    for (let i = 0; i < width * height; i++) {
      const [column, row] = [x + (i % width), y + Math.floor(i / width)];
      const at = (((row >> 1) - top) * across + (column >> 1) - left) * 4;
      const yuv = [brightness[i * 4], cb[at], cr ? cr[at] : cb[at + 1]].map(
        (sample, n) => (sample ?? 0) / 255 - (offset[n] ?? 0),
      );
      for (let c = 0; c < 3; c++) {
        const sum = yuv.reduce((total, part, n) => total + part * (rows[3 * c + n] ?? 0), 0);
        bytes[i * 4 + c] = Math.round(255 * Math.min(1, Math.max(0, sum)));
      }
      bytes[i * 4 + 3] = 255;
    }
    return bytes;
  };
}

/** Reads a texture as it lies in the GPU; undefined before its first upload. */
function texels({ scene }: Stage, texture: object): Read | undefined {
  const { renderer } = scene;
  const handle = renderer.properties.get(texture).__webglTexture;
  if (!handle) return undefined;
  const gl = renderer.getContext() as WebGL2RenderingContext;
  return ({ x, y, width, height }) => {
    const bytes = new Uint8Array(width * height * 4);
    gl.bindFramebuffer(gl.FRAMEBUFFER, scratch(gl));
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, handle, 0);
    gl.readPixels(x, y, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    renderer.resetState();
    return bytes;
  };
}

const framebuffers = new WeakMap<WebGL2RenderingContext, WebGLFramebuffer>();

function scratch(gl: WebGL2RenderingContext): WebGLFramebuffer {
  const kept = framebuffers.get(gl);
  if (kept) return kept;
  const made = gl.createFramebuffer();
  framebuffers.set(gl, made);
  return made;
}
