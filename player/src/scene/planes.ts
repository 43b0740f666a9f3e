/**
 * Frames of video into a texture where WebGL runs in software (virtual machines, remote desktops, tests).
 *
 * There the browser's own way from a video to a texture takes 90 ms for a frame of 1280×640, a core on its own, and the
 * stream stutters for want of it. Its decoder's planes of brightness and colour can be had as bytes and uploaded in a
 * tenth of that; one pass then makes the RGB picture that the rest of the page knows:
 *
 *   video → VideoFrame.copyTo → two or three planes → this pass → render target's texture
 *
 * Where a device has a GPU the browser copies nothing at all, so there this is not used.
 */

import type * as Three from 'three';

/** What such renderers call themselves: Chrome's, Mesa's, Windows'. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Kr and Kb of ITU-T H.273 MatrixCoefficients. */
const MATRICES: Record<string, readonly [number, number]> = {
  bt709: [0.2126, 0.0722],
  bt470bg: [0.299, 0.114],
  smpte170m: [0.299, 0.114],
  'bt2020-ncl': [0.2627, 0.0593],
};

const VERTEX = /* glsl */ `
varying vec2 at;
void main() {
  // Bytes come from the top, textures start at the bottom.
  at = vec2(uv.x, 1.0 - uv.y);
  gl_Position = vec4(position.xy, 0.0, 1.0);
}`;

const FRAGMENT = /* glsl */ `
precision highp float;
uniform sampler2D luma;
uniform sampler2D first;   // Cb and Cr, or Cb
uniform sampler2D second;  // Cr
uniform bool together;
uniform vec2 weights;      // Kr, Kb
uniform vec3 range;        // black, white minus black, colour's half extent
varying vec2 at;
void main() {
  float y = (texture2D(luma, at).r - range.x) / range.y;
  vec2 c = together ? texture2D(first, at).rg : vec2(texture2D(first, at).r, texture2D(second, at).r);
  c = (c - 128.0 / 255.0) / range.z;
  float r = y + (1.0 - weights.x) * c.y;
  float b = y + (1.0 - weights.y) * c.x;
  float g = (y - weights.x * r - weights.y * b) / (1.0 - weights.x - weights.y);
  gl_FragColor = vec4(clamp(vec3(r, g, b), 0.0, 1.0), 1.0);
}`;

/** Whether frames had better go this way. */
export function wantsPlanes(renderer: Renderer): boolean {
  if (typeof VideoFrame === 'undefined') return false;
  const gl = renderer.getContext();
  const names = gl.getExtension('WEBGL_debug_renderer_info');
  const name = names ? String(gl.getParameter(names.UNMASKED_RENDERER_WEBGL)) : '';
  return SOFTWARE.test(name);
}

/** What is needed of the page's renderer. */
export type Renderer = Pick<
  Three.WebGLRenderer,
  'getContext' | 'getRenderTarget' | 'setRenderTarget'
> & { xr: { enabled: boolean } };

/** Draws a scene as three.js does, whatever the page has put in between. */
export type Draw = (object: Three.Object3D, camera: Three.Camera) => void;

interface Uniforms extends Record<string, { value: unknown }> {
  luma: { value: Three.Texture | null };
  first: { value: Three.Texture | null };
  second: { value: Three.Texture | null };
  together: { value: boolean };
  weights: { value: Three.Vector2 };
  range: { value: Three.Vector3 };
}

interface Copy {
  bytes: Uint8Array<ArrayBuffer>;
  width: number;
  height: number;
  together: boolean;
  weights: readonly [number, number];
  fullRange: boolean;
}

export class Planes {
  private target: Three.WebGLRenderTarget | undefined;
  private textures: Three.DataTexture[] = [];
  private material: Three.ShaderMaterial;
  private uniforms: Uniforms;
  private scene: Three.Scene;
  private camera: Three.Camera;
  private copy: Copy | undefined;
  private spare: Uint8Array<ArrayBuffer> | undefined;
  private copying = false;
  private over = false;

