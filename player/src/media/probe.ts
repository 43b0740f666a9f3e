/** Asks whether a stream can be played now, without disturbing a player. */

export type Answer = 'live' | 'ended' | 'absent' | 'no answer';

/** Longest wait for one answer; a blocked playlist may take some seconds. */
const PATIENCE_MS = 10_000;

/** The first media playlist a multivariant playlist names; undefined for a media playlist. */
export function firstVariant(text: string): string | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const at = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF:'));
  if (at < 0) return undefined;
  return lines.slice(at + 1).find((line) => line !== '' && !line.startsWith('#'));
}

/** What a media playlist says about itself. */
export function judge(text: string): Answer {
  if (!text.startsWith('#EXTM3U')) return 'absent';
  return /^#EXT-X-ENDLIST\s*$/m.test(text) ? 'ended' : 'live';
}

/** Number of the last segment a full media playlist lists; undefined without segments. */
export function lastNumber(text: string): number | undefined {
  const first = Number(/^#EXT-X-MEDIA-SEQUENCE:(\d+)/m.exec(text)?.[1] ?? 0);
  const count = text.match(/^#EXTINF:/gm)?.length ?? 0;
  return count > 0 ? first + count - 1 : undefined;
}

/** What a media playlist says now, and where it ends. */
export async function probeMedia(
  playlist: string,
): Promise<{ answer: Answer; last?: number | undefined }> {
  const media = await text(playlist);
  if (media === 'no answer' || media === 'absent') return { answer: media };
  return { answer: judge(media.text), last: lastNumber(media.text) };
}

export async function probe(playlist: string): Promise<Answer> {
  const top = await text(playlist);
  if (top === 'no answer' || top === 'absent') return top;
  const variant = firstVariant(top.text);
  if (variant === undefined) return judge(top.text);
  const media = await text(new URL(variant, playlist).href);
  return media === 'no answer' || media === 'absent' ? media : judge(media.text);
}

/** A playlist's own text, past every cache of the browser. */
export async function text(url: string): Promise<{ text: string } | 'absent' | 'no answer'> {
  try {
    const response = await fetch(url, {
      cache: 'no-store',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.ok) return { text: await response.text() };
    // A bucket answers 403 for what is not there; 5xx means that nobody could tell.
    return response.status >= 500 ? 'no answer' : 'absent';
  } catch {
    return 'no answer';
  }
}

/** Fetches and parses a JSON document; undefined when it is not there or not JSON. */
export async function json(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.ok ? ((await response.json()) as unknown) : undefined;
  } catch {
    return undefined;
  }
}
