import assert from 'node:assert/strict';
import { test } from 'node:test';
import { embedCode } from '../../src/controls/share.ts';
import { cards } from '../../src/page/start.ts';
import { baseOf, route, shareLink, viewOf, watchLink } from '../../src/route.ts';

test('the address decides', () => {
  assert.deepEqual(route('http://h/'), { page: 'start' });
  const watch = route('http://h/?url=/hls/test.m3u8#yaw=30&pitch=-5');
  assert.deepEqual(watch, {
    page: 'watch',
    playlist: 'http://h/hls/test.m3u8',
    base: 'http://h/hls/test/',
    name: 'test',
    view: { yaw: 30, pitch: -5, fov: undefined },
  });
  const prefixed = route('https://bucket/site/?url=vod/a%20b/index.m3u8');
  assert.equal(prefixed.page === 'watch' && prefixed.base, 'https://bucket/site/vod/a%20b/');
  assert.equal(prefixed.page === 'watch' && prefixed.name, 'a b');
  assert.equal(route('http://h/?url=javascript:alert(1)').page, 'wrong');
  assert.equal(route('http://h/?url=http://').page, 'wrong');
});

test('the folder that describes a playlist', () => {
  const base = (path: string): string => new URL(baseOf(new URL(path, 'http://h'))).pathname;
  assert.equal(base('/hls/test.m3u8'), '/hls/test/');
  assert.equal(base('/hls/test.spatial.m3u8'), '/hls/test/');
  assert.equal(base('/vod/a/index.m3u8?x=1'), '/vod/a/');
});

test('a shared link looks the same way', () => {
  const link = shareLink('http://h/?url=/hls/t.m3u8#yaw=1', { yaw: -33.4, pitch: 12.6, fov: 70 });
  assert.equal(link, 'http://h/?url=/hls/t.m3u8#yaw=-33&pitch=13&fov=70');
  assert.deepEqual(viewOf(new URL(link).hash), { yaw: -33, pitch: 13, fov: 70 });
  assert.equal(viewOf(''), undefined);
  assert.equal(viewOf('#yaw=abc'), undefined);
  assert.equal(watchLink('http://h/hls/t.m3u8', 'http://h/x/'), '?url=/hls/t.m3u8');
  assert.equal(watchLink('http://cdn/t.m3u8', 'http://h/'), '?url=http%3A//cdn/t.m3u8');
});

test('cards survive what they do not know', () => {
  assert.deepEqual(cards('no', 'http://h/hls/index.json', 'http://h/'), []);
  const list = cards(
    [{}, null, 7, { name: 'a', url: '/hls/a.m3u8', info: { projection: 'eac', stereo: 'mono' } }],
    'http://h/hls/index.json',
    'http://h/',
  );
  assert.equal(list.length, 1);
  assert.deepEqual(
    [list[0]?.live, list[0]?.shape, list[0]?.link],
    [true, '360°', '?url=/hls/a.m3u8'],
  );
});

test('code to embed grants what a frame lacks and quotes what it holds', () => {
  const code = embedCode('https://x.example/?url=/hls/a.m3u8&b="c"', 'A "show"');
  assert.match(code, /src="https:\/\/x\.example\/\?url=\/hls\/a\.m3u8&amp;b=&quot;c&quot;"/);
  assert.match(code, /title="A &quot;show&quot;"/);
  for (const grant of ['autoplay', 'fullscreen', 'gyroscope', 'xr-spatial-tracking'])
    assert.match(code, new RegExp(`allow="[^"]*${grant}`));
});

test('a live card shows a recent picture, a recording what it lacks', () => {
  const [live] = cards(
    [{ name: 'a', url: '/hls/a.m3u8' }],
    'https://x.example/',
    'https://x.example/',
  );
  assert.match(live?.poster ?? '', /^https:\/\/x\.example\/hls\/a\/poster\.jpg\?\d+$/);
  const rows = [
    { asset: 'b', stream: 'b', url: '/vod/b/index.m3u8', warnings: ['Half is missing.', 7] },
  ];
  const [stored] = cards(rows, 'https://x.example/', 'https://x.example/');
  assert.equal(stored?.poster, undefined);
  assert.deepEqual(stored?.warnings, ['Half is missing.']);
});
