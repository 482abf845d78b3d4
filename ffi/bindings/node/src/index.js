// Subrosa for Node.js: everything that is public.

import { C } from './native.js';

export { idFromName } from './bytes.js';
export { Collection } from './collection.js';
export { Device } from './device.js';
export { SubrosaError } from './errors.js';
export { logs } from './events.js';
export { Float, decode, encode } from './json.js';
export { Key, PublicKey } from './keys.js';
export { PairJoin, PairOffer } from './pairing.js';
export { Session } from './session.js';
export { Sync } from './sync.js';
export { Transaction, Vault } from './vault.js';

/** The version of the library that was loaded. */
export function version() { return C.version(); }

/** Its ABI. */
export function abiVersion() { return C.abi_version(); }
