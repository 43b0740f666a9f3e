/**
 * In a headset that can: hands the video to the compositor as an equirect layer, which draws it once, at the panel's
 * own resolution, instead of twice through our sphere. Everything else (other projections, exchanged eyes, no layers)
 * stays on the sphere.
 */

import type { Info } from '../media/info.ts';
import type { Aframe, Entity, Scene } from './aframe.d.ts';
import { multiply, type Quaternion, turn } from './orientation.ts';
import type { Picture } from './panorama.ts';

const LAYOUTS: Partial<Record<Info['stereo'], XRLayerLayout>> = {
  mono: 'mono',
  'top-bottom': 'stereo-top-bottom',
  'side-by-side': 'stereo-left-right',
};
const ANGLES: Partial<Record<Info['projection'], number>> = {
  equirectangular: 2 * Math.PI,
  'half-equirectangular': Math.PI,
};

/** How the compositor would show a picture; undefined where it cannot. */
export function layerFor(info: Info): { layout: XRLayerLayout; angle: number } | undefined {
  const [layout, angle] = [LAYOUTS[info.stereo], ANGLES[info.projection]];
  // A layer cannot follow a switch to a rung of another projection.
  const changes = info.rungs.length > 0;
  return changes || layout === undefined || angle === undefined ? undefined : { layout, angle };
}

/** Attitude of the layer: the picture's own, seen from a viewer who was turned by `rigYaw` degrees. */
export function layerAttitude(info: Info, rigYaw: number): Quaternion {
  const picture = multiply(multiply(turn(1, info.yaw), turn(0, info.pitch)), turn(2, -info.roll));
  return multiply(turn(1, -rigYaw), picture);
}

interface Headset {
  el: Entity;
  layer: XRLayer | undefined;
  enter(): Promise<void>;
  leave(): void;
}

export function registerEquirectLayer(aframe: Aframe): void {
  if (aframe.components['equirect-layer']) return;
  aframe.registerComponent('equirect-layer', {
    init(this: Headset) {
      this.layer = undefined;
      this.el.sceneEl.addEventListener('enter-vr', () => void this.enter());
      this.el.sceneEl.addEventListener('exit-vr', () => this.leave());
    },
    async enter(this: Headset) {
      const scene = this.el.sceneEl;
      const { picture } = this.el.components['panorama'] as { picture: Picture };
      const layer = await makeLayer(scene, picture).catch(() => undefined);
      if (!layer) return;
      this.layer = layer;
      scene.renderer.xr.addLayer(layer);
      picture.visible = false;
    },
    leave(this: Headset) {
      const { picture } = this.el.components['panorama'] as { picture: Picture };
      picture.visible = true;
      if (!this.layer) return;
      this.el.sceneEl.renderer.xr.removeLayer(this.layer);
      this.layer = undefined;
    },
  });
}

async function makeLayer(scene: Scene, picture: Picture): Promise<XRLayer | undefined> {
  const session = scene.xrSession;
  const shape = layerFor(picture.info);
  const video = picture.source;
  const able =
    session?.enabledFeatures?.includes('layers') && typeof XRMediaBinding !== 'undefined';
  if (!session || !shape || !video || !able) return undefined;
  const space = await session.requestReferenceSpace('local');
  const yaw = scene.querySelector<Entity>('#rig')?.object3D.rotation.y ?? 0;
  const [x, y, z, w] = layerAttitude(picture.info, (yaw * 180) / Math.PI);
  return new XRMediaBinding(session).createEquirectLayer(video, {
    space,
    layout: shape.layout,
    centralHorizontalAngle: shape.angle,
    upperVerticalAngle: Math.PI / 2,
    lowerVerticalAngle: -Math.PI / 2,
    // Infinitely far away, like the sphere.
    radius: 0,
    transform: new XRRigidTransform({}, { x, y, z, w }),
  });
}
