/** Builds the A-Frame scene and draws only what is new: a frame of video, a turned view, a resized window. */

import type { PerspectiveCamera } from 'three';
import type { Aframe, Entity, Scene } from './aframe.d.ts';
import { registerEquirectLayer } from './equirect-layer.ts';
import { Pace } from './frame-pacing.ts';
import { type Look, registerLook } from './look-controls.ts';
import { type Picture, registerPicture } from './panorama.ts';
import { runsInSoftware } from './yuv-textures.ts';

export interface SceneContext {
  scene: Scene;
  look: Look;
  picture: Picture;
  rig: Entity;
  aframe: Aframe;
  /** Whether WebGL runs on the processor. */
  software: boolean;
  /** Draws now, in this task, so that the canvas can be read. */
  draw(): void;
  /** When the first frame of video was drawn, milliseconds since the page was opened. */
  firstPictureMs(): number | undefined;
}

let loading: Promise<Aframe> | undefined;

/** Where the bundle lies: next to our own script. */
const bundle = (): string => new URL(AFRAME_FILE, import.meta.url).href;

/** Fetches A-Frame's bundle without running it. */
export function fetchAframe(): void {
  const link = document.createElement('link');
  link.rel = 'preload';
  link.as = 'script';
  link.href = bundle();
  document.head.append(link);
}

/** Runs A-Frame's bundle, once. */
export function loadAframe(): Promise<Aframe> {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = bundle();
    script.onload = () =>
      window.AFRAME ? resolve(window.AFRAME) : reject(new Error('A-Frame did not start'));
    script.onerror = () => reject(new Error('A-Frame could not be loaded'));
    document.head.append(script);
  });
  return loading;
}

const SCENE = /* html */ `
<a-scene embedded
  xr-mode-ui="enabled: false"
  device-orientation-permission-ui="enabled: false"
  loading-screen="enabled: false"
  keyboard-shortcuts="enterVR: false"
  inspector="url: data:,"
  light="defaultLightsEnabled: false"
  renderer="antialias: false; alpha: false; highRefreshRate: true; maxCanvasWidth: 3840; maxCanvasHeight: 3840"
  webxr="requiredFeatures: local; optionalFeatures: local-floor, layers; referenceSpaceType: local">
  <a-entity id="rig"><a-entity id="eye" camera="near: 0.1; far: 100" look position="0 0 0"></a-entity></a-entity>
  <a-entity id="world" panorama equirect-layer></a-entity>
</a-scene>`;

/** Puts the scene into `host` and waits until it runs. */
export async function stage(aframe: Aframe, host: HTMLElement): Promise<SceneContext> {
  registerLook(aframe);
  registerPicture(aframe);
  registerEquirectLayer(aframe);
  host.innerHTML = SCENE;
  const scene = host.querySelector('a-scene') as Scene;
  if (!scene.hasLoaded) {
    await new Promise((resolve) => scene.addEventListener('loaded', resolve, { once: true }));
  }
  const eye = scene.querySelector('#eye') as Entity;
  const world = scene.querySelector('#world') as Entity;
  const { look } = eye.components['look'] as { look: Look };
  const { picture } = world.components['panorama'] as { picture: Picture };
  // The left eye's picture is what a flat screen shows of a stereo stream.
  (eye.getObject3D('camera') as PerspectiveCamera).layers.enable(1);
  const rig = scene.querySelector('#rig') as Entity;
  const gl = scene.renderer.getContext() as WebGL2RenderingContext;
  const software = runsInSoftware(gl);
  const pace = software ? new Pace(gl) : undefined;
  return {
    ...{ scene, look, picture, rig, aframe, software },
    ...drawWhenNeeded(scene, picture, look, pace),
  };
}

/**
 * Leaves the canvas alone while nothing changed: half the work at 30 fps on a 60 Hz screen, all of it when paused.
 * With a pace also while it is too soon.
 */
function drawWhenNeeded(
  scene: Scene,
  picture: Picture,
  look: Look,
  pace: Pace | undefined,
): Pick<SceneContext, 'draw' | 'firstPictureMs'> {
  const { renderer } = scene;
  const render = renderer.render.bind(renderer);
  const draw: typeof render = (object, camera) => {
    picture.upload();
    render(object, camera);
  };
  let shown = '';
  let first: number | undefined;
  renderer.render = (object, camera) => {
    if (renderer.xr.isPresenting) {
      picture.poll();
      draw(object, camera);
      return;
    }
    const { yaw, pitch, roll, fov } = look;
    const { width, height } = renderer.domElement;
    const now = [yaw, pitch, roll, fov, width, height, picture.changes].join(' ');
    const fresh = (pace?.rested() ?? true) && picture.poll();
    const turned = now !== shown && (pace?.done() ?? true);
    if (!fresh && !turned) return;
    shown = now;
    draw(object, camera);
    pace?.drawn();
    if (fresh) first ??= performance.now();
  };
  return { draw: () => draw(scene.object3D, scene.camera), firstPictureMs: () => first };
}
