/**
 * What the address of the page asks for, and which other addresses follow from it.
 *
 * Everything is resolved against the page's own address, so that the page works at `/`, below any path prefix and from
 * a static bucket. The view direction lives in the fragment: it never reaches a server and never reloads the page.
 */

/** A direction to look in: degrees, yaw counter-clockwise seen from above, pitch upwards; `fov` is the zoom. */
export interface View {
  yaw: number;
  pitch: number;
  fov?: number | undefined;
}

export type Route =
  | { page: 'start' }
  | { page: 'watch'; playlist: string; base: string; name: string; view: View | undefined }
  | { page: 'wrong'; reason: string };

/** Reads `?url=` and the view from the page's address. */
export function route(href: string): Route {
  const here = new URL(href);
  const wanted = here.searchParams.get('url');
  if (wanted === null || wanted === '') return { page: 'start' };
  let playlist: URL;
  try {
    playlist = new URL(wanted, here);
  } catch {
    return { page: 'wrong', reason: `“${wanted}” is not an address` };
  }
  if (playlist.protocol !== 'http:' && playlist.protocol !== 'https:') {
    return { page: 'wrong', reason: `only http and https addresses can be played` };
  }
  const base = baseOf(playlist);
  return {
    page: 'watch',
    playlist: playlist.href,
    base,
    name: nameOf(base),
    view: viewOf(here.hash),
  };
}

/** The folder that describes a playlist: `/hls/test.m3u8` → `/hls/test/`, `/vod/a/index.m3u8` → `/vod/a/`. */
export function baseOf(playlist: URL): string {
  const path = playlist.pathname;
  const folder = /\/index\.m3u8$/.test(path)
    ? path.replace(/index\.m3u8$/, '')
    : path.replace(/(\.spatial)?\.m3u8$/, '').replace(/\/*$/, '/');
  return new URL(folder, playlist).href;
}

function nameOf(base: string): string {
  const last = new URL(base).pathname.split('/').filter(Boolean).pop() ?? 'stream';
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/** Reads `#yaw=30&pitch=-10&fov=70`; absent or unreadable numbers mean: as the stream says. */
export function viewOf(hash: string): View | undefined {
  const wanted = new URLSearchParams(hash.replace(/^#/, ''));
  const number = (key: string): number | undefined => {
    const text = wanted.get(key);
    if (text === null || text.trim() === '') return undefined;
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  };
  const [yaw, pitch, fov] = [number('yaw'), number('pitch'), number('fov')];
  if (yaw === undefined && pitch === undefined && fov === undefined) return undefined;
  return { yaw: yaw ?? 0, pitch: pitch ?? 0, fov };
}

/** The address that shows the same stream in the same direction. */
export function shareLink(href: string, view: View): string {
  const link = new URL(href);
  const parts = [`yaw=${Math.round(view.yaw)}`, `pitch=${Math.round(view.pitch)}`];
  if (view.fov !== undefined) parts.push(`fov=${Math.round(view.fov)}`);
  link.hash = parts.join('&');
  return link.href;
}

/** The page that plays `playlist`, as a link relative to the page. */
export function watchLink(playlist: string, href: string): string {
  const url = new URL(playlist);
  const short = url.origin === new URL(href).origin ? url.pathname + url.search : url.href;
  return `?url=${encodeURIComponent(short).replaceAll('%2F', '/')}`;
}
