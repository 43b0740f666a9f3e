// Players through faults: `node e2e/browser/players.mjs [--faults a,b] [--players a,b] [--modes
// low-latency,standard]`.
//
// Players without a browser (natives.mjs) and those in Chromium (browsers.mjs) watch one broadcast
// through the edge while something goes wrong with it. Every picture shown is read back: the
// burnt-in blocks say which moment it is of. It prints a table and ends with 1 when a player needed
// help; `--write FILE` puts the cells that were measured into the table there. `--gauntlet` lets
// several faults happen to one broadcast, where there is little time.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startBroadcast, until } from './players/broadcast.mjs';
import { BROWSER_PLAYERS, openBrowsers } from './players/browsers.mjs';
import { FAULTS, GAUNTLET } from './players/faults.mjs';
import { FAR_BEHIND_MAX_MS, judge } from './players/judge.mjs';
import { label, NATIVE_PLAYERS, startNative } from './players/natives.mjs';
import { merged, table } from './players/table.mjs';

/**
 * All players have shown pictures for this long before anything goes wrong: what their start cost
 * the source has passed.
 */
const BEFORE_MS = 12_000;
/** After a fault players have this long to get over it, and to show that they have. */
const AFTER_MS = 35_000;
/** From a source's start to the fault it makes by itself: time for players to come up. */
const SOURCE_FAULT_SECONDS = 45;
/** The same, where players watch already. */
const NEXT_FAULT_SECONDS = 6;

const everybody = [...NATIVE_PLAYERS, ...Object.keys(BROWSER_PLAYERS)];
const { values: options } = parseArgs({
  options: {
    faults: { type: 'string', default: Object.keys(FAULTS).join(',') },
    players: { type: 'string', default: everybody.join(',') },
    modes: { type: 'string', default: 'low-latency,standard' },
    binaries: {
      type: 'string',
      default: path.join(
        process.env.CARGO_TARGET_DIR ?? path.join(homedir(), '.cache/panocast/target'),
        'release',
      ),
    },
    gauntlet: { type: 'boolean', default: false },
    write: { type: 'string' },
    keep: { type: 'string' },
  },
});
const wanted = (text, known) =>
  text.split(',').map((name) => {
    if (!known.includes(name)) throw new Error(`no "${name}"; there are ${known.join(', ')}`);
    return name;
  });
const faults = options.gauntlet ? GAUNTLET : wanted(options.faults, Object.keys(FAULTS));
const players = wanted(options.players, everybody);
const modes = wanted(options.modes, ['low-latency', 'standard']);

/** What the table calls each player: with the version that is installed. */
const labels = new Map(players.map((name) => [name, name in BROWSER_PLAYERS ? name : label(name)]));
for (const [name, said] of labels) {
  if (!said) throw new Error(`${name} is not installed: run scripts/install players`);
}

const sourceOf = (name, seconds) => FAULTS[name].source?.replace('{T}', seconds) ?? '';

/** Plays `names`, faults one after the other, to all players; the rows of the table. */
async function play(mode, names) {
  const folder = options.keep ?? mkdtempSync(path.join(tmpdir(), 'panocast-players-'));
  const broadcast = await startBroadcast({
    binaries: options.binaries,
    folder,
    lowLatency: mode === 'low-latency',
  });
  const natives = [];
  let browsers;
  try {
    broadcast.publish(sourceOf(names[0], SOURCE_FAULT_SECONDS));
    await broadcast.ready();
    const inBrowser = players.filter((name) => name in BROWSER_PLAYERS);
    browsers = await openBrowsers(inBrowser, broadcast.url);
    natives.push(
      ...players
        .filter((name) => NATIVE_PLAYERS.includes(name))
        .map((name) => startNative(name, broadcast.url)),
    );
    const all = [...natives, ...browsers.players];
    const looks = () => Promise.all(all.map((player) => player.seen()));
    const started = (seen) =>
      seen.pictures.length > 0 && Date.now() - seen.pictures[0][0] > BEFORE_MS;
    // Who shows nothing in all that time is judged as it is.
    await until('all players show pictures', async () => (await looks()).every(started)).catch(
      () => {},
    );
    const times = [];
    for (const [index, name] of names.entries()) {
      if (index > 0 && FAULTS[name].source) {
        // A fault of the source's own making needs a source that makes it.
        await broadcast.stopSource();
        broadcast.publish(sourceOf(name, NEXT_FAULT_SECONDS));
        await until('the source is back', async () => (await broadcast.stream())?.publisher);
        await sleep(BEFORE_MS);
      }
      const start = Date.now();
      await FAULTS[name].happen(broadcast);
      const end = Date.now();
      await sleep(AFTER_MS);
      // A source makes its fault at a time of its own choosing: it began when it was noticed.
      times.push({ name, start: FAULTS[name].source ? end : start, end, to: Date.now() });
    }
    const seen = await looks();
    if (options.keep)
      writeFileSync(path.join(folder, `seen-${mode}.json`), JSON.stringify({ times, seen }));
    return times.flatMap(({ name, to, ...fault }) =>
      all.map((player, index) => ({
        mode,
        fault: name,
        player: labels.get(player.name),
        ...judge(seen[index], fault, to, player.name === 'VLC' ? FAR_BEHIND_MAX_MS : undefined),
      })),
    );
  } finally {
    await browsers?.close();
    await Promise.all(natives.map((player) => player.stop()));
    await broadcast.close();
    if (!options.keep) rmSync(folder, { recursive: true, force: true });
  }
}

const rows = [];
for (const mode of modes) {
  for (const names of options.gauntlet ? [faults] : faults.map((name) => [name])) {
    const judged = await play(mode, names);
    rows.push(...judged);
    for (const { fault, player, ok, wrong } of judged)
      console.error(`${mode}, ${fault}, ${player}: ${ok ? 'ok' : wrong.join('; ')}`);
  }
}
const text = table(rows);
console.log(text);
for (const row of rows.filter((row) => !row.ok)) {
  console.log(`FAIL ${row.mode}, ${row.fault}, ${row.player}: ${row.wrong.join('; ')}`);
}
if (options.write) {
  const before = existsSync(options.write) ? readFileSync(options.write, 'utf8') : '';
  writeFileSync(options.write, merged(before, rows));
}
process.exit(rows.every((row) => row.ok) ? 0 : 1);
