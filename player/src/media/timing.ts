/** Where playback is: what lies buffered, what can be sought, how far behind live. */

import type Hls from 'hls.js';
import type { LevelDetails } from 'hls.js';

/** What can be sought, in media seconds. */
export interface Span {
  start: number;
  end: number;
  position: number;
}

export interface Ranges {
  currentTime: number;
  buffered: TimeRanges;
}

/** Seconds of media in hand from the position on. */
export function bufferedAhead(video: Ranges): number {
  for (let i = 0; i < video.buffered.length; i++) {
    const [start, end] = [video.buffered.start(i), video.buffered.end(i)];
    if (video.currentTime >= start - 0.1 && video.currentTime < end) return end - video.currentTime;
  }
  return 0;
}

/** Start of the first buffered range after the position. */
export function nextBuffered(video: Ranges): number | undefined {
  for (let i = 0; i < video.buffered.length; i++) {
    const start = video.buffered.start(i);
    if (start > video.currentTime + 0.1) return start;
  }
  return undefined;
}

export function spanOf(
  details: Pick<LevelDetails, 'fragmentStart' | 'edge' | 'live'> | null,
  video: Pick<HTMLVideoElement, 'duration' | 'currentTime' | 'seekable'>,
  live: boolean,
): Span {
  const position = video.currentTime;
  if (details && live) return { start: details.fragmentStart, end: details.edge, position };
  if (Number.isFinite(video.duration)) return { start: 0, end: video.duration, position };
  const n = video.seekable.length;
  if (n === 0) return { start: 0, end: position, position };
  return { start: video.seekable.start(0), end: video.seekable.end(n - 1), position };
}

/** Clocks that disagree by more than this make the wall clock useless for latency. */
const PLAUSIBLE_S = 3600;

/**
 * Seconds between the publisher's clock and the screen, from PROGRAM-DATE-TIME; where the clocks plainly disagree, the
 * distance from the playlist's edge.
 */
export function latencyOf(
  hls: Pick<Hls, 'playingDate' | 'latency'> | undefined,
  now: number,
): number | undefined {
  if (!hls) return undefined;
  const shown = hls.playingDate;
  if (shown) {
    const seconds = (now - shown.getTime()) / 1000;
    if (seconds > -0.5 && seconds < PLAUSIBLE_S) return Math.max(0, seconds);
  }
  return hls.latency > 0 ? hls.latency : undefined;
}

/** Seconds as `1:02:03` or `2:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number): string => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** The same in words, for a screen reader. */
export function spoken(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 3600), 'hour'],
    [Math.floor(whole / 60) % 60, 'minute'],
    [whole % 60, 'second'],
  ] as const;
  const said = parts.filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}${n === 1 ? '' : 's'}`);
  return said.length > 0 ? said.join(' ') : '0 seconds';
}
