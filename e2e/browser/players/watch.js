// In the page: one player of `?player=`, as its makers deliver it, on `?url=`; what it shows and
// says goes into `seen`.
//
// Every picture presented is read back: the burnt-in blocks tell which moment it shows. Nothing
// here helps the player along: no reload, no seek, no restart of loading.

import { PLACE, decode } from '/blocks.mjs';

const query = new URLSearchParams(location.search);
const video = document.getElementById('video');

/** `pictures`: [wall ms, media s, stamp ms or null]; `errors`: what the player said was wrong. */
const seen = { pictures: [], errors: [], events: [] };

/**
 * What there is to see so far, in plain values. A player may change its mind on an error, so it is
 * asked again.
 */
window.look = () => ({
  ...seen,
  errors: seen.errors.map((error) => ({ ...error, fatal: error.fatal() })),
});

const note = (what, detail = '') => seen.events.push({ at: Date.now(), what, detail });
const wrong = (fatal, detail) => seen.errors.push({ at: Date.now(), fatal, detail });

const canvas = new OffscreenCanvas(PLACE.columns * 4, PLACE.rows * 4);
const context = canvas.getContext('2d', { willReadFrequently: true });

/** Brightness of each block: the middle of its 4 x 4 pixels. */
function blocks() {
  const { videoWidth: width, videoHeight: height } = video;
  const { left, top, width: w, height: h } = PLACE;
  context.drawImage(
    video,
    left * width,
    top * height,
    w * width,
    h * height,
    0,
    0,
    canvas.width,
    canvas.height,
  );
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const at = (x, y) => data[(y * canvas.width + x) * 4 + 1];
  return Array.from({ length: PLACE.rows * PLACE.columns }, (_, index) => {
    const [x, y] = [(index % PLACE.columns) * 4 + 1, Math.floor(index / PLACE.columns) * 4 + 1];
    return (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4;
  });
}

function picture(_now, { mediaTime }) {
  const stamp = decode(blocks());
  seen.pictures.push([Date.now(), mediaTime, stamp && stamp.unixMs]);
  video.requestVideoFrameCallback(picture);
}
video.requestVideoFrameCallback(picture);
for (const what of [
  'playing',
  'waiting',
  'stalled',
  'seeking',
  'ended',
  'error',
  'resize',
  'pause',
]) {
  video.addEventListener(what, () =>
    note(what, `${video.videoWidth} at ${video.currentTime.toFixed(2)}`),
  );
}
video.addEventListener('error', () => wrong(() => true, `video: ${video.error?.message}`));

async function hlsJs(module, url) {
  const { default: Hls } = await import(module);
  const hls = new Hls({ enableWorker: false, debug: query.has('debug') });
  hls.on(Hls.Events.ERROR, (_event, { fatal, details, error }) => {
    wrong(() => fatal, `${details}: ${String(error?.message).split('\n')[0]}`);
  });
  hls.on(Hls.Events.LEVEL_SWITCHED, (_event, { level }) => note('level', level));
  hls.loadSource(url);
  hls.attachMedia(video);
  window.player = hls;
}

/** Runs a script of the plain kind, which leaves a global. */
const run = (src) =>
  new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement('script'), {
      src,
      onload: resolve,
      onerror: reject,
    });
    document.head.append(script);
  });

/** Video.js with http-streaming, which does low latency by default. */
async function videoJs(module, url) {
  await run(module);
  const player = window.videojs(video, { muted: true, autoplay: true });
  player.on('error', () => {
    const error = player.error();
    wrong(() => true, `${error?.code}: ${error?.message}`);
  });
  player.src({ src: url, type: 'application/vnd.apple.mpegurl' });
  window.player = player;
}

async function shaka(module, url) {
  await run(module);
  const player = new window.shaka.Player();
  const said = (error) => {
    const detail =
      error.code === undefined ? error : `${error.code}: ${String(error.data).slice(0, 200)}`;
    wrong(
      () => error.severity === window.shaka.util.Error.Severity.CRITICAL,
      String(detail.stack ?? detail),
    );
  };
  player.addEventListener('error', (event) => said(event.detail));
  await player.attach(video);
  window.player = player;
  await player.load(url).catch(said);
}

const start = {
  'hls.js 1.6.16': hlsJs,
  'hls.js 1.7.4': hlsJs,
  'video.js 8.24.1': videoJs,
  'Shaka 5.2.12': shaka,
};
await start[query.get('player')](query.get('module'), query.get('url'));
video.play().catch((error) => {
  // Whoever sets the source after this interrupts it, and plays then.
  if (error.name !== 'AbortError') wrong(() => true, `play: ${error.message}`);
});
