// Records as plain objects, and as the JSON text that crosses the ABI.
//
// The engine tells whole numbers (64 bits) from floats, and has bytes; JSON text shows a float by its point or exponent and
// bytes as {"$bytes": base64}. Any other object whose only key begins with `$` belongs to a newer engine; a map with such a key
// has one more `$` in front. Whatever the platform's own JSON does right is left to it; the slow ways here are for the rest.

import { refusal } from './errors.js';

/** A number that is stored as a float even if it is whole. Counts as a number in arithmetic. */
export class Float {
  constructor(value) {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw refusal('NOT_FINITE', 'a float must be a finite number');
    this.value = value;
    Object.freeze(this);
  }

  valueOf() { return this.value; }
  toJSON() { return this.value; }
  toString() { return String(this.value); }
}

/** The engine's limit, and what ends a walk around a cycle. */
const DEPTH_MAX = 64;
const I64_MIN = -(2n ** 63n);
const I64_MAX = 2n ** 63n - 1n;
const DOLLAR = 36;

/** The JSON text of a record. */
export function encodeRecord(record) {
  if (record === null || typeof record !== 'object' || !isMap(record)) throw new TypeError('a record must be a plain object');
  return encode(record);
}

/** The JSON text of any value that a field can hold. */
export function encode(value) {
  return isPlain(value, 0) ? JSON.stringify(value) : write(value, 0);
}

/** Whether `JSON.stringify` says exactly what is meant. */
function isPlain(value, depth) {
  switch (typeof value) {
    case 'string': case 'boolean': return true;
    case 'number': return Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
    case 'object': break;
    default: return false;
  }
  if (value === null) return true;
  if (depth >= DEPTH_MAX) return false;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) if (!isPlain(value[index], depth + 1)) return false;
    return true;
  }
  const prototype = Object.getPrototypeOf(value);
  if ((prototype !== Object.prototype && prototype !== null) || 'toJSON' in value) return false;
  for (const key in value) {
    const item = value[key];
    if (key.charCodeAt(0) === DOLLAR || (item !== undefined && !isPlain(item, depth + 1))) return false;
  }
  return true;
}

function write(value, depth) {
  switch (typeof value) {
    case 'string': case 'boolean': return JSON.stringify(value);
    case 'number': return writeNumber(value);
    case 'bigint':
      if (value < I64_MIN || value > I64_MAX) throw refusal('INTEGER_RANGE', 'a BigInt must fit in 64 bits with a sign');
      return value.toString();
    case 'object': break;
    default: throw new TypeError(`a record cannot hold ${value === undefined ? 'undefined in a list' : `a ${typeof value}`}`);
  }
  if (value === null) return 'null';
  if (value instanceof Float) return writeFloat(value.value);
  if (value instanceof Uint8Array) return `{"$bytes":"${base64(value)}"}`;
  if (depth >= DEPTH_MAX) throw refusal('TOO_DEEP', `nested deeper than ${DEPTH_MAX}, or a cycle`);
  if (Array.isArray(value)) return `[${Array.from(value, (item) => write(item, depth + 1)).join(',')}]`;
  if (typeof value.toJSON === 'function') return write(value.toJSON(), depth + 1);
  if (!isMap(value)) throw new TypeError(`a record cannot hold a ${value.constructor?.name ?? 'foreign object'}`);
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  const mark = keys.length === 1 && keys[0].charCodeAt(0) === DOLLAR ? '$' : '';
  return `{${keys.map((key) => `${JSON.stringify(mark + key)}:${write(value[key], depth + 1)}`).join(',')}}`;
}

/** Objects whose contents are their fields. A `Map`, a `Set` or another array type has contents that JSON would drop. */
function isMap(value) {
  return Object.prototype.toString.call(value) === '[object Object]';
}

function writeNumber(value) {
  if (Number.isSafeInteger(value)) return String(value);
  if (!Number.isFinite(value)) throw refusal('NOT_FINITE', `a record cannot hold ${value}`);
  return writeFloat(value);
}

