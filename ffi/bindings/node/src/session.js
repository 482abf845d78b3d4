// Sealed messages between keys, without a store.

import { C } from './native.js';
import { check, withBlock } from './errors.js';
import { data, optionalData } from './bytes.js';
import { Handle } from './handle.js';

const PROFILES = { 'subrosa/1': 1, 'supabase-e2ee-v1': 2 };

export class Session extends Handle {
  constructor(token) {
    super(token, 'session', C.session_close);
  }

  /** What this key alone can open. */
  static self(key, { profile = 'subrosa/1', context } = {}) {
    const given = optionalData(context, 'context');
    return withBlock((block) => {
      check(C.session_self(key._token, profileNumber(profile), given.bytes, given.length, block.out, block.err), block);
      return new Session(block.handle);
    });
  }

  /** What this key and the peer's can open. */
  static peer(key, peer, { profile = 'subrosa/1', context } = {}) {
    const given = optionalData(context, 'context');
    return withBlock((block) => {
      check(C.session_peer(key._token, peer.bytes, profileNumber(profile), given.bytes, given.length, block.out, block.err),
        block);
      return new Session(block.handle);
    });
  }

  /** A string is sealed as its UTF-8. `aad` must be given again to open. */
  seal(plain, aad) {
    const [body, bound] = [data(plain, 'plain'), optionalData(aad, 'aad')];
    return withBlock((block) => {
      check(C.session_seal(this._token, bound.bytes, bound.length, body.bytes, body.length, block.buf, block.err), block);
      return block.takeBytes();
    });
  }

  open(sealed, aad) {
    const [body, bound] = [data(sealed, 'sealed'), optionalData(aad, 'aad')];
    return withBlock((block) => {
      check(C.session_open(this._token, bound.bytes, bound.length, body.bytes, body.length, block.buf, block.err), block);
      return block.takeSecret();
    });
  }
}

function profileNumber(profile) {
  const number = PROFILES[profile];
  if (number === undefined) throw new TypeError(`profile must be one of ${Object.keys(PROFILES).join(', ')}`);
  return number;
}
