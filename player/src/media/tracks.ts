/**
 * What a multivariant playlist offers. hls.js reads it once; a publisher whose audio comes late, or whose picture grows,
 * offers more behind the discontinuity, and who is already there hears and sees it only after starting over.
 */

/** The addresses of all renditions, in full. */
export function renditions(text: string, base: string): Set<string> {
  const found = new Set<string>();
  let follows = false;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#EXT-X-STREAM-INF:')) {
      follows = true;
    } else if (line.startsWith('#EXT-X-MEDIA:')) {
      const uri = /TYPE=AUDIO/.test(line) ? /[,:]URI="([^"]+)"/.exec(line)?.[1] : undefined;
      if (uri) found.add(plain(uri, base));
    } else if (follows && line !== '' && !line.startsWith('#')) {
      found.add(plain(line.trim(), base));
      follows = false;
    }
  }
  return found;
}

/** Without its query: tokens and reports in it come and go. */
export function plain(address: string, base: string): string {
  const url = new URL(address, base);
  return url.origin + url.pathname;
}

/** Whether the offer has changed; an empty one is a stream between two publishers, not a change. */
export function differs(held: Set<string>, offered: Set<string>): boolean {
  if (offered.size === 0) return false;
  return held.size !== offered.size || [...offered].some((address) => !held.has(address));
}
