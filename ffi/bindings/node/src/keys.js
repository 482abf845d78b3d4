// Keys, public keys, and keys that live elsewhere.

import { Block, C, KeyProvider, bytesAt, register, writeBytes } from './native.js';
import { check, withBlock } from './errors.js';
import { data, hex } from './bytes.js';
import { Handle } from './handle.js';

const PUBLIC_KEY_LENGTH = 65;
const SPKI_LENGTH = 91;
const SIGNATURE_LENGTH = 64;
const SHARED_LENGTH = 32;
/** What a provider that threw, or answered nonsense, is reported as. */
const PROVIDER_FAILED = -1;

/** A point on P-256, SEC1 uncompressed. */
export class PublicKey {
  #bytes;

  constructor(bytes) {
    if (!(bytes instanceof Uint8Array) || bytes.length !== PUBLIC_KEY_LENGTH) {
      throw new TypeError(`a public key must be a Uint8Array of ${PUBLIC_KEY_LENGTH}`);
    }
    this.#bytes = Uint8Array.from(bytes);
    withBlock((block) => check(C.public_key_check(this.#bytes, block.err), block));
  }

  static fromSpki(der) {
    const given = data(der, 'der');
    return withBlock((block) => {
      check(C.public_key_from_spki(given.bytes, given.length, block.area, block.err), block);
      return new PublicKey(block.copy(block.area, PUBLIC_KEY_LENGTH));
    });
  }

  toSpki() {
    return withBlock((block) => {
      check(C.public_key_to_spki(this.#bytes, block.area, block.err), block);
      return block.copy(block.area, SPKI_LENGTH);
    });
  }

  get bytes() { return Uint8Array.from(this.#bytes); }

  [Symbol.for('nodejs.util.inspect.custom')]() { return `PublicKey ${hex(this.#bytes)}`; }

  equals(other) {
    return other instanceof PublicKey && Buffer.compare(this.#bytes, other.#bytes) === 0;
  }

  /** Throws BAD_SIGNATURE unless `signature` is this key's for `label` and `message`. */
  verify(label, message, signature) {
    const [tag, body] = [data(label, 'label'), data(message, 'message')];
    if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_LENGTH) {
      throw new TypeError(`a signature must be a Uint8Array of ${SIGNATURE_LENGTH}`);
    }
    withBlock((block) => check(
      C.public_key_verify(this.#bytes, tag.bytes, tag.length, body.bytes, body.length, signature, block.err), block));
  }
}

/** A device's key pair. */
export class Key extends Handle {
  #hasProvider;

  constructor(token, hasProvider = false) {
    super(token, 'key', C.key_close);
    this.#hasProvider = hasProvider;
  }

  static generate() {
    return withBlock((block) => {
      check(C.key_generate(block.out, block.err), block);
      return new Key(block.handle);
    });
  }

  static fromPkcs8(der) {
    const given = data(der, 'der');
    return withBlock((block) => {
      check(C.key_from_pkcs8(given.bytes, given.length, block.out, block.err), block);
      return new Key(block.handle);
    });
  }

  /**
   * A key whose secret part stays elsewhere. `agree(peer)` returns the 32 bytes of the shared x coordinate,
   * `sign(message)` the 64 bytes of an ECDSA P-256 SHA-256 signature; both at once, not as a promise.
   */
  static fromProvider({ publicKey, agree, sign }) {
    if (typeof agree !== 'function' || typeof sign !== 'function') throw new TypeError('agree and sign must be functions');
    const bytes = publicKey instanceof PublicKey ? publicKey.bytes : new PublicKey(publicKey).bytes;
    const user = BigInt(nextProvider);
    nextProvider += 1;
    providers.set(user, { agree, sign });
    const block = new Block();
    callbacks ??= makeCallbacks();
    try {
      block.putStruct(KeyProvider, { user, public_key: bytes, ...callbacks });
      check(C.key_from_provider(block.area, block.out, block.err), block);
    } catch (error) {
      providers.delete(user);
      throw error;
    }
    const key = new Key(block.handle, true);
    unused.register(key, user);
    return key;
  }

  get public() {
    return withBlock((block) => {
      check(C.key_public(this._token, block.area, block.err), block);
      return new PublicKey(block.copy(block.area, PUBLIC_KEY_LENGTH));
    });
  }

  /** The secret key. Overwrite the result when it is stored. */
  toPkcs8() {
    return withBlock((block) => {
      check(C.key_to_pkcs8(this._token, block.buf, block.err), block);
      return block.takeSecret();
    });
  }

  sign(label, message) {
    const [tag, body] = [data(label, 'label'), data(message, 'message')];
    return withBlock((block) => {
      check(C.key_sign(this._token, tag.bytes, tag.length, body.bytes, body.length, block.area, block.err), block);
      return block.copy(block.area, SIGNATURE_LENGTH);
    });
  }

  /** Whether the key's code runs on the JavaScript thread. @internal */
  get _hasProvider() { return this.#hasProvider; }
}

// Providers are found by number, from two callbacks that stay for good: a callback per provider would have to be released by
// the library's own threads, which would then have to wait for this one. A device keeps its Key object alive, and when nothing
// does any more, the provider goes.
const providers = new Map();
const unused = new FinalizationRegistry((user) => providers.delete(user));
let nextProvider = 1;
let callbacks;

function makeCallbacks() {
  return {
    agree: register((user, peer, out) => answer(user, out, SHARED_LENGTH,
      (provider) => provider.agree(bytesAt(peer, PUBLIC_KEY_LENGTH))),
    'int32_t', ['void *', 'void *', 'void *']),
    sign: register((user, message, length, out) => answer(user, out, SIGNATURE_LENGTH,
      (provider) => provider.sign(bytesAt(message, Number(length)))),
    'int32_t', ['void *', 'void *', 'size_t', 'void *']),
  };
}

/** Must not throw: koffi would then answer 0, which means success. An integer `code` of the error is passed on. */
function answer(user, out, length, call) {
  try {
    const result = call(providers.get(BigInt(user)));
    if (!(result instanceof Uint8Array) || result.length !== length) return PROVIDER_FAILED;
    writeBytes(out, result);
    return 0;
  } catch (error) {
    return Number.isInteger(error?.code) && error.code !== 0 ? error.code | 0 : PROVIDER_FAILED;
  }
}