  /** `failed` is told when frames cannot be had this way. */
  constructor(
    private three: typeof Three,
    private renderer: Renderer,
    private draw: Draw,
    private video: HTMLVideoElement,
    private failed: () => void,
  ) {
    const { Camera, Mesh, PlaneGeometry, Scene, ShaderMaterial, Vector2, Vector3 } = three;
    this.uniforms = {
      luma: { value: null },
      first: { value: null },
      second: { value: null },
      together: { value: true },
      weights: { value: new Vector2() },
      range: { value: new Vector3() },
    };
    this.material = new ShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      depthTest: false,
      depthWrite: false,
      toneMapped: false,
      uniforms: this.uniforms,
    });
    const quad = new Mesh(new PlaneGeometry(2, 2), this.material);
    quad.frustumCulled = false;
    this.scene = new Scene();
    this.scene.add(quad);
    this.camera = new Camera();
    this.follow();
  }

  /** Its size in pixels: the video's own may be the next rung's already. */
  get size(): [number, number] | undefined {
    return this.target && [this.target.width, this.target.height];
  }

  /** The newest picture, once there is one. */
  get texture(): Three.Texture | undefined {
    return this.target?.texture;
  }

  /** Draws the newest frame into the texture; whether there was one. */
  update(): boolean {
    const copy = this.copy;
    if (!copy) return false;
    this.copy = undefined;
    this.spare = copy.bytes;
    this.upload(copy);
    this.convert(copy);
    return true;
  }

  dispose(): void {
    this.over = true;
    this.target?.dispose();
    for (const texture of this.textures) texture.dispose();
    this.material.dispose();
  }

  private follow(): void {
    this.video.requestVideoFrameCallback(() => {
      if (this.over) return;
      this.follow();
      // One at a time: a machine that is too slow for every frame shows fewer.
      if (!this.copying && !this.copy) void this.take();
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
      this.over = true;
      this.failed();
    }
    this.copying = false;
  }

  private async bytesOf(frame: VideoFrame): Promise<Copy> {
    const together = frame.format === 'NV12';
    if (!together && frame.format !== 'I420') throw new Error(`frames of ${frame.format}`);
    const { width, height } = frame.visibleRect ?? {
      width: frame.codedWidth,
      height: frame.codedHeight,
    };
    const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    const size = width * height;
    const layout = together
      ? [
          { offset: 0, stride: width },
          { offset: size, stride: 2 * w },
        ]
      : [
          { offset: 0, stride: width },
          { offset: size, stride: w },
          { offset: size + w * h, stride: w },
        ];
    const length = size + 2 * w * h;
    const bytes = this.spare?.length === length ? this.spare : new Uint8Array(length);
    this.spare = undefined;
    const { matrix, fullRange } = frame.colorSpace;
    await frame.copyTo(bytes, { layout });
    const weights = MATRICES[matrix ?? 'bt709'];
    if (!weights) throw new Error(`colours of ${matrix}`);
    return { bytes, width, height, together, weights, fullRange: fullRange === true };
  }

  private upload({ bytes, width, height, together }: Copy): void {
    const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    const size = width * height;
    const { RGFormat, RedFormat } = this.three;
    const planes: [Uint8Array<ArrayBuffer>, number, number, Three.PixelFormat][] = together
      ? [
          [bytes.subarray(0, size), width, height, RedFormat],
          [bytes.subarray(size), w, h, RGFormat],
        ]
      : [
          [bytes.subarray(0, size), width, height, RedFormat],
          [bytes.subarray(size, size + w * h), w, h, RedFormat],
          [bytes.subarray(size + w * h), w, h, RedFormat],
        ];
    const fits =
      planes.length === this.textures.length &&
      this.textures[0]?.image.width === width &&
      this.textures[0]?.image.height === height;
    if (!fits) {
      for (const texture of this.textures) texture.dispose();
      this.textures = planes.map(([data, across, down, format]) =>
        this.plane(data, across, down, format),
      );
    }
    planes.forEach(([data], index) => {
      const texture = this.textures[index];
      if (!texture) return;
      texture.image.data = data;
      texture.needsUpdate = true;
    });
  }

  private plane(
    data: Uint8Array<ArrayBuffer>,
    width: number,
    height: number,
    format: Three.PixelFormat,
  ): Three.DataTexture {
    const { DataTexture, LinearFilter, NoColorSpace, UnsignedByteType } = this.three;
    const texture = new DataTexture(data, width, height, format, UnsignedByteType);
    texture.minFilter = LinearFilter;
    texture.magFilter = LinearFilter;
    texture.colorSpace = NoColorSpace;
    texture.unpackAlignment = 1;
    return texture;
  }

  private convert({ width, height, together, weights, fullRange }: Copy): void {
    const { LinearFilter, NoColorSpace, WebGLRenderTarget } = this.three;
    if (this.target?.width !== width || this.target.height !== height) {
      this.target?.dispose();
      this.target = new WebGLRenderTarget(width, height, {
        depthBuffer: false,
        minFilter: LinearFilter,
        magFilter: LinearFilter,
        colorSpace: NoColorSpace,
      });
    }
    const { uniforms } = this;
    const [luma, first, second] = this.textures;
    uniforms.luma.value = luma ?? null;
    uniforms.first.value = first ?? null;
    uniforms.second.value = second ?? first ?? null;
    uniforms.together.value = together;
    uniforms.weights.value.set(...weights);
    // Of 255: black, white minus black, and what one unit of Cb or Cr is worth (half of its extent, each way doubled).
    if (fullRange) uniforms.range.value.set(0, 1, 0.5);
    else uniforms.range.value.set(16 / 255, 219 / 255, 112 / 255);
    const { renderer } = this;
    const [target, xr] = [renderer.getRenderTarget(), renderer.xr.enabled];
    renderer.xr.enabled = false;
    renderer.setRenderTarget(this.target);
    this.draw(this.scene, this.camera);
    renderer.setRenderTarget(target);
    renderer.xr.enabled = xr;
  }
}
