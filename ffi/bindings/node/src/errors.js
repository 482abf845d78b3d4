// The one error type, and how a status becomes one.

import { Block, C } from './native.js';

/** The statuses that this package itself raises; all others come from the library by number. */
export const Code = Object.freeze({
  INVALID_ARGUMENT: 1, INVALID_UTF8: 4, TOO_LARGE: 5, WOULD_DEADLOCK: 11, CLOSED: 12, BUSY: 15,
  TX_OVER: 17, SYNC_STOPPED: 504, PAIR_OVER: 609, TOO_DEEP: 305, NOT_FINITE: 306, INTEGER_RANGE: 307, NOT_AN_ID: 314, NEWER_FORM: 315,
  RECORD_TOO_LARGE: 316,
});

/** What a call of the library failed with. `code` and `name` are stable; the message is for people. */
export class SubrosaError extends Error {
  constructor(code, message, { retryable = false, number = 0, causes = [] } = {}) {
    const cause = causes.reduceRight((inner, text) => new Error(text, inner && { cause: inner }), undefined);
    super(message, cause && { cause });
    this.code = code;
    this.retryable = retryable;
    this.number = number;
    this.causes = causes;
    Object.defineProperty(this, 'name', { value: C.status_name(code), configurable: true, writable: true });
  }
}
// What a stack trace starts with: it is made before `name` is known.
Object.defineProperty(SubrosaError.prototype, 'name', { value: 'SubrosaError', configurable: true, writable: true });

/** An error of this package's own making. */
export function refusal(name, message, details) {
  return new SubrosaError(Code[name], message, details);
}

/** The error that a call left in `block`, which is freed. */
export function failure(status, block) {
  const error = block.words[0];
  if (error === 0n) return new SubrosaError(status, C.status_name(status));
  block.words[0] = 0n;
  const causes = Array.from({ length: C.error_causes(error) }, (_, index) => C.error_cause(error, index));
  const result = new SubrosaError(status, C.error_message(error), {
    retryable: C.error_retryable(error), number: C.error_number(error), causes,
  });
  C.error_free(error);
  return result;
}

const blocks = [];

/**
 * Calls `body` with a block, for calls on this thread. Blocks are a stack and not one global, because a key provider's
 * code runs in the middle of a call.
 */
export function withBlock(body) {
  const block = blocks.pop() ?? new Block();
  try {
    return body(block);
  } finally {
    blocks.push(block);
  }
}

export function check(status, block) {
  if (status !== 0) throw failure(status, block);
}

/**
 * Calls `fn` on a thread of libuv's pool. The promise rejects with the library's error; its value is what `result` reads
 * out of the block. Buffers among the arguments stay reachable until then.
 */
export function callAsync(fn, args, block, result) {
  return new Promise((resolve, reject) => {
    fn.async(...args, (error, status) => {
      args.length = 0;
      try {
        if (error) throw error;
        check(status, block);
        resolve(result?.(block));
      } catch (failed) {
        reject(failed);
      }
    });
  });
}
