/**
 * The states a viewer can be in, what leads from one to the next, and the words for each.
 *
 * A pure machine: `next(phase, event)`. Whoever drives it owns the video, the network and the timers.
 */

export type Phase =
  /** Asking for the playlist. */
  | 'connecting'
  /** Nobody publishes; asking again. */
  | 'waiting'
  /** The server does not answer; asking again. */
  | 'unreachable'
  /** Playing was interrupted: no media in hand. */
  | 'buffering'
  /** The publisher has gone quiet; the playlist stands still. */
  | 'quiet'
  | 'playing'
  | 'paused'
  /** The browser wants a tap before it plays. */
  | 'blocked'
  /** The live stream is over; asking whether it starts again. */
  | 'ended'
  /** A recording has been played to its end. */
  | 'finished'
  /** Something the page cannot repair; trying again slowly. */
  | 'failed';

export type PlayerEvent =
  | { kind: 'open' }
  | { kind: 'absent' }
  | { kind: 'no answer' }
  | { kind: 'media ready' }
  | { kind: 'blocked' }
  | { kind: 'playing' }
  | { kind: 'starved' }
  | { kind: 'quiet' }
  | { kind: 'paused' }
  | { kind: 'over'; live: boolean }
  | { kind: 'broken' };

export function next(phase: Phase, event: PlayerEvent): Phase {
  switch (event.kind) {
    case 'open':
      return 'connecting';
    case 'absent':
      // An ended stream goes on being "ended" until it is back; the words are kinder than "waiting".
      return phase === 'ended' ? 'ended' : 'waiting';
    case 'no answer':
      return 'unreachable';
    case 'media ready':
      return phase === 'connecting' ? 'buffering' : phase;
    case 'blocked':
      return 'blocked';
    case 'playing':
      return 'playing';
    case 'starved':
      return phase === 'playing' ? 'buffering' : phase;
    case 'quiet':
      return phase === 'playing' || phase === 'buffering' ? 'quiet' : phase;
    case 'paused':
      return phase === 'playing' || phase === 'buffering' || phase === 'quiet' ? 'paused' : phase;
    case 'over':
      return event.live ? 'ended' : 'finished';
    case 'broken':
      return 'failed';
  }
}

/** Phases in which the page asks the server again by itself. */
export function asksAgain(phase: Phase): boolean {
  return phase === 'waiting' || phase === 'unreachable' || phase === 'ended' || phase === 'failed';
}

export interface Words {
  title: string;
  detail: string;
  /** Something is going on that needs no one. */
  busy: boolean;
}

/** What the page says; undefined while the picture speaks for itself. */
export function words(phase: Phase, reason?: string): Words | undefined {
  switch (phase) {
    case 'connecting':
      return { title: 'Connecting', detail: '', busy: true };
    case 'waiting':
      return {
        title: 'Waiting for the stream',
        detail: 'Nobody is publishing yet. The picture starts here by itself.',
        busy: true,
      };
    case 'unreachable':
      return {
        title: 'The server does not answer',
        detail: reason ?? 'Trying again. Is this device online?',
        busy: true,
      };
    case 'buffering':
      return { title: 'Buffering', detail: '', busy: true };
    case 'quiet':
      return {
        title: 'The publisher has gone quiet',
        detail: 'The picture goes on by itself when it is back.',
        busy: true,
      };
    case 'blocked':
      return { title: 'Ready', detail: 'This browser wants a tap before it plays.', busy: false };
    case 'ended':
      return {
        title: 'The stream has ended',
        detail: 'If it starts again, so does the picture here.',
        busy: false,
      };
    case 'finished':
      return { title: 'The end', detail: '', busy: false };
    case 'failed':
      return {
        title: 'This cannot be played',
        detail: reason ?? 'Trying again in a while.',
        busy: false,
      };
    case 'playing':
    case 'paused':
      return undefined;
  }
}

/** Milliseconds until the n-th question (from 0): quick at first, never slower than 5 s, spread by `chance` 0 to 1. */
export function retryDelay(n: number, chance: number): number {
  return Math.min(5000, 1000 * 1.4 ** Math.min(n, 20) * (0.8 + 0.4 * chance));
}
