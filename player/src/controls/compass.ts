/** Shows where ahead is, how wide the view is, and turns back to the front on a tap. */

import { h } from '../page/dom.ts';

export class Compass {
  readonly element: HTMLButtonElement;
  private needle: SVGGElement;
  private cone: SVGPathElement;

  constructor(toFront: () => void) {
    this.element = h('button', { type: 'button', class: 'compass', onclick: toFront });
    this.element.innerHTML = /* html */ `
<svg viewBox="-20 -20 40 40" aria-hidden="true">
  <circle r="16.5" class="ring"/>
  <g><path class="cone"/></g>
  <path class="front" d="M-3 -13.5 L0 -18.5 L3 -13.5 Z"/>
  <circle r="2" class="dot"/>
</svg>`;
    this.needle = this.element.querySelector('g') as SVGGElement;
    this.cone = this.element.querySelector('.cone') as SVGPathElement;
    this.turn(0, 80);
  }

  turn(yaw: number, fov: number): void {
    const half = (fov * Math.PI) / 360;
    const [x, y] = [16 * Math.sin(half), -16 * Math.cos(half)];
    this.cone.setAttribute('d', `M0 0L${-x} ${y}A16 16 0 0 1 ${x} ${y}Z`);
    this.needle.setAttribute('transform', `rotate(${-yaw})`);
    const away = Math.round(Math.abs(yaw));
    const side =
      away < 1 ? 'ahead' : away === 180 ? 'behind' : `${away}° ${yaw > 0 ? 'left' : 'right'}`;
    const label = `Looking ${side}; turn to the front`;
    this.element.setAttribute('aria-label', label);
    this.element.title = label;
  }
}