function writeFloat(value) {
  const text = Object.is(value, -0) ? '-0' : String(value).replace('e+', 'e');
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function base64(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Written out, because the engine skips ahead by its length, which it does not for a counted class: four times as fast. */
const SIXTEEN_DIGITS = /\d\d\d\d\d\d\d\d\d\d\d\d\d\d\d\d/;
/** A whole number of 16 or more digits where a value stands; also found within a string, which only costs time. */
const LONG_INTEGER = /(?:^|[:[,])-?\d{16,}(?:$|[,\]}])/;

/**
 * What the engine's JSON text stands for.
 *
 * `floats: 'wrap'` gives a `Float` for every float, `integers: 'bigint'` a BigInt for every whole number.
 */
export function decode(text, options) {
  if (options?.floats === 'wrap' || options?.integers === 'bigint'
    || (SIXTEEN_DIGITS.test(text) && LONG_INTEGER.test(text))) {
    return new Parser(text, options ?? {}).value();
  }
  const value = JSON.parse(text);
  // A quote within a string is escaped, so this is the beginning of a map.
  return text.includes('{"$') ? unescape(value) : value;
}

/** Turns marked maps into what they stand for, in place where the place is a field. */
function unescape(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) value[index] = unescape(value[index]);
    return value;
  }
  const keys = Object.keys(value);
  for (const key of keys) {
    const item = value[key];
    if (item !== null && typeof item === 'object') setField(value, key, unescape(item));
  }
  return keys.length === 1 ? unmark(value, keys[0]) : value;
}

function unmark(map, key) {
  if (key.charCodeAt(0) !== DOLLAR) return map;
  if (key === '$bytes') return new Uint8Array(Buffer.from(map[key], 'base64'));
  if (key.charCodeAt(1) !== DOLLAR) throw refusal('NEWER_FORM', 'a value of a kind that this version does not know');
  return { [key.slice(1)]: map[key] };
}

/** A field by the name of `__proto__` is a field too. */
function setField(map, key, value) {
  if (key === '__proto__') Object.defineProperty(map, key, { value, configurable: true, enumerable: true, writable: true });
  else map[key] = value;
}

const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;

/** For text that the engine wrote: valid and compact. Keeps what `JSON.parse` of Node 20 loses. */
class Parser {
  constructor(text, options) {
    this.text = text;
    this.at = 0;
    this.wrapFloats = options.floats === 'wrap';
    this.bigIntegers = options.integers === 'bigint';
  }

  value() {
    switch (this.text[this.at]) {
      case '{': return this.map();
      case '[': return this.list();
      case '"': return this.string();
      case 't': this.at += 4; return true;
      case 'f': this.at += 5; return false;
      case 'n': this.at += 4; return null;
      default: return this.number();
    }
  }

  list() {
    const items = [];
    this.at += 1;
    while (this.text[this.at] !== ']') {
      items.push(this.value());
      if (this.text[this.at] === ',') this.at += 1;
    }
    this.at += 1;
    return items;
  }

  map() {
    const map = {};
    let key = '';
    let count = 0;
    this.at += 1;
    while (this.text[this.at] !== '}') {
      key = this.string();
      this.at += 1;
      setField(map, key, this.value());
      count += 1;
      if (this.text[this.at] === ',') this.at += 1;
    }
    this.at += 1;
    return count === 1 ? unmark(map, key) : map;
  }

  string() { return JSON.parse(this.token(STRING)); }

  number() {
    const token = this.token(NUMBER);
    if (/[.eE]/.test(token)) return this.wrapFloats ? new Float(Number(token)) : Number(token);
    if (this.bigIntegers) return BigInt(token);
    const number = Number(token);
    return Number.isSafeInteger(number) ? number : BigInt(token);
  }

  token(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) throw new SyntaxError(`unexpected text at ${this.at}`);
    this.at = pattern.lastIndex;
    return found[0];
  }
}
