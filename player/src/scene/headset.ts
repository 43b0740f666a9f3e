/** Entering and leaving VR, and keeping the view's heading on the way. */

import { heading, RADIANS } from './orientation.ts';
import type { SceneContext } from './scene.ts';

export async function headsetPresent(): Promise<boolean> {
  try {
    return (await navigator.xr?.isSessionSupported('immersive-vr')) ?? false;
  } catch {
    return false;
  }
}

/** What lay ahead on the screen lies ahead in the headset. */
export function keepHeading(stage: SceneContext): void {
  stage.scene.addEventListener('enter-vr', () => {
    stage.rig.object3D.rotation.y = stage.look.yaw * RADIANS;
  });
  stage.scene.addEventListener('exit-vr', () => {
    stage.rig.object3D.rotation.y = 0;
    stage.picture.changes += 1;
  });
}

/** Where the viewer looks, with the head in VR and with the hand elsewhere. */
export function viewed({ scene, look, aframe }: SceneContext): { yaw: number; pitch: number } {
  if (!scene.is('vr-mode')) return { yaw: look.yaw, pitch: look.pitch };
  const ahead = scene.camera.getWorldDirection(new aframe.THREE.Vector3());
  return heading([ahead.x, ahead.y, ahead.z]);
}

/** Enters or leaves; the reason when the device refuses. */
export async function toggleHeadset(stage: SceneContext): Promise<string | undefined> {
  try {
    if (stage.scene.is('vr-mode')) await stage.scene.exitVR();
    else await stage.scene.enterVR();
    return undefined;
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return cause instanceof Error ? cause.message : String(cause);
  }
}
