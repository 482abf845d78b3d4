// Asynchronous writes of one device, one after the other. The store has one writer; a second call would hold a thread of the
// pool just to wait for it, and four of those would keep the first one from ever committing.

import { refusal } from './errors.js';

/** How long writes stay queued behind one open transaction: it may itself be waiting for them, by mistake. */
const HELD_MS = 30_000;

export class WriteQueue {
  #waiting = [];
  #isBusy = false;

  /** Whether a transaction of `writeAsync` is open: a write on this thread could only wait for itself. */
  isHeld = false;

  /** Calls `work` when it is its turn. */
  run(work) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject });
      if (!this.#isBusy) this.#next();
    });
  }

  async #next() {
    this.#isBusy = true;
    for (let turn = this.#waiting.shift(); turn; turn = this.#waiting.shift()) {
      try {
        turn.resolve(await turn.work());
      } catch (error) {
        turn.reject(error);
      }
    }
    this.#isBusy = false;
  }

  /** Calls `work`, which has a write transaction open and may wait for anything. */
  async hold(work) {
    this.isHeld = true;
    const timer = setTimeout(() => {
      for (const { reject } of this.#waiting.splice(0)) reject(refusal('BUSY', 'a transaction has been open for 30 s'));
    }, HELD_MS);
    timer.unref();
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      this.isHeld = false;
    }
  }

  /** For a write on this thread outside of any transaction. */
  assertFree() {
    if (this.isHeld) {
      throw refusal('BUSY', 'a transaction of writeAsync is open: give it as `tx`, or use the asynchronous call');
    }
  }
}
