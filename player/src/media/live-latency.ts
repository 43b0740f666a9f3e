/**
 * How close to live to play, after stalls.
 *
 * hls.js keeps half a second more distance after each stall, for good: two hiccups of a busy machine in the first minute
 * cost the rest of a broadcast a second. This comes back by one such step after a calm minute. When a stall answers
 * that, the next try waits twice as long, so that a line that is not good enough gets a stall now and then, not one a
 * minute. Pure: told of stalls and the time, it says which distance to keep.
 */

/** Seconds without a stall before the first step back. */
export const CALM = 60;
/** The longest wait between tries, seconds. */
export const CALM_MAX = 960;

export class LiveLatency {
  private calm: number = CALM;
  private stalls = 0;
  private since = 0;
  private tried = false;

  /** A new attempt begins: what was learnt of the line stays. */
  reset(now: number): void {
    this.since = now;
    this.tried = false;
  }

  /**
   * The distance to keep from now on, in seconds, or nothing where it stays as it is. `target` is the one kept now, `least`
   * what the playlist asks for, `step` what a stall adds.
   */
  check(
    now: number,
    stalls: number,
    target: number,
    least: number,
    step: number,
  ): number | undefined {
    if (stalls !== this.stalls) {
      if (this.tried && now - this.since < 2 * this.calm)
        this.calm = Math.min(2 * this.calm, CALM_MAX);
      this.stalls = stalls;
      this.reset(now);
      return undefined;
    }
    if (now - this.since < this.calm || target <= least + 0.01) return undefined;
    this.since = now;
    this.tried = true;
    return Math.max(least, target - step);
  }
}
