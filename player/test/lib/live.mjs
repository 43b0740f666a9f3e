// A live stream made by ffmpeg on the spot: two rungs, one-second segments, fMP4, video and tone.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';

/** Starts publishing `name` into `folder`; `stop()` ends the playlist properly, `crash()` does not. */
export function publish(folder, name, { start = 1 } = {}) {
  const out = `${folder}/${name}`;
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(
    `${out}/info.json`,
    JSON.stringify({ projection: 'equirectangular', stereo: 'mono', state: 'live' }),
  );
  const child = spawn(
    'ffmpeg',
    [
      '-v',
      'error',
      '-re',
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=640x320:r=15',
      '-re',
      '-f',
      'lavfi',
      '-i',
      'sine=r=48000',
      '-filter_complex',
      '[0:v]split[a][b];[b]scale=320:160[c]',
      '-map',
      '[a]',
      '-map',
      '[c]',
      '-map',
      '1:a',
      '-map',
      '1:a',
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-pix_fmt',
      'yuv420p',
      '-g',
      '15',
      '-sc_threshold',
      '0',
      '-b:v:0',
      '600k',
      '-b:v:1',
      '150k',
      '-c:a',
      'aac',
      '-b:a',
      '64k',
      '-f',
      'hls',
      '-hls_time',
      '1',
      '-hls_list_size',
      '8',
      '-hls_segment_type',
      'fmp4',
      '-start_number',
      String(start),
      '-hls_flags',
      'delete_segments+program_date_time+independent_segments+temp_file',
      '-hls_fmp4_init_filename',
      'init.mp4',
      '-master_pl_name',
      'index.m3u8',
      '-var_stream_map',
      'v:0,a:0 v:1,a:1',
      '-hls_segment_filename',
      `${out}/%v/%d.m4s`,
      `${out}/%v/media.m3u8`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const gone = new Promise((resolve) => child.on('exit', resolve));
  const end = (signal) => async () => {
    child.kill(signal);
    await gone;
  };
  return {
    stop: end('SIGTERM'),
    crash: end('SIGKILL'),
    wipe: () => rmSync(out, { recursive: true, force: true }),
  };
}
