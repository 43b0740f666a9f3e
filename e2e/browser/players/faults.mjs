// What happens to a broadcast while players watch: each fault makes itself happen and says when it
// was over.

import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './broadcast.mjs';

const HOUR_MS = 3_600_000;

/** The publisher's clock needs an hour to go back by. */
const AFTER_AN_HOUR = `first_timestamp_ms = ${HOUR_MS + 400_000}`;

/** Waits for the origin to notice the next new timeline. */
async function nextDiscontinuity(broadcast) {
  const before = broadcast.discontinuities().length;
  await until(
    'the origin meets a discontinuity',
    () => broadcast.discontinuities().length > before,
  );
}

async function reconnect(broadcast, awaySeconds) {
  await broadcast.stopSource();
  await sleep(awaySeconds * 1000);
  broadcast.publish();
  await nextDiscontinuity(broadcast);
}

/**
 * `source`: keys of `[test-source.faults]` from the start; `{T}` is when. `happen` returns when it
 * has happened.
 */
export const FAULTS = {
  'plain play': { happen: async () => {} },
  mute: {
    source: 'mute_every = "{T}s"\nmute_for = "10s"',
    happen: (broadcast) =>
      until('the source sends no audio', () => broadcast.sourceSaid(/fault=Mute/)),
  },
  'encoder away for 3 s': { happen: (broadcast) => reconnect(broadcast, 3) },
  'encoder away for 30 s': { happen: (broadcast) => reconnect(broadcast, 30), slow: true },
  'another picture size': { source: 'resize_every = "{T}s"', happen: nextDiscontinuity },
  'clock jumps 1 h ahead': {
    source: `jump_every = "{T}s"\njump_by_ms = ${HOUR_MS}`,
    happen: nextDiscontinuity,
  },
  'clock jumps 1 h back': {
    source: `jump_every = "{T}s"\njump_by_ms = -${HOUR_MS}\n${AFTER_AN_HOUR}`,
    happen: nextDiscontinuity,
  },
  'origin killed and restarted': {
    async happen(broadcast) {
      const before = (await broadcast.stream()).run.epoch;
      await broadcast.killOrigin();
      broadcast.startOrigin();
      await until('the stream has a new run', async () => {
        const run = (await broadcast.stream())?.run;
        return run && run.epoch !== before;
      });
    },
  },
};

/** One after the other in one broadcast, where there is little time. */
export const GAUNTLET = [
  'another picture size',
  'clock jumps 1 h ahead',
  'clock jumps 1 h back',
  'encoder away for 3 s',
  'origin killed and restarted',
];
