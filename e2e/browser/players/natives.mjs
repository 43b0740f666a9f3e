// Players without a browser: ffmpeg and GStreamer decode to grey pictures on a pipe, and the blocks are read from those.

import { spawn } from 'node:child_process';
import { PLACE, decode } from '../blocks.mjs';
import { FRAME_RATE } from './broadcast.mjs';

const WIDTH = 480;
const HEIGHT = 240;

/** Complaints that say nothing of the stream: ffmpeg reads the init segment again after each reload and tells itself so. */
const HARMLESS = /Found duplicated MOOV Atom|Last message repeated|deprecated pixel format/;

const COMMANDS = {
  ffmpeg: (url) => ['ffmpeg', '-nostdin', '-v', 'warning', '-i', url,
    '-map', '0:v:0', '-vf', `scale=${WIDTH}:${HEIGHT},format=gray`, '-fps_mode', 'passthrough', '-f', 'rawvideo', 'pipe:3',
    '-map', '0:a:0', '-f', 'null', '-'],
  GStreamer: (url) => ['gst-launch-1.0', '-q', 'playbin3', `uri=${url}`,
    `video-sink=videoconvert ! videoscale ! video/x-raw,format=GRAY8,width=${WIDTH},height=${HEIGHT} ! fdsink fd=3 sync=true`,
    'audio-sink=fakesink sync=true'],
};
export const NATIVE_PLAYERS = Object.keys(COMMANDS);

/** Those that decode as fast as they are read: a player shows each picture as long as it lasts. */
const UNPACED = new Set(['ffmpeg']);

/**
 * Gives each picture that comes from `stream` to `show`: at once, or `everyMs` after the one before where that is later.
 * What is not taken yet holds its sender up.
 */
function takePictures(stream, everyMs, show) {
  let due = 0;
  let timer;
  const take = () => {
    timer = undefined;
    for (;;) {
      const wait = due - Date.now();
      if (wait > 0) {
        timer = setTimeout(take, wait);
        return;
      }
      const picture = stream.read(WIDTH * HEIGHT);
      if (!picture || picture.length < WIDTH * HEIGHT) return;
      show(picture);
      // After a stall the next one is due from then on.
      due = Math.max(due + everyMs, Date.now());
    }
  };
  stream.on('readable', () => {
    if (timer === undefined) take();
  });
}

/** Brightness of each block in a grey picture: the middle of its 4 x 4 pixels. */
function blocks(grey) {
  const [left, top] = [PLACE.left * WIDTH, PLACE.top * HEIGHT];
  const [dx, dy] = [(PLACE.width * WIDTH) / PLACE.columns, (PLACE.height * HEIGHT) / PLACE.rows];
  return Array.from({ length: PLACE.rows * PLACE.columns }, (_, index) => {
    const x = Math.floor(left + (index % PLACE.columns) * dx + dx / 4);
    const y = Math.floor(top + Math.floor(index / PLACE.columns) * dy + dy / 4);
    const at = (px, py) => grey[py * WIDTH + px];
    return (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4;
  });
}

/** Starts one of NATIVE_PLAYERS on `url`. */
export function startNative(name, url) {
  const [program, ...args] = COMMANDS[name](url);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
  const seen = { pictures: [], errors: [], events: [] };
  takePictures(child.stdio[3], UNPACED.has(name) ? 1000 / FRAME_RATE : 0, (picture) => {
    const stamp = decode(blocks(picture));
    seen.pictures.push([Date.now(), null, stamp && stamp.unixMs]);
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    for (const line of text.split('\n').filter((line) => line.trim() && !HARMLESS.test(line))) {
      seen.errors.push({ at: Date.now(), fatal: false, detail: line.trim().slice(0, 200) });
    }
  });
  let stopped = false;
  child.on('exit', (code, signal) => {
    // A live stream has no end while somebody publishes it.
    if (!stopped) seen.errors.push({ at: Date.now(), fatal: true, detail: `ended by itself: ${code ?? signal}` });
  });
  const gone = new Promise((resolve) => child.on('exit', resolve));
  return {
    name,
    seen: async () => seen,
    async stop() {
      stopped = true;
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await gone;
    },
  };
}
