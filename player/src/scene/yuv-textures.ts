/**
 * Frames of video to the GPU where WebGL runs in software (virtual machines, remote desktops, tests).
 *
 * There the browser's own way from a video to a texture takes 180 ms for a frame of 1280×640, a core on its own, and
 * the stream stutters for want of it. Its decoder's planes of brightness and colour can be had as bytes and uploaded in
 * a fifteenth of that; the picture's shader makes RGB of the few samples it looks at:
 *
 *   video → VideoFrame.copyTo → two or three planes → shader
 *
 * Where a device has a GPU the browser copies nothing at all, so there this is not used. Matrices and ranges: ITU-T H.273.
 */

import type * as Three from 'three';

/** What such renderers call themselves: Chrome's, Mesa's, Windows'. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Whether WebGL takes the processor's time that the stream needs as well. */
export function runsInSoftware(gl: WebGLRenderingContext | WebGL2RenderingContext): boolean {
  const names = gl.getExtension('WEBGL_debug_renderer_info');
  return names !== null && SOFTWARE.test(String(gl.getParameter(names.UNMASKED_RENDERER_WEBGL)));
}

/** Kr and Kb of H.273's MatrixCoefficients, by their names in WebCodecs. */
const WEIGHTS: Record<string, readonly [number, number]> = {
  bt709: [0.2126, 0.0722],
  bt470bg: [0.299, 0.114],
  smpte170m: [0.299, 0.114],
  'bt2020-ncl': [0.2627, 0.0593],
};

/** How R, G and B come from Y, Cb and Cr, all 0 to 1: `rows × (sample − offset)`. */
export interface Conversion {
  rows: readonly number[];
  offset: readonly [number, number, number];
}

/** The conversion of a colour space; undefined for one that is no such sum of three. */
export function conversion(matrix: string, fullRange: boolean): Conversion | undefined {
  const weights = WEIGHTS[matrix];
  if (!weights) return undefined;
  const [kr, kb] = weights;
  const kg = 1 - kr - kb;
  const y = fullRange ? 1 : 255 / 219;
  // Of one unit of Cb and Cr: half of what they reach, as they go both ways.
  const c = fullRange ? 2 : 255 / 112;
  const [b, r] = [c * (1 - kb), c * (1 - kr)];
  return {
    rows: [y, 0, r, y, (-kb * b) / kg, (-kr * r) / kg, y, b, 0],
    offset: [fullRange ? 0 : 16 / 255, 128 / 255, 128 / 255],
  };
}

/** What the shader makes of one sample, all in 8 bits. */
export function rgb({ rows, offset }: Conversion, sample: readonly number[]): number[] {
  const centred = sample.map((value, n) => value / 255 - (offset[n] ?? 0));
  const row = (r: number): number =>
    centred.reduce((sum, part, n) => sum + part * (rows[3 * r + n] ?? 0), 0);
  return [0, 1, 2].map((r) => Math.round(255 * Math.min(1, Math.max(0, row(r)))));
}

/** In the shader of the picture; `frame` is what it calls. `together`: Cb and Cr lie in one plane. */
export const SAMPLE_PLANES = /* glsl */ `
uniform sampler2D luma;
uniform sampler2D first;
uniform sampler2D second;
uniform bool together;
uniform mat3 toRgb;
uniform vec3 offset;
vec3 frame(vec2 at) {
  vec4 c = texture2D(first, at);
  vec3 yuv = vec3(texture2D(luma, at).r, c.r, together ? c.g : texture2D(second, at).r);
  return clamp(toRgb * (yuv - offset), 0.0, 1.0);
}`;

/** The uniforms of SAMPLE_PLANES, shared by all that draw the frame. */
interface PlaneUniforms extends Record<string, { value: unknown }> {
  luma: { value: Three.Texture | null };
  first: { value: Three.Texture | null };
  second: { value: Three.Texture | null };
  together: { value: boolean };
  toRgb: { value: Three.Matrix3 };
  offset: { value: Three.Vector3 };
}

interface Copy {
  bytes: Uint8Array<ArrayBuffer>;
  width: number;
  height: number;
  shown: readonly [number, number];
  together: boolean;
  conversion: Conversion;
}

interface Plane {
  start: number;
  width: number;
  height: number;
  samples: 1 | 2;
}

/** Where the planes of a frame lie, one behind the other without padding. */
export function planesOf(width: number, height: number, together: boolean): Plane[] {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const luma: Plane = { start: 0, width, height, samples: 1 };
  const size = width * height;
  if (together) return [luma, { start: size, width: w, height: h, samples: 2 }];
  const colour = (start: number): Plane => ({ start, width: w, height: h, samples: 1 });
  return [luma, colour(size), colour(size + w * h)];
}

