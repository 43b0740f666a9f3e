/**
 * A stream's picture with where its viewers look laid over it: the whole sphere, unrolled, ahead in the middle.
 *
 * The table comes from the edges: rows from straight up to straight down, columns from behind over the left to the
 * right, 30° apart, each cell a decaying count of viewer-seconds.
 */

import { attribute, h, say } from './dom.js';
import { count } from './format.js';

const [WIDTH, HEIGHT] = [640, 320];
/** The heat is smooth: a coarse picture of it, scaled up, looks the same. */
const [COARSE_WIDTH, COARSE_HEIGHT] = [96, 48];

/** @typedef {{ projection: string, stereo: string, orientation: { yaw: number } }} Immersive */

export function map() {
  const canvas = h('canvas', { width: String(WIDTH), height: String(HEIGHT), role: 'img' });
  const words = h('p', { class: 'looks' });
  const heat = h('canvas', { width: String(COARSE_WIDTH), height: String(COARSE_HEIGHT) });
  /** @type {ImageBitmap | undefined} */
  let still;
  return {
    element: h('div', { class: 'map' }, canvas, words),
    /** @param {ImageBitmap | undefined} picture */
    show(picture) {
      still?.close();
      still = picture;
    },
    /**
     * @param {Immersive} immersive
     * @param {{ viewers: number, views: number[][] } | null} audience
     * @param {boolean} withHeat
     */
    update(immersive, audience, withHeat) {
      const views = audience?.views ?? [];
      const total = views.flat().reduce((sum, cell) => sum + cell, 0);
      const context = canvas.getContext('2d');
      ground(context);
      if (still) draw(context, still, immersive);
      else grid(context);
      if (withHeat && total > 0) {
        context.fillStyle = 'rgb(5 8 13 / 45%)';
        context.fillRect(0, 0, WIDTH, HEIGHT);
        const pixels = heat.getContext('2d');
        pixels.putImageData(warmth(views, immersive.orientation.yaw), 0, 0);
        context.imageSmoothingQuality = 'high';
        context.drawImage(heat, 0, 0, WIDTH, HEIGHT);
      }
      const seen = sentence(audience, views, total);
      say(words, seen);
      attribute(canvas, 'aria-label', `The newest picture. ${seen}`);
    },
  };
}

/** @param {CanvasRenderingContext2D} context */
function ground(context) {
  context.fillStyle = '#05080d';
  context.fillRect(0, 0, WIDTH, HEIGHT);
}

/** @param {CanvasRenderingContext2D} context */
function grid(context) {
  context.strokeStyle = 'rgb(255 255 255 / 14%)';
  context.beginPath();
  for (let x = 0; x <= 12; x++) {
    context.moveTo((x / 12) * WIDTH, 0);
    context.lineTo((x / 12) * WIDTH, HEIGHT);
  }
  for (let y = 0; y <= 6; y++) {
    context.moveTo(0, (y / 6) * HEIGHT);
    context.lineTo(WIDTH, (y / 6) * HEIGHT);
  }
  context.stroke();
}

/**
 * The left eye's picture where it lies on the sphere; a shape that is no map of it as it is.
 * @param {CanvasRenderingContext2D} context
 * @param {ImageBitmap} still
 * @param {Immersive} immersive
 */
function draw(context, still, { projection, stereo }) {
  const [x, y, w, h] = eye(stereo);
  const left = projection === 'half-equirectangular' ? WIDTH / 4 : 0;
  const wide = WIDTH - 2 * left;
  const shape = (still.width * w) / (still.height * h);
  const high = projection.includes('equirectangular') ? HEIGHT : Math.min(HEIGHT, wide / shape);
  const across = projection.includes('equirectangular') ? wide : high * shape;
  context.drawImage(
    still,
    still.width * x,
    still.height * y,
    still.width * w,
    still.height * h,
    (WIDTH - across) / 2,
    (HEIGHT - high) / 2,
    across,
    high,
  );
  if (!projection.includes('equirectangular')) {
    context.fillStyle = 'rgb(5 8 13 / 60%)';
    context.fillRect(0, 0, WIDTH, HEIGHT);
    grid(context);
  }
}

/**
 * Left, top, width and height of the left eye's picture.
 * @param {string} stereo
 * @returns {[number, number, number, number]}
 */
