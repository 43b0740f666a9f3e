// Points -> an SVG line plot: no library, so that it can stand in the documentation as it is.

const WIDTH = 860;
const HEIGHT = 280;
const MARGIN = { left: 56, right: 16, top: 34, bottom: 40 };

/** `series`: [{ name, colour, points: [[x, y], …] }]; `marks`: x positions of stalls; `bottom`: y where the scale begins. */
export function plot({ title, x, y, series, marks = [], bottom = 0 }) {
  const all = series.flatMap((one) => one.points);
  const right = Math.max(1, ...all.map(([px]) => px));
  const top = bottom + Math.max(0.5, ...all.map(([, py]) => py - bottom)) * 1.1;
  const sx = (value) => MARGIN.left + (value / right) * (WIDTH - MARGIN.left - MARGIN.right);
  const sy = (value) => HEIGHT - MARGIN.bottom - ((value - bottom) / (top - bottom)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const value = bottom + share * (top - bottom);
    const at = sy(value).toFixed(1);
    return `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}" stroke="#ddd"/>` +
      `<text x="${MARGIN.left - 8}" y="${Number(at) + 4}" text-anchor="end">${value.toFixed(1)}</text>`;
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    `<text x="${sx(share * right).toFixed(1)}" y="${HEIGHT - 20}" text-anchor="middle">${(share * right).toFixed(right < 20 ? 1 : 0)}</text>`);
  const lines = series.map((one, index) => {
    const path = one.points.map(([px, py]) => `${sx(px).toFixed(1)},${sy(py).toFixed(1)}`).join(' ');
    return `<polyline fill="none" stroke="${one.colour}" stroke-width="1.5" points="${path}"/>` +
      `<text x="${MARGIN.left + 8 + index * 230}" y="${MARGIN.top - 4}" fill="${one.colour}">${one.name}</text>`;
  });
  const stalls = marks.map((at) =>
    `<line x1="${sx(at).toFixed(1)}" x2="${sx(at).toFixed(1)}" y1="${MARGIN.top}" y2="${HEIGHT - MARGIN.bottom}" stroke="#c00"/>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/><text x="${MARGIN.left}" y="16" font-size="14">${title}</text>
${grid.join('\n')}
${ticks.join('\n')}
<text x="${WIDTH / 2}" y="${HEIGHT - 4}" text-anchor="middle">${x}</text>
<text x="14" y="${HEIGHT / 2}" transform="rotate(-90 14 ${HEIGHT / 2})" text-anchor="middle">${y}</text>
${stalls.join('\n')}
${lines.join('\n')}
</svg>
`;
}