export class Planes {
  readonly uniforms: PlaneUniforms;
  /** Samples of brightness in the frame that was uploaded last. */
  size: readonly [number, number] | undefined;
  /** The size at which it is shown, as the video element says it; the element may be at the next rung already. */
  shown: readonly [number, number] | undefined;
  conversion: Conversion | undefined;
  /** As uploaded: brightness, then colour in one plane or two. */
  textures: Three.DataTexture[] = [];
  private newer = true;
  private copying = false;
  private copy: Copy | undefined;
  private spare: Uint8Array<ArrayBuffer> | undefined;
  private over = false;

  /** `failed` is told when frames cannot be had this way. */
  constructor(
    private three: typeof Three,
    private video: HTMLVideoElement,
    private failed: () => void,
  ) {
    const { Matrix3, Vector3 } = three;
    this.uniforms = {
      luma: { value: null },
      first: { value: null },
      second: { value: null },
      together: { value: true },
      toRgb: { value: new Matrix3() },
      offset: { value: new Vector3() },
    };
    this.follow();
  }

  /** Asks for the newest frame unless it was; true once there is one to upload. */
  poll(): boolean {
    if (this.newer && !this.copying && this.video.readyState >= 2) {
      this.newer = false;
      void this.take();
    }
    return this.copy !== undefined;
  }

  /** Hands the frame that was taken to the GPU, if there is one. */
  upload(): void {
    const { copy } = this;
    if (!copy) return;
    this.copy = undefined;
    this.spare = copy.bytes;
    const parts = planesOf(copy.width, copy.height, copy.together);
    const fits =
      parts.length === this.textures.length &&
      this.size?.[0] === copy.width &&
      this.size[1] === copy.height;
    if (!fits) this.retexture(parts, copy);
    if (copy.shown.join() !== this.shown?.join()) this.shown = copy.shown;
    parts.forEach((part, index) => {
      const texture = this.textures[index];
      if (!texture) return;
      texture.image.data = copy.bytes.subarray(part.start, part.start + area(part));
      texture.needsUpdate = true;
    });
    const { uniforms } = this;
    this.conversion = copy.conversion;
    uniforms.together.value = copy.together;
    uniforms.toRgb.value.set(...(copy.conversion.rows as Parameters<Three.Matrix3['set']>));
    uniforms.offset.value.fromArray(copy.conversion.offset);
  }

  dispose(): void {
    this.over = true;
    for (const texture of this.textures) texture.dispose();
  }

  private follow(): void {
    this.video.requestVideoFrameCallback(() => {
      this.newer = true;
      if (!this.over) this.follow();
    });
  }

  private async take(): Promise<void> {
    this.copying = true;
    try {
      const frame = new VideoFrame(this.video);
      try {
        this.copy = await this.bytesOf(frame);
      } finally {
        frame.close();
      }
    } catch {
      if (!this.over) this.failed();
    }
    this.copying = false;
  }

  private async bytesOf(frame: VideoFrame): Promise<Copy> {
    const together = frame.format === 'NV12';
    if (!together && frame.format !== 'I420') throw new Error(`frames of ${frame.format}`);
    const { matrix, fullRange } = frame.colorSpace;
    const convert = conversion(matrix ?? 'bt709', fullRange === true);
    if (!convert) throw new Error(`colours of ${matrix}`);
    const { width, height } = frame.visibleRect ?? {
      width: frame.codedWidth,
      height: frame.codedHeight,
    };
    const parts = planesOf(width, height, together);
    const length = parts.reduce((sum, part) => sum + area(part), 0);
    const bytes = this.spare?.length === length ? this.spare : new Uint8Array(length);
    this.spare = undefined;
    await frame.copyTo(bytes, {
      layout: parts.map((part) => ({ offset: part.start, stride: part.width * part.samples })),
    });
    const shown = [frame.displayWidth, frame.displayHeight] as const;
    return { bytes, width, height, shown, together, conversion: convert };
  }

  private retexture(parts: Plane[], { bytes, width, height }: Copy): void {
    for (const texture of this.textures) texture.dispose();
    const { DataTexture, LinearFilter, NoColorSpace, RedFormat, RGFormat, UnsignedByteType } =
      this.three;
    this.textures = parts.map((part) => {
      const format = part.samples === 2 ? RGFormat : RedFormat;
      const texture = new DataTexture(bytes, part.width, part.height, format, UnsignedByteType);
      texture.minFilter = LinearFilter;
      texture.magFilter = LinearFilter;
      texture.colorSpace = NoColorSpace;
      texture.unpackAlignment = 1;
      return texture;
    });
    this.size = [width, height];
    const [luma, first, second] = this.textures;
    this.uniforms.luma.value = luma ?? null;
    this.uniforms.first.value = first ?? null;
    this.uniforms.second.value = second ?? first ?? null;
  }
}

const area = (part: Plane): number => part.width * part.height * part.samples;
