/** Wiring: asks every second, shows what came, carries out what the operator confirmed. */

import { attribute, byId, say } from './dom.js';
import { SPAN } from './plot.js';
import { ask, keepToken, Overview, Refused } from './server.js';
import { view } from './view.js';

const ASK_EVERY_MS = 1000;
/** Keyframes come every two seconds or so; a still each few is enough to see what is on. */
const STILLS_EVERY_MS = 4000;

const overview = new Overview(SPAN);
const page = view((stream) => void sendAway(stream));
let heardAt = Date.now();
let draining = false;
/** @type {any} */
let newest;

async function look() {
  try {
    newest = await overview.fetch();
    heardAt = Date.now();
    byId('token').hidden = true;
    byId('board').hidden = false;
    byId('drain').disabled = draining;
    page.update(newest);
    const { ready, unmet } = newest.readiness;
    state(ready ? 'ready' : 'leaving', ready ? 'in service' : Object.values(unmet).join(', '));
  } catch (error) {
    if (error instanceof Refused) return wantToken();
    const seconds = Math.round((Date.now() - heardAt) / 1000);
    const words = draining ? 'drained: the process has ended' : `no answer for ${seconds} s`;
    state('silent', words);
  }
  setTimeout(look, ASK_EVERY_MS);
}

/**
 * @param {string} name
 * @param {string} words
 */
function state(name, words) {
  attribute(document.body, 'data-state', name);
  say(byId('state'), words);
  const alarms = newest?.alarms.length ?? 0;
  document.title = `${alarms > 0 ? `(${alarms}) ` : ''}Panocast origin`;
}

function wantToken() {
  state('locked', 'locked');
  byId('board').hidden = true;
  byId('token').hidden = false;
  byId('token-text').focus();
}

byId('token').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  const field = byId('token-text');
  keepToken(field.value);
  field.value = '';
  ask('healthz').then(
    () => {
      say(byId('token-problem'), '');
      void look();
      void stills();
    },
    () => say(byId('token-problem'), 'That is not the token of this origin.'),
  );
});

async function stills() {
  if (!document.hidden && !byId('board').hidden) {
    for (const [name, card] of page.cards) {
      try {
        const response = await ask(`api/streams/${name}/still`);
        card.picture.show(await createImageBitmap(await response.blob()));
      } catch {
        // No picture yet, or none any more: the card says the rest.
        card.picture.show(undefined);
      }
    }
  }
  clearTimeout(stillsTimer);
  stillsTimer = setTimeout(stills, page.cards.size === 0 ? ASK_EVERY_MS : STILLS_EVERY_MS);
}
/** @type {ReturnType<typeof setTimeout> | undefined} */
let stillsTimer;

/**
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
function confirmed(title, text, yes) {
  const question = byId('question');
  say(byId('question-title'), title);
  say(byId('question-text'), text);
  say(byId('question-yes'), yes);
  question.showModal();
  // Not the close event: it comes a task later, when the next question may already be open.
  return new Promise((resolve) => {
    byId('question-yes').onclick = () => resolve(true);
    byId('question-no').onclick = () => resolve(false);
    question.oncancel = () => resolve(false);
  });
}

/** @param {string} stream */
async function sendAway(stream) {
  const text =
    'Its connection is closed. An encoder that connects again by itself is taken back; viewers wait as long as the ' +
    'reconnect window lasts.';
  if (!(await confirmed(`Send the publisher of “${stream}” away?`, text, 'Send away'))) return;
  await carryOut(`api/streams/${stream}/publisher`, 'DELETE', `The publisher of “${stream}” was sent away.`);
}

byId('drain').addEventListener('click', async () => {
  const text =
    'All publishers are sent away, recordings are sealed and stored, then the process ends. Viewers go on with the ' +
    'other origin if there is one.';
  if (!(await confirmed('Drain this origin?', text, 'Drain'))) return;
  draining = await carryOut('drain', 'POST', 'The origin drains.');
  byId('drain').disabled = draining;
});

/**
 * @param {string} path
 * @param {string} method
 * @param {string} done
 */
async function carryOut(path, method, done) {
  try {
    await ask(path, method);
    say(byId('said'), done);
    return true;
  } catch (error) {
    say(byId('said'), `That did not work: ${error instanceof Error ? error.message : error}.`);
    return false;
  } finally {
    setTimeout(() => say(byId('said'), ''), 8000);
  }
}

void look();
void stills();
