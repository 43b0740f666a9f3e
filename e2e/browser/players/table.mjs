// Rows of verdicts -> the table in docs/ref/players.md.

/** Where the part of the page begins that is written by hand. */
export const NOTES = '## What players are known to do';

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

function cell({ ok, stallMs, behindMs }) {
  if (!ok) return '**no**';
  const stall = stallMs.length > 0 ? `stall ${seconds(stallMs[0])}` : 'no stall';
  return `${stall}, then ${seconds(behindMs)} behind`;
}

/** Markdown: one table for each mode, faults down, players across. */
export function table(rows) {
  const unique = (key, of = rows) => [...new Set(of.map((row) => row[key]))];
  const parts = unique('mode').map((mode) => {
    const own = rows.filter((row) => row.mode === mode);
    const players = unique('player', own);
    const lines = unique('fault', own).map((fault) => {
      const cells = players.map((player) => cell(own.find((row) => row.fault === fault && row.player === player)));
      return `| ${fault} | ${cells.join(' | ')} |`;
    });
    const title = mode[0].toUpperCase() + mode.slice(1);
    return [`## ${title}`, '', `| | ${players.join(' | ')} |`, `|---|${'---|'.repeat(players.length)}`, ...lines, ''].join('\n');
  });
  return `# Players through faults

Written by \`make players\`. ffmpeg and GStreamer, and in Chromium hls.js and Shaka Player as their makers deliver them,
watch the test source through the edge: 960x480 and one rung, keyframes each second, on one machine without a GPU. Nobody
reloads, seeks or restarts anything. Each picture shown is read back from its burnt-in blocks: it must be of a later
moment than the one before, and after the fault players must show what came after it, live. A stall is 0.8 s without a new
picture; one is allowed.

${parts.join('\n')}`;
}
