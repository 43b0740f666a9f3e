// What a player showed -> what its viewer went through. Pure: no clock, no player.

/** No new picture for this long is a stall: a dozen pictures at the source's rate. */
export const STALL_MS = 800;

/**
 * A picture may be this much out of step with the pictures before it: a busy source corrects its
 * clock in such steps.
 */
const STEP_MS = 1_000;

/**
 * Whoever is further behind than this at the end is not watching live any more: HOLD-BACK, a stall
 * and some air.
 */
const BEHIND_MAX_MS = 20_000;
/**
 * What starts nine segments behind, whatever the playlist says (VLC), is that much further behind.
 */
export const FAR_BEHIND_MAX_MS = 35_000;

/** Blocks that cannot be read: one picture in fifty may be torn by the encoder of a rung. */
const UNREADABLE_MAX = 0.02;

/**
 * Times between new pictures longer than a stall, from `from` to `to`. A pause that lasts to the
 * end counts.
 */
export function stalls(pictures, from, to) {
  const times = [...pictures.map(([at]) => at), to];
  const found = [];
  for (let index = 1; index < times.length; index += 1) {
    const [start, end] = [times[index - 1], times[index]];
    if (end - start > STALL_MS && end > from && start < to) found.push({ start, ms: end - start });
  }
  return found;
}

/** What is wrong with what was shown: moments that go back, or do not pass as the media does. */
function disorder(pictures) {
  const wrong = [];
  const read = pictures.filter(([, , stamp]) => stamp !== null);
  for (let index = 1; index < read.length; index += 1) {
    const [[atBefore, mediaBefore, before], [at, media, now]] = [read[index - 1], read[index]];
    if (now < before) wrong.push(`shows ${before - now} ms earlier again`);
    // A jump over what is declared lost takes a viewer no time.
    const passed = media === null ? 0 : Math.min((media - mediaBefore) * 1000, at - atBefore);
    // More may have passed than is shown, where something was lost; less may not.
    if (passed > 0 && now - before < passed - STEP_MS)
      wrong.push(`${now - before} ms took ${Math.round(passed)} ms`);
  }
  const unreadable = 1 - read.length / pictures.length;
  if (pictures.length > 0 && unreadable > UNREADABLE_MAX)
    wrong.push(`${(unreadable * 100).toFixed(0)} % of the pictures cannot be read`);
  return wrong;
}

/**
 * The verdict on one player and one fault. `seen`: of the player; `fault`: `{ start, end }`, when
 * it began and when the origin had it behind it; `to`: the end of what belongs to it. All in ms of
 * the wall clock.
 */
export function judge(seen, fault, to, behindMax = BEHIND_MAX_MS) {
  const from = fault.start - 3_000;
  const near = seen.pictures.filter(([at]) => at >= from && at <= to);
  const before = near.filter(([at]) => at < fault.start);
  const after = near.filter(([, , stamp]) => stamp !== null && stamp > fault.end);
  const found = stalls(near, fault.start, to);
  const wrong = disorder(near);
  if (before.length === 0) wrong.push('showed nothing before it');
  if (after.length === 0) wrong.push('shows nothing of what came after it');
  const last = after.at(-1);
  if (last && last[0] - last[2] > behindMax)
    wrong.push(`is ${((last[0] - last[2]) / 1000).toFixed(0)} s behind`);
  if (found.length > 1) wrong.push(`${found.length} stalls`);
  const fatal = seen.errors.filter((error) => error.fatal && error.at >= from && error.at <= to);
  wrong.push(...fatal.map((error) => `fatal: ${error.detail}`));
  return {
    ok: wrong.length === 0,
    wrong,
    stallMs: found.map((stall) => stall.ms),
    behindMs: last ? last[0] - last[2] : undefined,
    errors: seen.errors.filter((error) => error.at >= from && error.at <= to).length,
  };
}
