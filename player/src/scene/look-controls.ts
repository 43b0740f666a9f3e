/**
 * Looking around: one heading, moved by drag, touch, keys, wheel, pinch and the device's own motion.
 *
 * An A-Frame component on the camera. It owns the camera's rotation and field of view while no headset does; in VR the
 * headset turns the camera and this only remembers.
 */

import type { PerspectiveCamera } from 'three';
import type { View } from '../route.ts';
import type { Aframe, Entity } from './aframe.d.ts';
import {
  attitude,
  attitudeHeading,
  clamp,
  drag,
  FOV,
  glide,
  multiply,
  RADIANS,
  rotate,
  STEEPEST,
  turn,
  verticalFov,
  wrap,
} from './orientation.ts';

/** Degrees per second while an arrow key is held. */
const KEY_SPEED = 70;
/** A flick faster than this looks like a slip, degrees per second. */
const FASTEST = 400;

export class Look {
  yaw = 0;
  pitch = 0;
  fov: number = FOV.usual;
  /** The phone's motion turns the view. */
  sensing = false;
  onturn: () => void = () => undefined;
  private speed = { yaw: 0, pitch: 0 };
  private held = new Map<number, { x: number; y: number; at: number }>();
  private keys = new Set<string>();
  private target: View | undefined;
  private sensed = { yaw: 0, pitch: 0, roll: 0 };
  private offset: number | undefined;

