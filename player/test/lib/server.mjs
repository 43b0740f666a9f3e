// A static server for dist/ and a folder of media, with switches to make parts of it go away.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.m4s': 'video/iso.segment',
  '.mp4': 'video/mp4',
  '.vtt': 'text/vtt',
  '.jpg': 'image/jpeg',
  '.png': 'image/png',
};

/** Serves `media` under /hls/ and /vod/, `dist` elsewhere, also below `/some/prefix/`. */
export async function serve(dist, media) {
  const state = { refuse: undefined, requests: [] };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://x');
    state.requests.push(request.url);
    const refused = state.refuse?.(url.pathname);
    if (refused) {
      response.writeHead(refused).end();
      return;
    }
    const path = normalize(decodeURIComponent(url.pathname));
    const file = /^\/(hls|vod)\//.test(path)
      ? join(media, path)
      : join(dist, path.replace(/^\/some\/prefix/, '').replace(/\/$/, '/index.html'));
    try {
      const bytes = await readFile(file);
      response.writeHead(200, {
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        'access-control-allow-origin': '*',
        'cache-control': 'no-store',
      });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, state, close: () => server.close() };
}
