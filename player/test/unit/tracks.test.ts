import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differs, renditions } from '../../src/media/tracks.ts';

const BASE = 'https://x.example/hls/foo.m3u8';
const VIDEO =
  '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.64001f"\nfoo/source/index.m3u8\n';
const BOTH =
  '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="foo/audio/index.m3u8"\r\n' +
  '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\r\nfoo/source/index.m3u8?token=1\r\n';

test('renditions are whole addresses without queries', () => {
  assert.deepEqual(
    [...renditions(BOTH, BASE)],
    ['https://x.example/hls/foo/audio/index.m3u8', 'https://x.example/hls/foo/source/index.m3u8'],
  );
});

test('audio that came later is a change, tokens and an empty playlist are none', () => {
  const held = renditions(VIDEO, BASE);
  assert.equal(differs(held, renditions(BOTH, BASE)), true);
  assert.equal(differs(renditions(BOTH, BASE), renditions(VIDEO, BASE)), true);
  assert.equal(differs(held, renditions(`${VIDEO.trim()}?token=2`, BASE)), false);
  assert.equal(differs(held, renditions('#EXTM3U\n', BASE)), false);
});
