// Many rows in one buffer, little endian: len u32 (of the rest) | op u8 | format u8 | zero u16 | id[16] | payload.

import { refusal } from './errors.js';
import { checkText, idText, putId } from './bytes.js';

export const FORMAT_JSON = 1;
export const ROWS_MAX = 65536;

const HEADER = 24;
const ROWS_BYTES_MAX = 64 * 1024 * 1024;
const RECORD = 1;
const TOO_LARGE = 6;
const OPERATIONS = { insert: 2, put: 3, replace: 4, delete: 5, import: 7 };

/** Rows to write, packed. Each is added with its operation, id (none for an insert) and JSON text (none for a delete). */
export class RowWriter {
  #bytes;
  #length = 0;
  #count = 0;

  constructor(expected) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(4096 + expected * 256, ROWS_BYTES_MAX));
  }

  add(operation, id, json) {
    const op = OPERATIONS[operation];
    if (op === undefined) throw new TypeError('op must be insert, put, replace, import or delete');
    if (json !== undefined) checkText(json, 'JSON');
    const at = this.#reserve(HEADER + 3 * (json?.length ?? 0));
    const bytes = this.#bytes;
    const size = json === undefined ? 0 : bytes.write(json, at + HEADER);
    bytes.writeUInt32LE(HEADER - 4 + size, at);
    bytes[at + 4] = op;
    bytes[at + 5] = json === undefined ? 0 : FORMAT_JSON;
    bytes[at + 6] = 0;
    bytes[at + 7] = 0;
    if (operation === 'insert') bytes.fill(0, at + 8, at + HEADER);
    else putId(id, bytes, at + 8);
    this.#length = at + HEADER + size;
    this.#count += 1;
    if (this.#length > ROWS_BYTES_MAX || this.#count > ROWS_MAX) {
      throw refusal('TOO_LARGE', `at most ${ROWS_MAX} rows and 64 MiB in one call`);
    }
  }

  #reserve(more) {
    const needed = this.#length + more;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    return this.#length;
  }

  finish() { return this.#bytes.subarray(0, this.#length); }
}

/**
 * Calls `visit(json, bytes, at)` for each row in an ArrayBuffer that the library made; `json` is undefined for an absent record,
 * and null for one that is larger than is read whole. A string and a parse per
 * record measured faster than one of each for all: strings of megabytes are what the garbage collector is slow with.
 */
export function readRows(rows, visit) {
  const bytes = Buffer.from(rows);
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at);
    if (end < at + HEADER || end > bytes.length) throw refusal('INVALID_ARGUMENT', 'rows that do not parse');
    const op = bytes[at + 4];
    visit(op === RECORD ? bytes.toString('utf8', at + HEADER, end) : op === TOO_LARGE ? null : undefined, bytes, at);
    at = end;
  }
}

export function rowId(bytes, at) { return idText(bytes, at + 8); }

/** The refusal of a record that is larger than is read whole. */
export function tooLarge(id) {
  const error = refusal('RECORD_TOO_LARGE', 'a record is larger than is read at once: read it field by field');
  error.record = id;
  return error;
}
