// Ids, names and bytes as the library takes them.

import { C } from './native.js';
import { check, refusal, withBlock } from './errors.js';

const ID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const NONE = Object.freeze({ bytes: null, length: 0 });

/** The text of the id whose 16 bytes are at `at`. */
export function idText(bytes, at = 0) {
  let text = '';
  for (let index = 0; index < 16; index += 1) {
    if (index === 4 || index === 6 || index === 8 || index === 10) text += '-';
    text += HEX[bytes[at + index]];
  }
  return text;
}

/** Writes the 16 bytes of `id` at `at`. */
export function putId(id, bytes, at) {
  if (typeof id !== 'string' || !ID_PATTERN.test(id)) throw refusal('NOT_AN_ID', 'not a record id');
  let from = 0;
  for (let index = 0; index < 16; index += 1) {
    if (index === 4 || index === 6 || index === 8 || index === 10) from += 1;
    bytes[at + index] = (digit(id.charCodeAt(from)) << 4) | digit(id.charCodeAt(from + 1));
    from += 2;
  }
}

function digit(code) {
  return code <= 57 ? code - 48 : (code & 0x5f) - 55;
}

export function hex(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** The id that a name stands for, the same on every device. */
export function idFromName(name) {
  const given = text(name);
  return withBlock((block) => {
    check(C.id_from_name(given.bytes, given.length, block.id, block.err), block);
    return idText(block.bytes, 64);
  });
}

/** Refuses what is no text: with a lone surrogate, its UTF-8 would be that of another string. */
export function checkText(value, what) {
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string`);
  if (!value.isWellFormed()) throw refusal('INVALID_UTF8', `${what} has a lone surrogate`);
}

/** A string as UTF-8. The Buffer itself is the argument of a call, not its address: that keeps it alive meanwhile. */
export function text(value, what = 'a name') {
  checkText(value, what);
  if (value === '') return NONE;
  const bytes = Buffer.from(value);
  return { bytes, length: bytes.length };
}

/** Bytes, or a string as its UTF-8, without a copy. */
export function data(value, what) {
  if (typeof value === 'string') return text(value, what);
  if (!(value instanceof Uint8Array)) throw new TypeError(`${what} must be a Uint8Array`);
  if (value.length === 0) return NONE;
  return { bytes: value, length: value.length };
}

/** As `text`, for what need not be given. */
export function optionalText(value, what) { return value === undefined || value === null ? NONE : text(value, what); }

/** As `data`, for what need not be given. */
export function optionalData(value, what) { return value === undefined || value === null ? NONE : data(value, what); }
