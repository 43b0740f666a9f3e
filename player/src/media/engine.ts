/** hls.js as this page wants it: settings with their reasons, and what an error calls for. */

import Hls, { type CmcdCustomReporter, type ErrorData, type HlsConfig } from 'hls.js';

const MEMORY = 'panocast.bandwidth';
/** A first guess high enough to start on a rung that looks right; the first fragments correct it. */
const FIRST_GUESS = 8e6;

/** Bits per second seen on an earlier visit, within reason. */
export function rememberedBandwidth(): number {
  try {
    const seen = Number(localStorage.getItem(MEMORY));
    return seen > 0 ? Math.min(Math.max(seen, 1e6), 1e8) : FIRST_GUESS;
  } catch {
    return FIRST_GUESS;
  }
}

export function rememberBandwidth(bitsPerSecond: number): void {
  try {
    if (bitsPerSecond > 0) localStorage.setItem(MEMORY, String(Math.round(bitsPerSecond)));
  } catch {
    // Storage may be forbidden; then every visit starts with the guess.
  }
}

/** One identifier per visit, so that edges can count viewers without cookies. */
function sessionId(): string {
  // randomUUID needs a secure context; a page on a plain LAN address has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const SESSION = sessionId();

export function settings(
  contentId: string,
  reporter: (reporter: CmcdCustomReporter) => void,
): Partial<HlsConfig> {
  return {
    // The transmuxer only passes fMP4 through: a worker would cost more to start than it saves.
    enableWorker: false,
    lowLatencyMode: true,
    // Above 1.2 voices sound hurried. liveSync* stay unset: the playlist's PART-HOLD-BACK governs.
    maxLiveSyncPlaybackRate: 1.2,
    liveSyncOnStallIncrease: 0.5,
    // 4K is 2 MB a second: bound what lies behind and ahead of the viewer.
    backBufferLength: 10,
    maxBufferLength: 15,
    maxMaxBufferLength: 30,
    maxBufferSize: 60e6,
    abrEwmaDefaultEstimate: rememberedBandwidth(),
    abrEwmaDefaultEstimateMax: 1e8,
    // The guess or the memory decides the first rung; a bandwidth test would delay the first picture.
    testBandwidth: false,
    startFragPrefetch: true,
    // The video element is one pixel; the texture is not. quality.ts caps by angular resolution.
    capLevelToPlayerSize: false,
    useMediaCapabilities: true,
    cmcd: {
      version: 2,
      sessionId: SESSION,
      contentId,
      // Query mode: headers would cost a CORS preflight for each URL.
      useHeaders: false,
      includeKeys: [
        'br',
        'bl',
        'bs',
        'cid',
        'd',
        'ltc',
        'mtp',
        'msd',
        'ot',
        'pr',
        'sf',
        'sid',
        'sn',
        'st',
        'sta',
        'su',
        'tb',
        'v',
        'panocast-view',
      ],
      reporterCallback: reporter,
    },
  };
}

export type Verdict =
  /** hls.js deals with it. */
  | 'leave'
  /** The playlist is not there (any more). */
  | 'absent'
  /** Network trouble that outlived hls.js's own retries. */
  | 'no answer'
  | 'recover media'
  | 'rebuild';

/** What a fatal error calls for. */
export function verdict(data: ErrorData): Verdict {
  if (!data.fatal) return 'leave';
  if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
    const status = data.response?.code ?? 0;
    const playlist = /manifest|level|audioTrack/i.test(data.details);
    if (data.details === Hls.ErrorDetails.MANIFEST_PARSING_ERROR) return 'absent';
    if (playlist && status >= 400 && status < 500) return 'absent';
    return 'no answer';
  }
  return data.type === Hls.ErrorTypes.MEDIA_ERROR ? 'recover media' : 'rebuild';
}
