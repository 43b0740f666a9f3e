/** A small line plot on a canvas: the last two minutes of one number. */

/** Samples kept, one a second. */
export const SAMPLES = 120;

export class Plot {
  readonly canvas = document.createElement('canvas');
  private values: (number | undefined)[] = [];

  /** `least` keeps a quiet line from filling the height with its noise. */
  constructor(
    private colour: string,
    private least: number,
  ) {
    this.canvas.setAttribute('aria-hidden', 'true');
  }

  push(value: number | undefined): void {
    this.values.push(value);
    if (this.values.length > SAMPLES) this.values.shift();
  }

  draw(): void {
    const { canvas } = this;
    const ratio = Math.min(devicePixelRatio, 2);
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    if (width === 0) return;
    if (canvas.width !== width || canvas.height !== height)
      Object.assign(canvas, { width, height });
    const c = canvas.getContext('2d');
    if (!c) return;
    c.clearRect(0, 0, width, height);
    const known = this.values.filter((v): v is number => v !== undefined);
    const most = Math.max(this.least, ...known) * 1.1;
    const pad = 2 * ratio;
    const at = (i: number, v: number): [number, number] => [
      (width * (SAMPLES - this.values.length + i)) / (SAMPLES - 1),
      height - pad - (v / most) * (height - 2 * pad),
    ];
    c.strokeStyle = 'rgb(255 255 255 / 12%)';
    c.lineWidth = ratio;
    c.strokeRect(0, height - pad, width, 0);
    c.strokeStyle = this.colour;
    c.lineWidth = 1.75 * ratio;
    c.lineJoin = 'round';
    c.beginPath();
    let down = false;
    this.values.forEach((value, i) => {
      if (value === undefined) {
        down = false;
        return;
      }
      const [x, y] = at(i, value);
      if (down) c.lineTo(x, y);
      else c.moveTo(x, y);
      down = true;
    });
    c.stroke();
  }
}
