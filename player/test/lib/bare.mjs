// Chromium over a DevTools pipe of our own. Playwright switches the Network domain on, and then the page's process
// keeps the body of every answer, up to 100 MB: what a live stream brings would count as what the page holds.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ARGUMENTS, EXECUTABLE } from './browser.mjs';

/** Sends commands and gives their results; messages end with a zero byte. */
function connect(child) {
  const [, , , to, from] = child.stdio;
  const waiting = new Map();
  let left = Buffer.alloc(0);
  from.on('data', (bytes) => {
    left = Buffer.concat([left, bytes]);
    for (let end = left.indexOf(0); end >= 0; end = left.indexOf(0)) {
      const { id, result, error } = JSON.parse(left.subarray(0, end));
      left = left.subarray(end + 1);
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (error) reject?.(new Error(error.message));
      else resolve?.(result);
    }
  });
  let last = 0;
  return (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      to.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
}

/** A page at `address`: `send(method, params)` and `evaluate(function, argument)`, and `close()`. */
export async function openBare(address) {
  const profile = mkdtempSync(join(tmpdir(), 'panocast-chromium-'));
  const child = spawn(
    EXECUTABLE,
    [
      ...ARGUMENTS,
      '--autoplay-policy=no-user-gesture-required',
      '--window-size=640,400',
      `--user-data-dir=${profile}`,
      '--remote-debugging-pipe',
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  );
  const gone = new Promise((resolve) => child.on('exit', resolve));
  const command = connect(child);
  const { targetInfos } = await command('Target.getTargets');
  const { targetId } = targetInfos.find(({ type }) => type === 'page');
  const { sessionId } = await command('Target.attachToTarget', { targetId, flatten: true });
  const send = (method, params) => command(method, params, sessionId);
  await send('Page.navigate', { url: address });
  return {
    send,
    async evaluate(code, argument) {
      const expression = `(${code})(${JSON.stringify(argument)})`;
      const asked = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await send('Runtime.evaluate', asked);
      if (exceptionDetails)
        throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    },
    async close() {
      child.kill();
      await gone;
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
