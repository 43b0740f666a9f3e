/** The right side of the bar and what opens from it: motion, headset, share, settings, statistics, help. */

import type { Playback, Snapshot } from '../media/playback.ts';
import { h, iconButton, relabel } from '../page/dom.ts';
import { headsetPresent, keepHeading, toggleHeadset } from '../scene/headset.ts';
import type { SceneContext } from '../scene/scene.ts';
import { Captions } from './captions.ts';
import { Help } from './help.ts';
import { Menu } from './menu.ts';
import { Share } from './share.ts';
import { Stats } from './stats.ts';

export class Tools {
  readonly buttons: HTMLElement[];
  readonly layers: HTMLElement[];
  readonly captions: Captions;
  private stats: Stats;
  private help = new Help();
  private share = new Share();
  private menu: Menu;
  private headset: HTMLButtonElement;
  private motion: HTMLButtonElement;

  constructor(
    playback: Playback,
    private name: string,
    private stage: () => SceneContext | undefined,
  ) {
    this.captions = new Captions(playback.video);
    this.stats = new Stats(stage);
    this.menu = new Menu(playback, this.captions, [
      { text: 'Statistics', pick: () => this.stats.toggle() },
      { text: 'Copy code to embed', pick: () => void this.share.embed(location.href, this.name) },
      { text: 'Keyboard', pick: () => this.help.toggle() },
    ]);
    this.motion = iconButton(
      'motion',
      'Look by moving the device',
      () => void this.toggleMotion(),
      {
        'aria-pressed': 'false',
        hidden: true,
      },
    );
    this.headset = iconButton('headset', 'Enter VR', () => void this.toggleVr(), { hidden: true });
    const share = iconButton('share', 'Share this view', () => this.shareView());
    this.buttons = [
      this.motion,
      this.headset,
      share,
      h('div', { class: 'anchor' }, this.menu.button, this.menu.panel),
    ];
    this.layers = [this.captions.element, this.stats.panel, this.share.message, this.help.dialog];
  }

  /** Shows a short message. */
  tell(text: string): void {
    this.share.tell(text);
  }

  ready(stage: SceneContext): void {
    keepHeading(stage);
    const label = (): void => {
      const inside = stage.scene.is('vr-mode');
      relabel(this.headset, 'headset', inside ? 'Leave VR' : 'Enter VR');
    };
    stage.scene.addEventListener('enter-vr', label);
    stage.scene.addEventListener('exit-vr', label);
    void headsetPresent().then((present) => {
      this.headset.hidden = !present;
    });
    const moves = 'DeviceOrientationEvent' in window && matchMedia('(pointer: coarse)').matches;
    this.motion.hidden = !moves;
  }

  update(s: Snapshot): void {
    this.menu.update(s);
    this.stats.update(s, performance.now());
  }

  /** Keys of the parts that live here; true when one took it. */
  press(key: string): boolean {
    const table: Record<string, () => void> = {
      s: () => this.stats.toggle(),
      c: () => this.captions.cycle(),
      v: () => void this.toggleVr(),
      '?': () => this.help.toggle(),
      Escape: () => this.menu.close(true),
    };
    const act = table[key.length === 1 ? key.toLowerCase() : key];
    act?.();
    return act !== undefined;
  }

  /** Asks for the motion sensor; best from a tap that the viewer makes anyway. */
  async toggleMotion(): Promise<void> {
    const look = this.stage()?.look;
    if (!look) return;
    const granted = await look.sense(!look.sensing);
    this.motion.setAttribute('aria-pressed', String(look.sensing));
    if (!granted) this.share.tell('This device does not allow motion; drag to look around');
  }

  private shareView(): void {
    const look = this.stage()?.look;
    void this.share.share(
      { yaw: look?.yaw ?? 0, pitch: look?.pitch ?? 0, fov: look?.fov },
      this.name,
    );
  }

  private async toggleVr(): Promise<void> {
    const stage = this.stage();
    if (!stage || this.headset.hidden) return;
    const refusal = await toggleHeadset(stage);
    if (refusal) this.share.tell(`The headset refused: ${refusal}`);
  }
}