  /** Listens on the element that shows the picture. */
  listen(surface: HTMLElement): void {
    surface.addEventListener('pointerdown', (e) => this.down(surface, e));
    surface.addEventListener('pointermove', (e) => this.move(surface, e));
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture'] as const) {
      surface.addEventListener(end, (e) => this.up(e));
    }
    surface.addEventListener(
      'wheel',
      (e) => {
        e.preventDefault();
        this.zoom(Math.exp(clamp(e.deltaY, -120, 120) / 600));
      },
      { passive: false },
    );
  }

  /** Holds or lets go of a direction: `left`, `right`, `up`, `down`. */
  key(name: string, down: boolean): void {
    if (down) this.keys.add(name);
    else this.keys.delete(name);
    this.target = undefined;
  }

  release(): void {
    this.keys.clear();
  }

  zoom(factor: number): void {
    this.fov = clamp(this.fov * factor, FOV.least, FOV.most);
    this.onturn();
  }

  /** Jumps, or glides when `smooth`, to a view. */
  to(view: View, smooth = false): void {
    this.speed = { yaw: 0, pitch: 0 };
    const aim = {
      yaw: wrap(view.yaw),
      pitch: clamp(view.pitch, -STEEPEST, STEEPEST),
      fov: view.fov,
    };
    if (smooth && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
      this.target = aim;
      return;
    }
    this.target = undefined;
    this.yaw = aim.yaw;
    this.pitch = aim.pitch;
    if (aim.fov !== undefined) this.fov = clamp(aim.fov, FOV.least, FOV.most);
    if (this.sensing) this.offset = undefined;
    this.onturn();
  }

  /** Follows the device's motion; the present heading stays ahead. False when the viewer refuses. */
  async sense(on: boolean): Promise<boolean> {
    removeEventListener('deviceorientation', this.sensor);
    this.sensing = false;
    this.sensed.roll = 0;
    if (!on) return true;
    const ask = (DeviceOrientationEvent as unknown as { requestPermission?: () => Promise<string> })
      .requestPermission;
    if (ask && (await ask().catch(() => 'denied')) !== 'granted') return false;
    this.offset = undefined;
    this.sensing = true;
    addEventListener('deviceorientation', this.sensor);
    return true;
  }

  /** Moves on by `seconds`; true when the view changed. */
  tick(seconds: number): boolean {
    const before = `${this.yaw} ${this.pitch} ${this.fov} ${this.sensed.roll}`;
    if (this.target) this.approach(this.target, seconds);
    this.byKeys(seconds);
    if (this.sensing && this.offset !== undefined) {
      this.yaw = wrap(this.sensed.yaw + this.offset);
      this.pitch = this.sensed.pitch;
    } else if (this.held.size === 0) {
      this.turn(this.speed.yaw * seconds, this.speed.pitch * seconds);
      this.speed = { yaw: glide(this.speed.yaw, seconds), pitch: glide(this.speed.pitch, seconds) };
    }
    const changed = before !== `${this.yaw} ${this.pitch} ${this.fov} ${this.sensed.roll}`;
    if (changed) this.onturn();
    return changed;
  }

  get roll(): number {
    return this.sensing ? this.sensed.roll : 0;
  }

  private turn(yaw: number, pitch: number): void {
    if (yaw === 0 && pitch === 0) return;
    if (this.sensing && this.offset !== undefined) {
      this.offset += yaw;
      return;
    }
    this.yaw = wrap(this.yaw + yaw);
    this.pitch = clamp(this.pitch + pitch, -STEEPEST, STEEPEST);
  }

  private approach(aim: View, seconds: number): void {
    const share = 1 - Math.exp(-seconds / 0.12);
    const away = wrap(aim.yaw - this.yaw);
    const pitch = aim.pitch - this.pitch;
    const fov = (aim.fov ?? this.fov) - this.fov;
    this.turn(away * share, pitch * share);
    this.fov += fov * share;
    if (Math.abs(away) + Math.abs(pitch) + Math.abs(fov) < 0.05) this.target = undefined;
  }

  private byKeys(seconds: number): void {
    const step = KEY_SPEED * seconds * (this.fov / FOV.usual);
    const held = (name: string): number => (this.keys.has(name) ? step : 0);
    this.turn(held('left') - held('right'), held('up') - held('down'));
  }

  private down(surface: HTMLElement, e: PointerEvent): void {
    if (e.button !== 0) return;
    surface.setPointerCapture(e.pointerId);
    this.held.set(e.pointerId, { x: e.clientX, y: e.clientY, at: e.timeStamp });
    this.speed = { yaw: 0, pitch: 0 };
    this.target = undefined;
  }

  private move(surface: HTMLElement, e: PointerEvent): void {
    const from = this.held.get(e.pointerId);
    if (!from) return;
    if (this.held.size === 2) {
      const other = [...this.held].find(([id]) => id !== e.pointerId)?.[1] ?? from;
      const before = Math.hypot(from.x - other.x, from.y - other.y);
      const after = Math.hypot(e.clientX - other.x, e.clientY - other.y);
      if (before > 10 && after > 10) this.zoom(before / after);
    } else {
      const height = surface.clientHeight;
      const fov = verticalFov(this.fov, surface.clientWidth / Math.max(height, 1));
      const [yaw, pitch] = [
        drag(e.clientX - from.x, height, fov),
        drag(e.clientY - from.y, height, fov),
      ];
      this.turn(yaw, pitch);
      const seconds = Math.max((e.timeStamp - from.at) / 1000, 0.008);
      const blend = (old: number, now: number): number =>
        clamp(0.6 * old + 0.4 * (now / seconds), -FASTEST, FASTEST);
      this.speed = { yaw: blend(this.speed.yaw, yaw), pitch: blend(this.speed.pitch, pitch) };
      this.onturn();
    }
    this.held.set(e.pointerId, { x: e.clientX, y: e.clientY, at: e.timeStamp });
  }

  private up(e: PointerEvent): void {
    const from = this.held.get(e.pointerId);
    this.held.delete(e.pointerId);
    // A pointer that rested before it was lifted means: stay here.
    if (from && e.timeStamp - from.at > 80) this.speed = { yaw: 0, pitch: 0 };
  }

  private sensor = (e: DeviceOrientationEvent): void => {
    if (e.alpha === null || e.beta === null || e.gamma === null) return;
    const q = attitude(e.alpha, e.beta, e.gamma, screen.orientation?.angle ?? 0);
    const { yaw, pitch } = attitudeHeading(q);
    const level = multiply(turn(0, -pitch), turn(1, -yaw));
    const up = rotate(multiply(level, q), [0, 1, 0]);
    this.offset ??= wrap(this.yaw - yaw);
    this.sensed = { yaw, pitch, roll: Math.atan2(-up[0], up[1]) / RADIANS };
  };
}

interface LookComponent {
  el: Entity;
  look: Look;
  aspect: number;
}

export function registerLook(aframe: Aframe): void {
  if (aframe.components['look']) return;
  aframe.registerComponent('look', {
    init(this: LookComponent) {
      this.look = new Look();
      this.el.object3D.rotation.order = 'YXZ';
    },
    tick(this: LookComponent, _: number, milliseconds: number) {
      const scene = this.el.sceneEl;
      if (scene.is('vr-mode')) return;
      const { look } = this;
      look.tick(Math.min(milliseconds, 100) / 1000);
      this.el.object3D.rotation.set(look.pitch * RADIANS, look.yaw * RADIANS, look.roll * RADIANS);
      const camera = this.el.getObject3D('camera') as PerspectiveCamera | undefined;
      if (!camera) return;
      const fov = verticalFov(look.fov, camera.aspect);
      if (Math.abs(camera.fov - fov) > 0.01) {
        camera.fov = fov;
        camera.updateProjectionMatrix();
      }
    },
  });
}
