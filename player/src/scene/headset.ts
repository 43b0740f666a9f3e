/** Entering and leaving VR, and keeping the view's heading on the way. */

import { RADIANS } from './angles.ts';
import type { Stage } from './scene.ts';

export async function headsetPresent(): Promise<boolean> {
  try {
    return (await navigator.xr?.isSessionSupported('immersive-vr')) ?? false;
  } catch {
    return false;
  }
}

/** What lay ahead on the screen lies ahead in the headset. */
export function keepHeading(stage: Stage): void {
  stage.scene.addEventListener('enter-vr', () => {
    stage.rig.object3D.rotation.y = stage.look.yaw * RADIANS;
  });
  stage.scene.addEventListener('exit-vr', () => {
    stage.rig.object3D.rotation.y = 0;
    stage.picture.changes += 1;
  });
}

/** Enters or leaves; the reason when the device refuses. */
export async function toggleHeadset(stage: Stage): Promise<string | undefined> {
  try {
    if (stage.scene.is('vr-mode')) await stage.scene.exitVR();
    else await stage.scene.enterVR();
    return undefined;
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return cause instanceof Error ? cause.message : String(cause);
  }
}
