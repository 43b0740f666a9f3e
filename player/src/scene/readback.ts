/** Reads back what the GPU has of the frame that is shown, for tests and measurements. */

import type { SceneContext } from './scene.ts';
import { type Planes, rgb } from './yuv-textures.ts';

/** Columns from the left, rows from the top of the frame. */
interface Region {
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
export function readback(stage: SceneContext): Readback | undefined {
  const { planes, texture, source } = stage.picture;
  if (!source?.videoWidth) return undefined;
  const size = [source.videoWidth, source.videoHeight] as const;
  if (!planes) return texture && fromTexture(stage, texture, size);
  return planes.shown?.join() === size.join() ? fromPlanes(stage, planes) : undefined;
}

type Read = (region: Region) => Uint8Array;

function fromTexture(
  stage: SceneContext,
  texture: object,
  size: Readback['size'],
): Readback | undefined {
  const texel = texels(stage, texture);
  if (!texel) return undefined;
  const read: Read = ({ x, y, width, height }) => {
    // Its first row is the picture's last.
    const turned = texel({ x, y: size[1] - y - height, width, height });
    const bytes = new Uint8Array(turned.length);
    const line = width * 4;
    for (let row = 0; row < height; row++) {
      const from = (height - 1 - row) * line;
      bytes.set(turned.subarray(from, from + line), row * line);
    }
    return bytes;
  };
  return { size, read };
}

function fromPlanes(stage: SceneContext, planes: Planes): Readback | undefined {
  const { size, conversion } = planes;
  const [luma, first, second] = planes.textures.map((plane) => texels(stage, plane));
  if (!size || !conversion || !luma || !first) return undefined;
  const read: Read = (region) => {
    const { x, y, width, height } = region;
    // Where the region lies in planes of half the size.
    const [left, top] = [x >> 1, y >> 1];
    const [across, down] = [((x + width - 1) >> 1) - left + 1, ((y + height - 1) >> 1) - top + 1];
    const half = { x: left, y: top, width: across, height: down };
    const [brightness, cb, cr] = [luma(region), first(half), second?.(half)];
    const bytes = new Uint8Array(width * height * 4);
    for (let i = 0; i < width * height; i++) {
      const [column, row] = [x + (i % width), y + Math.floor(i / width)];
      const at = (((row >> 1) - top) * across + (column >> 1) - left) * 4;
      const sample = [brightness[4 * i] ?? 0, cb[at] ?? 0, (cr ? cr[at] : cb[at + 1]) ?? 0];
      bytes.set([...rgb(conversion, sample), 255], 4 * i);
    }
    return bytes;
  };
  return { size, read };
}

/** Reads a texture as it lies in the GPU; undefined before its first upload. */
function texels({ scene }: SceneContext, texture: object): Read | undefined {
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
