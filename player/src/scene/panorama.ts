/**
 * The picture around the viewer, as an A-Frame component: a box at infinity with the projection's shader, one mesh for
 * a mono picture, one per eye on three.js's layers 1 and 2 for a stereo one (a flat screen shows the left eye).
 *
 * A video texture keeps the size of its first upload, so each change of the video's size (a rung switch) replaces it;
 * the old one goes on showing until the new one has a frame, so that nothing flashes.
 */

import type * as Three from 'three';
import type { Info, Projection } from '../media/info.ts';
import { infoFor, PLAIN } from '../media/info.ts';
import type { Aframe, Entity } from './aframe.d.ts';
import { RADIANS, toPicture } from './orientation.ts';
import { eyes, margin, type Rectangle, usualFov } from './projection.ts';
import { fragment, VERTEX } from './shader.ts';
import { Planes } from './yuv-textures.ts';

interface Uniforms extends Record<string, { value: unknown }> {
  map: { value: Three.Texture | null };
  eye: { value: Three.Vector4 };
  size: { value: Three.Vector2 };
  toPicture: { value: Three.Matrix3 };
  lens: { value: number };
  strength: { value: number };
  margin: { value: number };
}

export class Picture {
  /** What holds for the picture in the texture. */
  info: Info = PLAIN;
  /** Count of changes on the screen that the picture itself causes; the scene redraws when it moved. */
  changes = 0;
  texture: Three.VideoTexture | undefined;
  /** In the texture's stead where WebGL runs in software. */
  planes: Planes | undefined;
  private told: Info = PLAIN;
  private group: Three.Group;
  private video: HTMLVideoElement | undefined;
  private shown: { projection: Projection; stereo: boolean } | undefined;
  private uniforms: Uniforms[] = [];
  private textureVersion = 0;
  private three: typeof Three;

  constructor(three: typeof Three) {
    this.three = three;
    this.group = new three.Group();
  }

  get source(): HTMLVideoElement | undefined {
    return this.video;
  }

  get object(): Three.Object3D {
    return this.group;
  }

  /** `software`: whether WebGL runs there. */
  setVideo(video: HTMLVideoElement, software: boolean): void {
    this.video = video;
    if (software && typeof VideoFrame !== 'undefined') {
      this.planes = new Planes(this.three, video, () => this.withoutPlanes());
      this.shown = undefined;
    }
    video.addEventListener('resize', () => this.retexture());
    video.addEventListener('loadeddata', () => this.retexture());
    if (video.readyState >= 2) this.retexture();
  }

  setInfo(info: Info): void {
    this.told = info;
    this.refresh();
  }

  /** Hidden while a headset's compositor draws the picture itself. */
  set visible(on: boolean) {
    this.group.visible = on;
    this.changes += 1;
  }

  /** Called when a frame could be drawn; true when there is one that was not. */
  poll(): boolean {
    return this.planes?.poll() ?? (this.texture?.version ?? 0) !== this.textureVersion;
  }

  /** Called before each drawing. */
  upload(): void {
    this.textureVersion = this.texture?.version ?? 0;
    const before = this.planes?.shown;
    this.planes?.upload();
    if (this.planes?.shown !== before) this.refresh();
  }

  dispose(): void {
    this.planes?.dispose();
    this.texture?.dispose();
    this.clear();
  }

  /** The browser does not give its planes away: back to its own way. */
  private withoutPlanes(): void {
    this.planes?.dispose();
    this.planes = undefined;
    this.shown = undefined;
    this.retexture();
  }

  private retexture(): void {
    const video = this.video;
    if (!video || video.videoWidth === 0 || this.planes) return;
    const image = this.texture?.userData['size'] as string | undefined;
    const size = `${video.videoWidth}×${video.videoHeight}`;
    if (image === size) return;
    const { VideoTexture, LinearFilter, NoColorSpace } = this.three;
    const texture = new VideoTexture(video);
    texture.minFilter = LinearFilter;
    texture.magFilter = LinearFilter;
    // The shader passes the video's own values through to an sRGB canvas: no conversion, no rounding.
    texture.colorSpace = NoColorSpace;
    texture.userData['size'] = size;
    if (video.readyState >= 2) texture.needsUpdate = true;
    this.texture?.dispose();
    this.texture = texture;
    this.refresh();
  }

  private remesh(projection: Projection, stereo: boolean): void {
    const { BackSide, BoxGeometry, Matrix3, Mesh, ShaderMaterial, Vector2, Vector4 } = this.three;
    this.clear();
    this.shown = { projection, stereo };
    for (const layer of stereo ? [1, 2] : [0]) {
      const uniforms: Uniforms = {
        map: { value: null },
        eye: { value: new Vector4(0, 0, 1, 1) },
        size: { value: new Vector2(1, 1) },
        toPicture: { value: new Matrix3() },
        lens: { value: 1 },
        strength: { value: 0 },
        margin: { value: 0.5 },
        ...this.planes?.uniforms,
      };
      const material = new ShaderMaterial({
        vertexShader: VERTEX,
        fragmentShader: fragment(projection, this.planes !== undefined),
        side: BackSide,
        depthTest: false,
        depthWrite: false,
        toneMapped: false,
        uniforms,
      });
      const mesh = new Mesh(new BoxGeometry(2, 2, 2), material);
      mesh.frustumCulled = false;
      mesh.renderOrder = -1;
      mesh.layers.set(layer);
      this.group.add(mesh);
      this.uniforms.push(uniforms);
    }
  }

  private refresh(): void {
    const ofVideo = [this.video?.videoWidth || 1, this.video?.videoHeight || 1] as const;
    const [width, height] = this.planes?.shown ?? ofVideo;
    this.info = infoFor(this.told, width, height);
    const { stereo, projection, yaw, pitch, roll, fov } = this.info;
    const both = eyes(stereo);
    if (this.shown?.projection !== projection || this.shown.stereo !== (stereo !== 'mono')) {
      this.remesh(projection, stereo !== 'mono');
    }
    this.uniforms.forEach((u, i) => {
      const eye: Rectangle = i === 0 ? both.left : both.right;
      u.map.value = this.texture ?? null;
      u.strength.value = this.texture || this.planes?.shown ? 1 : 0;
      u.margin.value = margin(this.info);
      u.eye.value.fromArray(eye);
      u.size.value.set(width * eye[2], height * eye[3]);
      // three.js keeps matrices by columns.
      u.toPicture.value.fromArray(toPicture(yaw, pitch, roll)).transpose();
      u.lens.value = ((fov ?? usualFov(projection)) / 2) * RADIANS;
    });
    this.changes += 1;
  }

  private clear(): void {
    for (const mesh of [...this.group.children] as Three.Mesh[]) {
      mesh.geometry.dispose();
      (mesh.material as Three.Material).dispose();
      this.group.remove(mesh);
    }
    this.uniforms = [];
  }
}

interface PictureComponent {
  el: Entity;
  picture: Picture;
}

export function registerPicture(aframe: Aframe): void {
  if (aframe.components['panorama']) return;
  aframe.registerComponent('panorama', {
    init(this: PictureComponent) {
      this.picture = new Picture(aframe.THREE);
      this.el.setObject3D('panorama', this.picture.object);
    },
    remove(this: PictureComponent) {
      this.picture.dispose();
      this.el.removeObject3D('panorama');
    },
  });
}
