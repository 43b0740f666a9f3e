/**
 * One stream or recording on one video element, kept playing: opens, waits, repairs, starts over.
 *
 * The only owner of hls.js and of the video's source. What to do is decided by the pure machines next door (`state`,
 * `watchdog`, `live-latency`, `quality`); this file carries it out and publishes one snapshot that everything else reads.
 */

import Hls, { type ErrorData, type LevelDetails } from 'hls.js';
import { rememberBandwidth, settings, verdict } from './engine.ts';
import { type Info, PLAIN, parseInfo } from './info.ts';
import { LiveLatency } from './live-latency.ts';
import { json, probe, probeMedia, text } from './probe.ts';
import { fitting, type Rung } from './quality.ts';
import { asksAgain, next, type Phase, type PlayerEvent, retryDelay } from './state.ts';
import { bufferedAhead, latencyOf, nextBuffered, type Span, spanOf } from './timing.ts';
import { differs, plain, renditions } from './tracks.ts';
import { Watchdog } from './watchdog.ts';

/** Media errors closer together than this mean that recovering does not help. */
const RECOVERY_REST_MS = 5000;
/** How long behind a discontinuity the offer of renditions is compared: a new rung needs its first segments. */
const COMPARED_FOR_MS = 20_000;
const COMPARED_EVERY_MS = 4000;
/** What does not need the media waits for it no longer than this. */
const UNDER_WAY_MS = 1000;
/** So many rebuilds without a picture between them, and the page says that it cannot play this. */
const MOST_REBUILDS = 3;

export interface Snapshot {
  phase: Phase;
  reason: string | undefined;
  info: Info;
  live: boolean;
  following: boolean;
  latency: number | undefined;
  target: number | undefined;
  span: Span;
  ahead: number;
  rungs: readonly Rung[];
  /** Index of the rung on screen; −1 while unknown. */
  level: number;
  /** Index the viewer chose; −1 for automatic. */
  chosen: number;
  cap: number;
  bandwidth: number;
  /** False for a stream that is only sound. */
  picture: boolean;
  stalls: number;
  dropped: number;
  frames: number;
  rebuilds: number;
  joinMs: number | undefined;
}

export class Playback {
  readonly video: HTMLVideoElement;
  hls: Hls | undefined;
  info: Info = PLAIN;
  phase: Phase = 'connecting';
  /** What was seen to be a live stream stays one, also after its playlist got an end. */
  live = false;
  following = true;
  stalls = 0;
  rebuilds = 0;
  joinMs: number | undefined;
  onchange: (phase: Phase, before: Phase) => void = () => undefined;
  oninfo: (info: Info) => void = () => undefined;
  onlevels: () => void = () => undefined;
  /** Read for each CMCD report: a coarse heading, no personal data. */
  headingReport: () => string = () => '0.0';

  /** Settles when the first media is on its way, or when it is clear that it will not come soon. */
  readonly underWay: Promise<void>;

  private goesOn: () => void = () => undefined;
  private reason: string | undefined;
  private watchdog = new Watchdog();
  private liveLatency = new LiveLatency();
  private asking: ReturnType<typeof setTimeout> | undefined;
  private asked = 0;
  private recoveredAt = 0;
  private fruitless = 0;
  private wantsPaused = false;
  private starvedAt = 0;
  private discontinuity = -1;
  /** The renditions that hls.js was started with. */
  private held = new Set<string>();
  private compareUntil = 0;
  private comparedAt = 0;
  /** Of the page for the first attempt, of the attempt for later ones. */
  private startedAt = 0;
  private timer: ReturnType<typeof setInterval>;
  private report: (() => void) | undefined;

