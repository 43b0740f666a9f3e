/** Thumbnails of a recording: a WebVTT list of sprites (`sheet.jpg#xywh=0,0,160,80`) next to its playlist. Pure. */

export interface Thumbnail {
  from: number;
  to: number;
  url: string;
  /** Part of the sheet in pixels; undefined means all of it. */
  part: readonly [x: number, y: number, width: number, height: number] | undefined;
}

/** More lines than a day of one-second thumbnails would need is not a list of thumbnails. */
const MOST_CUES = 100_000;

export function parseThumbnails(text: string, base: string): Thumbnail[] {
  if (!text.startsWith('WEBVTT')) return [];
  const cues: Thumbnail[] = [];
  const lines = text.split(/\r?\n/);
  for (let i = 0; i < lines.length && cues.length < MOST_CUES; i++) {
    const times = /^(\S+)\s+-->\s+(\S+)/.exec(lines[i] ?? '');
    const target = lines[i + 1]?.trim();
    if (!times || !target) continue;
    const [from, to] = [seconds(times[1] ?? ''), seconds(times[2] ?? '')];
    let url: URL;
    try {
      url = new URL(target, base);
    } catch {
      continue;
    }
    const part = /^#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/.exec(url.hash);
    url.hash = '';
    if (from === undefined || to === undefined) continue;
    const [x, y, w, h] = (part ?? []).slice(1).map(Number);
    const sheet = x === undefined || y === undefined || w === undefined || h === undefined;
    cues.push({ from, to, url: url.href, part: sheet ? undefined : [x, y, w, h] });
  }
  return cues;
}

/** The thumbnail of a moment; the nearest earlier one where the list has a gap. */
export function thumbnailAt(cues: readonly Thumbnail[], moment: number): Thumbnail | undefined {
  let [low, high] = [0, cues.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cues[middle]?.from ?? 0) <= moment) low = middle + 1;
    else high = middle;
  }
  return cues[Math.max(0, low - 1)];
}

function seconds(text: string): number | undefined {
  const parts = text.split(':').map(Number);
  if (parts.length < 2 || parts.length > 3 || parts.some(Number.isNaN)) return undefined;
  return parts.reduce((sum, part) => sum * 60 + part, 0);
}
