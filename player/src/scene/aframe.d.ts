/** The few parts of A-Frame that the page touches; its prebuilt bundle is loaded as a plain script. */

import type * as Three from 'three';

export interface Scene extends HTMLElement {
  object3D: Three.Scene;
  camera: Three.PerspectiveCamera;
  canvas: HTMLCanvasElement;
  renderer: Omit<Three.WebGLRenderer, 'properties' | 'xr'> & {
    properties: { get(of: object): { __webglTexture?: WebGLTexture } };
    xr: Three.WebXRManager & { addLayer(l: XRLayer): void; removeLayer(l: XRLayer): void };
  };
  hasLoaded: boolean;
  xrSession: XRSession | undefined;
  is(state: string): boolean;
  enterVR(): Promise<unknown>;
  exitVR(): Promise<unknown>;
  resize(): void;
}

export interface Entity extends HTMLElement {
  object3D: Three.Object3D;
  sceneEl: Scene;
  components: Record<string, unknown>;
  getObject3D(name: string): Three.Object3D | undefined;
  setObject3D(name: string, object: Three.Object3D): void;
  removeObject3D(name: string): void;
}

/** What `this` is inside a component. */
export interface Component {
  el: Entity;
}

export interface Aframe {
  THREE: typeof Three;
  registerComponent(name: string, definition: object & ThisType<never>): unknown;
  components: Record<string, unknown>;
}

declare global {
  interface Window {
    AFRAME?: Aframe;
  }
  /** File name of the A-Frame bundle next to our own script; set by the build. */
  const AFRAME_FILE: string;
}
