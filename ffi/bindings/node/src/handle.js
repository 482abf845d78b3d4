// What every object that stands for a handle of the library has in common.

import { callAsync, refusal } from './errors.js';
import { Block, C } from './native.js';

/** Closes what was dropped without `close()`. Tokens are never used twice, so a late close hits nothing else. */
const abandoned = new FinalizationRegistry(({ close, token }) => close(token));

export class Handle {
  #token;
  #what;
  #close;

  /** `close` takes the token and must not throw; it also runs, once, when the object is dropped without being closed. */
  constructor(token, what, close) {
    this.#token = token;
    this.#what = what;
    this.#close = close;
    abandoned.register(this, { close, token }, this);
  }

  get isClosed() { return this.#token === 0n; }

  /** @internal */
  get _token() {
    if (this.#token === 0n) throw refusal('CLOSED', `this ${this.#what} is closed`);
    return this.#token;
  }

  /** Gives the token up: the caller closes it, once. 0n if that has happened before. @internal */
  _release() {
    const token = this.#token;
    this.#token = 0n;
    if (token !== 0n) abandoned.unregister(this);
    return token;
  }

  close() {
    const token = this._release();
    if (token !== 0n) this.#close(token);
  }

  [Symbol.dispose]() { this.close(); }
}

/** Closes in the background with a function that may take its time; a failure has nobody to go to. */
export function closeQuietly(name) {
  return (token) => {
    const block = new Block();
    callAsync(C[name], [token, block.err], block).catch(() => {});
  };
}
