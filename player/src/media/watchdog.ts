/**
 * Notices playback that stands still or drifts from live, and says what to do about it.
 *
 * hls.js repairs most things itself; this catches what it leaves: a gap it does not see, a playlist that jumped, a
 * decoder that hangs, latency that grew by one stall after the other. Pure: one sample a second in, one remedy out.
 */

export interface Sample {
  /** Seconds, any fixed start. */
  now: number;
  /** The page wants to play and the viewer did not pause. */
  wants: boolean;
  live: boolean;
  /** The viewer wants the live edge, not an earlier moment. */
  following: boolean;
  position: number;
  /** Start of the first buffered range that begins after the position. */
  nextBuffered: number | undefined;
  /** Seconds of media in hand at the position. */
  ahead: number;
  /** End of the playlist, media seconds; grows while the publisher publishes. */
  edge: number;
  /** The playlist of what was live has got its end. */
  closed: boolean;
  latency: number;
  target: number;
  targetDuration: number;
}

export type Remedy =
  | 'nothing'
  | 'skip gap'
  | 'go live'
  | 'rebuild'
  | 'say quiet'
  | 'ask'
  | 'finish';

/** Seconds without progress before each step; hls.js gets the first word. */
export const AFTER = { gap: 2, quiet: 6, goLive: 5, rebuild: 10, ask: 10 } as const;
/** The same with nothing in hand: on a slow line a jump or a new start would throw away what is on its way. */
export const AFTER_EMPTY = { goLive: 12, rebuild: 30 } as const;

export class Watchdog {
  private position = -1;
  private movedAt = 0;
  private edge = -1;
  private edgeAt = 0;
  private actedAt = Number.NEGATIVE_INFINITY;

  /** Forget everything: a new attempt begins. */
  reset(now: number): void {
    this.position = -1;
    this.edge = -1;
    this.movedAt = now;
    this.edgeAt = now;
    this.actedAt = now;
  }

  check(s: Sample): Remedy {
    if (s.edge > this.edge + 0.01 || s.edge < this.edge - 1) {
      this.edge = s.edge;
      this.edgeAt = s.now;
    }
    if (!s.wants || Math.abs(s.position - this.position) > 0.05) {
      this.position = s.position;
      this.movedAt = s.now;
      return s.wants ? this.drift(s) : 'nothing';
    }
    return this.stuck(s);
  }

  private drift(s: Sample): Remedy {
    // Catching up by speed covers one target duration; beyond that a jump is kinder than a minute of haste.
    const limit = s.target + Math.max(3, 2 * s.targetDuration);
    if (s.live && s.following && s.latency > limit && this.edge - s.position > limit) {
      return this.act(s, 'go live', AFTER.goLive);
    }
    return 'nothing';
  }

  private stuck(s: Sample): Remedy {
    const still = s.now - this.movedAt;
    const silent = s.now - this.edgeAt;
    if (still < AFTER.gap) return 'nothing';
    if (s.ahead < 0.1 && s.nextBuffered !== undefined) return this.act(s, 'skip gap', AFTER.gap);
    // Tracks rarely end in the same instant; hls.js then waits for a last frame that never comes.
    if (s.closed) return s.edge - s.position < 1.5 || still >= AFTER.rebuild ? 'finish' : 'nothing';
    if (s.live && silent >= AFTER.quiet) {
      const asks = silent >= AFTER.ask && this.act(s, 'ask', AFTER.ask) === 'ask';
      return asks ? 'ask' : 'say quiet';
    }
    const empty = s.ahead < 0.1;
    const after = empty ? AFTER_EMPTY : AFTER;
    // A recording that does not arrive is hls.js's business: it has time limits and smaller rungs.
    if (empty && !s.live) return 'nothing';
    if (still >= after.rebuild) return this.act(s, 'rebuild', AFTER.goLive);
    if (s.live && s.following && still >= after.goLive) return this.act(s, 'go live', AFTER.goLive);
    return 'nothing';
  }

  /** A remedy gets time to work before the next one. */
  private act(s: Sample, remedy: Remedy, rest: number): Remedy {
    if (s.now - this.actedAt < rest) return 'nothing';
    this.actedAt = s.now;
    return remedy;
  }
}
