// Writes of one device that wait for their turn. The store has one writer; a second call would hold a thread of the pool just
// to wait for it, and four of those would keep the first one from ever committing. So asynchronous writes come one after the
// other, and none while a transaction is open; one on this thread would wait for ever then, and is refused.

import { refusal } from './errors.js';

export class WriteQueue {
  #waiting = [];
  #isRunning = false;
  #waitMs;
  /** When the write transaction that is open was begun; undefined if none is. */
  #heldSince;

  /** `waitMs`: how long a write waits for one transaction, unless it says so itself. */
  constructor(waitMs) {
    this.#waitMs = waitMs;
  }

  /**
   * Calls `work` when it is its turn. Rejects with BUSY when one transaction keeps it waiting for `waitMs`: that may itself
   * be waiting for this write, by mistake. Rejects with the signal's reason when that aborts before its turn.
   */
  run(work, { signal, waitMs = this.#waitMs } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const turn = { work, waitMs, resolve, reject };
      if (this.#isRunning || this.isHeld) this.#queueUp(turn, signal);
      else this.#start(turn);
    });
  }

  /** A write transaction is open, or about to be, until `release`. */
  hold() { this.#heldSince = performance.now(); }

  release() {
    this.#heldSince = undefined;
    this.#next();
  }

  get isHeld() { return this.#heldSince !== undefined; }

  /** For a write on this thread outside of any transaction. */
  assertFree() {
    if (this.isHeld) {
      throw refusal('BUSY', 'a transaction is open: give it as `tx`, end it first, or use the asynchronous call');
    }
  }

  #queueUp(turn, signal) {
    const leave = (reason) => {
      turn.unwatch();
      this.#waiting.splice(this.#waiting.indexOf(turn), 1);
      turn.reject(reason);
    };
    const look = () => {
      const heldMs = this.isHeld ? performance.now() - this.#heldSince : 0;
      if (heldMs >= turn.waitMs) leave(refusal('BUSY', 'a transaction is open for too long', { retryable: true }));
      else timer = setTimeout(look, turn.waitMs - heldMs);
    };
    const abort = () => leave(signal.reason);
    let timer = setTimeout(look, turn.waitMs);
    signal?.addEventListener('abort', abort, { once: true });
    turn.unwatch = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    this.#waiting.push(turn);
  }

  #next() {
    if (this.#isRunning || this.isHeld) return;
    const turn = this.#waiting.shift();
    if (!turn) return;
    turn.unwatch();
    this.#start(turn);
  }

  async #start(turn) {
    this.#isRunning = true;
    try {
      turn.resolve(await turn.work());
    } catch (error) {
      turn.reject(error);
    }
    this.#isRunning = false;
    this.#next();
  }
}