  constructor(
    video: HTMLVideoElement,
    private readonly playlist: string,
    private readonly base: string,
    private readonly largestTexture: () => number,
  ) {
    this.video = video;
    this.underWay = new Promise((resolve) => {
      this.goesOn = resolve;
      setTimeout(resolve, UNDER_WAY_MS);
    });
    video.addEventListener('playing', () => this.on({ kind: 'playing' }));
    video.addEventListener('waiting', () => this.on({ kind: 'starved' }));
    video.addEventListener('timeupdate', () => this.moved());
    video.addEventListener('pause', () => {
      if (this.wantsPaused) this.on({ kind: 'paused' });
    });
    video.addEventListener('ended', () => this.over());
    video.addEventListener('error', () => {
      if (!this.hls) this.lost('no answer');
    });
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.returned();
    });
    this.timer = setInterval(() => this.second(), 1000);
  }

  open(): void {
    this.reason = undefined;
    this.on({ kind: 'open' });
    void this.readInfo();
    this.attach();
  }

  play(): void {
    this.wantsPaused = false;
    if (this.phase === 'finished') this.video.currentTime = 0;
    this.start();
  }

  pause(): void {
    this.wantsPaused = true;
    this.video.pause();
    this.following = false;
  }

  get paused(): boolean {
    return this.video.paused;
  }

  /** Moves to a moment of media time; near the live edge means following it. */
  seek(to: number): void {
    const span = this.span();
    this.following = this.live && to >= span.end - 1.5;
    this.video.currentTime = this.following
      ? (this.hls?.liveSyncPosition ?? to)
      : Math.min(Math.max(to, span.start), span.end);
  }

  goLive(): void {
    this.following = true;
    const edge = this.hls?.liveSyncPosition;
    if (edge !== null && edge !== undefined) this.video.currentTime = edge;
    if (this.video.paused) this.play();
  }

  choose(level: number): void {
    if (this.hls) this.hls.nextLevel = level;
  }

  /** Limits automatic choice; −1 lifts the limit. */
  limit(level: number): void {
    if (this.hls && this.hls.autoLevelCapping !== level) this.hls.autoLevelCapping = level;
  }

  span(): Span {
    return spanOf(this.hls?.latestLevelDetails ?? null, this.video, this.live);
  }

  snapshot(): Snapshot {
    const quality = this.video.getVideoPlaybackQuality?.();
    const hls = this.hls;
    return {
      phase: this.phase,
      reason: this.reason,
      info: this.info,
      live: this.live,
      following: this.following,
      latency: this.live ? latencyOf(hls, Date.now()) : undefined,
      target: this.live ? (hls?.targetLatency ?? undefined) : undefined,
      span: this.span(),
      ahead: bufferedAhead(this.video),
      rungs: (hls?.levels ?? []).map(({ width, height, bitrate }) => ({ width, height, bitrate })),
      level: hls?.currentLevel ?? -1,
      chosen: hls && !hls.autoLevelEnabled ? hls.loadLevel : -1,
      cap: hls?.autoLevelCapping ?? -1,
      bandwidth: hls?.bandwidthEstimate ?? 0,
      picture: this.video.videoWidth > 0,
      stalls: this.stalls,
      dropped: quality?.droppedVideoFrames ?? 0,
      frames: quality?.totalVideoFrames ?? 0,
      rebuilds: this.rebuilds,
      joinMs: this.joinMs,
    };
  }

  destroy(): void {
    clearInterval(this.timer);
    clearTimeout(this.asking);
    this.detach();
  }

  private attach(): void {
    this.detach();
    this.watchdog.reset(performance.now() / 1000);
    this.liveLatency.reset(performance.now() / 1000);
    // Newer Chrome claims to play HLS by itself, and Safari's native path gives black textures: hls.js first,
    // through ManagedMediaSource on iPhones.
    if (Hls.isSupported()) {
      this.attachHls();
    } else if (this.video.canPlayType('application/vnd.apple.mpegurl')) {
      this.video.src = this.playlist;
      this.goesOn();
      this.on({ kind: 'media ready' });
      this.start();
    } else {
      this.reason = 'This browser has no Media Source Extensions. Please use a newer one.';
      this.on({ kind: 'broken' });
    }
  }

  private attachHls(): void {
    const hls = new Hls(
      settings(new URL(this.base).pathname.slice(0, -1), (reporter) => {
        this.report = () => reporter.updateCustomData({ 'panocast-view': this.headingReport() });
      }),
    );
    this.hls = hls;
    const { Events } = Hls;
    hls.on(Events.MANIFEST_PARSED, () => {
      const tracks = [
        ...hls.levels.flatMap((level) => level.url),
        ...hls.allAudioTracks.map((t) => t.url),
      ];
      this.held = new Set(tracks.filter(Boolean).map((address) => plain(address, this.playlist)));
      this.fit(hls);
      this.onlevels();
      this.on({ kind: 'media ready' });
      this.start();
    });
    hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
      if (details.live) this.live = true;
      this.asked = 0;
      // Behind a discontinuity the publisher may send another shape.
      if (this.discontinuity !== details.endCC && this.discontinuity >= 0) {
        void this.readInfo();
        this.compareUntil = performance.now() + COMPARED_FOR_MS;
      }
      this.discontinuity = details.endCC;
    });
    hls.on(Events.FRAG_LOADING, () => this.report?.());
    hls.on(Events.FRAG_BUFFERED, () => this.goesOn());
    hls.on(Events.LEVELS_UPDATED, () => this.onlevels());
    // A remedy may destroy hls.js: not while it is in the midst of telling, it goes on with its own members then.
    hls.on(Events.ERROR, (_, data) => {
      queueMicrotask(() => {
        if (this.hls === hls) this.failed(data);
      });
    });
    hls.loadSource(this.playlist);
    hls.attachMedia(this.video);
  }

  /** Starts over once the stream offers other renditions: audio that came late, rungs of a larger picture. */
  private async compareTracks(hls: Hls): Promise<void> {
    const answer = await text(this.playlist);
    if (this.hls !== hls || typeof answer === 'string' || this.held.size === 0) return;
    if (!differs(this.held, renditions(answer.text, this.playlist))) return;
    this.compareUntil = 0;
    this.attach();
  }

  /** Drops rungs that no texture can hold. */
  private fit(hls: Hls): void {
    const keep = new Set(fitting(hls.levels, this.largestTexture()));
    for (let i = hls.levels.length - 1; i >= 0; i--) if (!keep.has(i)) hls.removeLevel(i);
  }

  private detach(): void {
    if (this.hls) rememberBandwidth(this.hls.bandwidthEstimate);
    this.hls?.destroy();
    this.hls = undefined;
    this.held.clear();
    this.discontinuity = -1;
    this.report = undefined;
    clearTimeout(this.asking);
    this.asking = undefined;
  }

  private start(): void {
    this.video.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') {
        this.on({ kind: 'blocked' });
      }
    });
  }

  private failed(data: ErrorData): void {
    if (data.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) this.on({ kind: 'starved' });
    switch (verdict(data)) {
      case 'leave':
        return;
      case 'absent':
        return this.lost('absent');
      case 'no answer':
        return this.lost('no answer');
      case 'recover media': {
        const now = performance.now();
        if (now - this.recoveredAt < RECOVERY_REST_MS) return this.rebuild(data.details);
        this.recoveredAt = now;
        this.hls?.recoverMediaError();
        return;
      }
      case 'rebuild':
        return this.rebuild(data.details);
    }
  }

  /** Starts over from the playlist; after several fruitless times says so and asks slowly. */
  private rebuild(cause: string): void {
    this.rebuilds += 1;
    this.fruitless += 1;
    if (this.fruitless > MOST_REBUILDS) {
      this.reason = `The player gave up on “${cause}”. Trying again in a while.`;
      this.detach();
      this.on({ kind: 'broken' });
      return this.askLater();
    }
    this.attach();
  }

  private over(): void {
    const live = this.live || this.info.state !== undefined;
    this.on({ kind: 'over', live });
    if (!live) return;
    this.detach();
    this.askLater();
  }

  private lost(why: 'absent' | 'no answer'): void {
    this.detach();
    this.on({ kind: why });
    this.askLater();
  }

  private askLater(): void {
    clearTimeout(this.asking);
    const wait = this.phase === 'failed' ? 15_000 : retryDelay(this.asked++, Math.random());
    this.asking = setTimeout(() => void this.ask(), wait);
  }

  private async ask(): Promise<void> {
    const answer = await probe(this.playlist);
    if (this.hls || !asksAgain(this.phase)) return;
    if (answer === 'live' || (answer === 'ended' && this.phase !== 'ended')) {
      this.following = true;
      this.startedAt = performance.now();
      return this.open();
    }
    if (answer !== 'ended') this.on({ kind: answer });
    this.askLater();
  }

  private async readInfo(): Promise<void> {
    const value = await json(new URL('info.json', this.base).href);
    if (value === undefined) return;
    this.info = parseInfo(value);
    this.oninfo(this.info);
  }

  /** A hidden tab is throttled and falls behind; come back where the others are. */
  private returned(): void {
    if (!this.live || !this.following || this.wantsPaused) return;
    const edge = this.hls?.liveSyncPosition;
    if (typeof edge === 'number' && edge - this.video.currentTime > 1)
      this.video.currentTime = edge;
    if (this.video.paused && this.phase === 'playing') this.start();
  }

  /** Back towards live, step by step, once stalls are a while ago. */
  private comeCloser(hls: Hls, details: LevelDetails | null): void {
    const target = hls.targetLatency;
    if (!details?.live || target === null || this.phase !== 'playing') return;
    const least = details.partHoldBack || details.holdBack;
    const now = performance.now() / 1000;
    const next = this.liveLatency.check(
      now,
      this.stalls,
      target,
      least,
      hls.config.liveSyncOnStallIncrease,
    );
    if (next !== undefined && least > 0) hls.targetLatency = next;
  }

  private second(): void {
    const hls = this.hls;
    if (!hls || document.hidden) return;
    const details = hls.latestLevelDetails;
    this.comeCloser(hls, details);
    const now = performance.now();
    if (now < this.compareUntil && now - this.comparedAt > COMPARED_EVERY_MS) {
      this.comparedAt = now;
      void this.compareTracks(hls);
    }
    const remedy = this.watchdog.check({
      now: performance.now() / 1000,
      wants: !this.wantsPaused && this.phase !== 'blocked' && this.phase !== 'finished',
      live: this.live && details?.live === true,
      following: this.following,
      position: this.video.currentTime,
      nextBuffered: nextBuffered(this.video),
      ahead: bufferedAhead(this.video),
      edge: details?.edge ?? 0,
      closed: this.live && details?.live === false,
      latency: hls.latency,
      target: hls.targetLatency ?? 0,
      targetDuration: details?.targetduration ?? 2,
    });
    switch (remedy) {
      case 'nothing':
        return;
      case 'skip gap':
        this.video.currentTime = (nextBuffered(this.video) ?? this.video.currentTime) + 0.05;
        return;
      case 'go live':
        return this.goLive();
      case 'rebuild':
        return this.rebuild('playback stood still');
      case 'say quiet':
        return this.on({ kind: 'quiet' });
      case 'finish':
        return this.over();
      case 'ask':
        void this.askMeanwhile();
    }
  }

  /** The playlist stands still: is it gone, ended, or is it our copy that is stuck? */
  private async askMeanwhile(): Promise<void> {
    const hls = this.hls;
    const details = hls?.latestLevelDetails;
    if (!hls || !details) return;
    const { answer, last } = await probeMedia(details.url);
    if (this.hls !== hls) return;
    if (answer === 'absent' || answer === 'no answer') return this.lost(answer);
    const ours = details.endSN;
    if (last !== undefined && (last > ours + 1 || last < ours - 1)) return this.attach();
    if (answer === 'ended' && bufferedAhead(this.video) < 0.1) this.over();
  }

  /** Not every stall that hls.js sees ends with the video's own event. */
  private moved(): void {
    const stood = this.phase === 'buffering' || this.phase === 'quiet';
    const ahead = this.video.currentTime - this.starvedAt;
    if (stood && !this.video.seeking && ahead > 0.2 && ahead < 2) this.on({ kind: 'playing' });
  }

  private on(event: PlayerEvent): void {
    const before = this.phase;
    this.phase = next(before, event);
    if (asksAgain(this.phase)) this.goesOn();
    if (event.kind === 'playing') {
      this.joinMs ??= performance.now() - this.startedAt;
      this.fruitless = 0;
      this.reason = undefined;
    }
    if (before === 'playing' && this.phase === 'buffering') {
      this.starvedAt = this.video.currentTime;
      if (!this.video.seeking) this.stalls += 1;
    }
    if (this.phase !== before) this.onchange(this.phase, before);
  }
}