function eye(stereo) {
  if (stereo === 'top-bottom') return [0, 0, 1, 0.5];
  if (stereo === 'side-by-side') return [0, 0, 0.5, 1];
  return stereo === 'right-left' ? [0.5, 0, 0.5, 1] : [0, 0, 1, 1];
}

/**
 * @param {number[][]} views
 * @param {number} yaw of the picture's middle
 */
function warmth(views, yaw) {
  const image = new ImageData(COARSE_WIDTH, COARSE_HEIGHT);
  const most = Math.max(...views.flat());
  for (let y = 0; y < COARSE_HEIGHT; y++) {
    for (let x = 0; x < COARSE_WIDTH; x++) {
      const turned = x / COARSE_WIDTH - yaw / 360;
      const value = between(views, turned, (y + 0.5) / COARSE_HEIGHT) / most;
      image.data.set(colour(value), (y * COARSE_WIDTH + x) * 4);
    }
  }
  return image;
}

/**
 * The table between its points: `across` 0 to 1 from behind over the left, `down` 0 to 1 from the zenith.
 * @param {number[][]} views
 * @param {number} across
 * @param {number} down
 */
export function between(views, across, down) {
  const columns = views[0]?.length ?? 0;
  const rows = views.length;
  if (columns === 0) return 0;
  const [x, y] = [(((across % 1) + 1) % 1) * columns, down * (rows - 1)];
  const [x0, y0] = [Math.floor(x), Math.min(Math.floor(y), rows - 2)];
  const [fx, fy] = [soft(x - x0), soft(y - y0)];
  const at = (/** @type {number} */ row, /** @type {number} */ column) => {
    const cells = views[row] ?? [];
    // Straight up and down is one direction, kept in the first column.
    return (row === 0 || row === rows - 1 ? cells[0] : cells[column % columns]) ?? 0;
  };
  const upper = at(y0, x0) * (1 - fx) + at(y0, x0 + 1) * fx;
  const lower = at(y0 + 1, x0) * (1 - fx) + at(y0 + 1, x0 + 1) * fx;
  return upper * (1 - fy) + lower * fy;
}

/** @param {number} t */
function soft(t) {
  return t * t * (3 - 2 * t);
}

/**
 * From nothing over violet and orange to a light yellow, as red, green, blue, opacity.
 * @param {number} value 0 to 1
 * @returns {number[]}
 */
function colour(value) {
  const stops = [
    [90, 30, 160, 0],
    [150, 40, 160, 120],
    [235, 90, 70, 175],
    [255, 225, 110, 215],
  ];
  const at = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const from = stops[Math.min(Math.floor(at), stops.length - 2)] ?? [];
  const to = stops[Math.min(Math.floor(at), stops.length - 2) + 1] ?? [];
  const share = at - Math.min(Math.floor(at), stops.length - 2);
  return from.map((channel, i) => channel + ((to[i] ?? 0) - channel) * share);
}

/**
 * @param {{ viewers: number } | null} audience
 * @param {number[][]} views
 * @param {number} total
 */
function sentence(audience, views, total) {
  if (audience === null) return 'No edge is named in origin.operator, so viewers are not counted.';
  if (audience.viewers === 0) return 'Nobody watches.';
  const who = count(audience.viewers, 'viewer');
  if (total === 0) return `${who}; where they look is not known.`;
  const shares = Object.entries(directions(views))
    .map(([name, sum]) => ({ name, share: Math.round((sum / total) * 100) }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share)
    .slice(0, 3);
  return `${who}: ${shares.map(({ name, share }) => `${share} % look ${name}`).join(', ')}.`;
}

/**
 * The table summed into words.
 * @param {number[][]} views
 */
export function directions(views) {
  const sums = { ahead: 0, left: 0, right: 0, behind: 0, up: 0, down: 0 };
  views.forEach((cells, row) => {
    const pitch = 90 - (row / (views.length - 1)) * 180;
    cells.forEach((cell, column) => {
      const yaw = 180 - (column / cells.length) * 360;
      if (pitch >= 60) sums.up += cell;
      else if (pitch <= -60) sums.down += cell;
      else if (Math.abs(yaw) <= 45) sums.ahead += cell;
      else if (Math.abs(yaw) >= 135) sums.behind += cell;
      else if (yaw > 0) sums.left += cell;
      else sums.right += cell;
    });
  });
  return sums;
}
