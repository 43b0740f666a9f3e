/** Asking the origin: with the token where it wants one, and words for what goes wrong. */

const TOKEN = 'panocast.admin-token';
/** An origin on a saturated machine still answers within this: its admin listener has a thread of its own. */
const PATIENCE_MS = 5000;

export class Refused extends Error {}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/**
 * @param {string} path
 * @param {string} [method]
 * @returns {Promise<Response>}
 */
export async function ask(path, method = 'GET') {
  const token = sessionStorage.getItem(TOKEN);
  /** @type {Record<string, string>} */
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(path, { method, headers, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.status === 401) throw new Refused('the token is missing or wrong');
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error ?? `the origin answered ${response.status}`);
}

/** The newest overview, with histories put together from what each answer adds. */
export class Overview {
  #sample = -1;
  /** @type {Map<string, (number[] | null)[]>} */
  #histories = new Map();

  /** @param {number} span samples kept */
  constructor(span) {
    this.span = span;
  }

  /** @returns {Promise<any>} */
  async fetch() {
    const known = this.#sample;
    const response = await ask(`api/overview${known >= 0 ? `?since=${known}` : ''}`);
    const overview = await response.json();
    this.take(overview, known);
    return overview;
  }

  /**
   * @param {any} overview
   * @param {number} known the sample asked after
   */
  take(overview, known) {
    // A lower count is another process: what we have is of the one before.
    const gone = new Set(this.#histories.keys());
    if (overview.sample < known) this.#histories.clear();
    this.#sample = overview.sample < known ? -1 : overview.sample;
    for (const stream of overview.streams) {
      const { first, samples } = stream.history ?? { first: 0, samples: [] };
      const before = known >= 0 && first === known + 1 ? (this.#histories.get(stream.name) ?? []) : [];
      const all = [...before, ...samples].slice(-this.span);
      this.#histories.set(stream.name, all);
      stream.samples = all;
      gone.delete(stream.name);
    }
    for (const name of gone) this.#histories.delete(name);
  }
}
