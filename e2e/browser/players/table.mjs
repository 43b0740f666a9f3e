// Writes verdicts as the tables of docs/ref/players.md, and keeps the cells there that were not
// measured anew.

import { FAULTS } from './faults.mjs';

/** Where the part of the page begins that is written by hand. */
const NOTES = '## What players are known to do';

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** Why not, in a few words; the program's output has all of them. */
function reason(wrong) {
  const fatal = wrong.find((one) => one.startsWith('fatal'));
  return (fatal ?? wrong[0]).replaceAll('|', '/').slice(0, 60);
}

function cell({ ok, wrong, stallMs, behindMs }) {
  if (!ok) return `**no**: ${reason(wrong)}`;
  const stall = stallMs.length > 0 ? `stall ${seconds(stallMs[0])}` : 'no stall';
  return `${stall}, then ${seconds(behindMs)} behind`;
}

const key = (...words) => words.join('\n');

/** Cells by mode, player and fault, as a file holds them. */
function read(text) {
  const cells = new Map();
  let mode;
  let faults = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) {
      mode = line.slice(3).trim().toLowerCase();
      faults = [];
    }
    if (!line.startsWith('| ')) continue;
    const [player, ...rest] = line
      .split('|')
      .slice(1, -1)
      .map((one) => one.trim());
    if (player === '') faults = rest;
    else
      for (const [index, value] of rest.entries())
        cells.set(key(mode, player, faults[index]), value);
  }
  return cells;
}

function written(cells) {
  const keys = [...cells.keys()].map((one) => one.split('\n'));
  const unique = (index, of = keys) => [...new Set(of.map((words) => words[index]))];
  return unique(0)
    .map((mode) => {
      const own = keys.filter((words) => words[0] === mode);
      const faults = Object.keys(FAULTS).filter((fault) => unique(2, own).includes(fault));
      const rows = unique(1, own).map((player) => {
        const values = faults.map((fault) => cells.get(key(mode, player, fault)) || '–');
        return `| ${player} | ${values.join(' | ')} |`;
      });
      const title = mode[0].toUpperCase() + mode.slice(1);
      const head = [`| | ${faults.join(' | ')} |`, `|---|${'---|'.repeat(faults.length)}`];
      return [`## ${title}`, '', ...head, ...rows, ''].join('\n');
    })
    .join('\n');
}

const measured = (rows) =>
  new Map(rows.map((row) => [key(row.mode, row.player, row.fault), cell(row)]));

/** Markdown of these rows: one table for each mode, players down, faults across. */
export const table = (rows) => written(measured(rows));

/** The file `before` with the cells of `rows` in place of its own. */
export function merged(before, rows) {
  const [tables, notes] = before.split(NOTES);
  const page = `${INTRODUCTION}\n${written(new Map([...read(tables), ...measured(rows)]))}`;
  return notes ? `${page}\n${NOTES}${notes}` : page;
}

const INTRODUCTION = `# Players through faults

Written by \`make players\`: other people's players, as their makers deliver them and with their
defaults, watch the test source through the edge: 960x480 and one rung, keyframes each second, on
one machine without a GPU. Nobody reloads, seeks or restarts anything. Each picture shown is read
back from its burnt-in blocks: it must be of a later moment than the one before, and after the
fault players must show what came after it, live. A stall is 0.8 s without a new picture; one is
allowed. A run of some players or faults (\`make players ONLY="--players VLC --faults mute"\`)
renews their cells only; – was not measured.

hls.js, video.js and Shaka run in Chromium; VLC shows through its own raw video output;
streamlink, yt-dlp and mpv (its encoding mode) write to ffmpeg, which is read at the source's
rate. "plain play" is half a minute without any fault; "mute" is ten seconds in which the encoder
sends no audio.
`;
