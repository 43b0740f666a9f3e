/**
 * `window.panocast`: a read-only view of the player for tests and measurements. It changes nothing; a view is set
 * through the page's fragment (`#yaw=…&pitch=…&fov=…`), like any shared link.
 */

import type { Vector3 } from 'three';
import type { Playback, Snapshot } from './media/playback.ts';
import { direction } from './scene/orientation.ts';
import { type Readback, readback } from './scene/readback.ts';
import type { SceneContext } from './scene/scene.ts';

export type Colour = [red: number, green: number, blue: number, alpha: number];

export interface Grid {
  /** A rectangle of the frame, 0 to 1 from its left and top. */
  left: number;
  top: number;
  width: number;
  height: number;
  columns: number;
  rows: number;
}

export interface Debug {
  readonly state: Snapshot['phase'];
  readonly latency: number | undefined;
  readonly stalls: number;
  readonly level: number;
  readonly droppedFrames: number;
  readonly totalFrames: number;
  readonly joinMs: number | undefined;
  /** When the first frame of video was on the canvas, milliseconds since the page was opened. */
  readonly firstPictureMs: number | undefined;
  readonly view: { yaw: number; pitch: number; fov: number };
  readonly videoSize: [number, number];
  readonly snapshot: Snapshot;
  /** Media time of the frame in the texture and the wall clock now, milliseconds. */
  readonly clock: { media: number; wall: number };
  /** Colour of the uploaded frame at a point 0 to 1 from its left and top: what the GPU has, not what the decoder had. */
  readPixels(u: number, v: number): Colour;
  /** Brightness 0 to 255 in the middle of each cell of a grid laid over part of the frame, row by row. */
  readGrid(grid: Grid): number[];
  /** Colour of the canvas at a point 0 to 1 from its left and top, drawn for this call. */
  readView(x: number, y: number): Colour;
  /** Where on the canvas a direction is, 0 to 1 from the left and top; undefined behind the viewer. */
  locate(yaw: number, pitch: number): [number, number] | undefined;
}

declare global {
  interface Window {
    panocast?: Debug;
  }
}

export function expose(playback: Playback, stage: () => SceneContext | undefined): void {
  const frame = (): Readback | undefined => {
    const s = stage();
    return s && readback(s);
  };
  const pixel = (share: number, length: number): number =>
    Math.min(length - 1, Math.max(0, Math.floor(share * length)));

  window.panocast = Object.freeze({
    get state() {
      return playback.phase;
    },
    get latency() {
      return playback.snapshot().latency;
    },
    get stalls() {
      return playback.stalls;
    },
    get level() {
      return playback.snapshot().level;
    },
    get droppedFrames() {
      return playback.snapshot().dropped;
    },
    get totalFrames() {
      return playback.snapshot().frames;
    },
    get joinMs() {
      return playback.joinMs;
    },
    get firstPictureMs() {
      return stage()?.firstPictureMs();
    },
    get view() {
      const look = stage()?.look;
      return { yaw: look?.yaw ?? 0, pitch: look?.pitch ?? 0, fov: look?.fov ?? 0 };
    },
    get videoSize(): [number, number] {
      return [playback.video.videoWidth, playback.video.videoHeight];
    },
    get snapshot() {
      return playback.snapshot();
    },
    get clock() {
      return { media: playback.video.currentTime * 1000, wall: Date.now() };
    },
    readPixels(u: number, v: number): Colour {
      const from = frame();
      if (!from) return [0, 0, 0, 0];
      const [x, y] = [pixel(u, from.size[0]), pixel(v, from.size[1])];
      return [...from.read({ x, y, width: 1, height: 1 })] as Colour;
    },
    readGrid(grid: Grid): number[] {
      const from = frame();
      if (!from) return [];
      const [x, y] = [pixel(grid.left, from.size[0]), pixel(grid.top, from.size[1])];
      const width = pixel(grid.left + grid.width, from.size[0]) - x + 1;
      const height = pixel(grid.top + grid.height, from.size[1]) - y + 1;
      const bytes = from.read({ x, y, width, height });
      const cells: number[] = [];
      for (let row = 0; row < grid.rows; row++) {
        for (let column = 0; column < grid.columns; column++) {
          const px = pixel((column + 0.5) / grid.columns, width);
          const py = pixel((row + 0.5) / grid.rows, height);
          const at = (py * width + px) * 4;
          const [r, g, b] = [bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0];
          cells.push(Math.round(0.2126 * r + 0.7152 * g + 0.0722 * b));
        }
      }
      return cells;
    },
    readView(x: number, y: number): Colour {
      const s = stage();
      if (!s) return [0, 0, 0, 0];
      s.draw();
      const gl = s.scene.renderer.getContext();
      const bytes = new Uint8Array(4);
      const { drawingBufferWidth: w, drawingBufferHeight: h } = gl;
      gl.readPixels(pixel(x, w), pixel(1 - y, h), 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      return [...bytes] as Colour;
    },
    locate(yaw: number, pitch: number): [number, number] | undefined {
      const s = stage();
      if (!s) return undefined;
      const point: Vector3 = new s.aframe.THREE.Vector3(...direction(yaw, pitch));
      s.scene.camera.updateWorldMatrix(true, false);
      const inView = point.clone().applyMatrix4(s.scene.camera.matrixWorldInverse);
      if (inView.z >= 0) return undefined;
      point.project(s.scene.camera);
      return [(point.x + 1) / 2, (1 - point.y) / 2];
    },
  });
}
