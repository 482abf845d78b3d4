// Collections: records by id.

import { C } from './native.js';
import { check, withBlock } from './errors.js';
import { checkText, idText, putId } from './bytes.js';
import { listen } from './events.js';
import { Handle } from './handle.js';
import { decode, encodeRecord } from './json.js';
import { listText, readList } from './lists.js';
import { FORMAT_JSON, ROWS_MAX, RowWriter, readRows, rowId, tooLarge } from './rows.js';
import { callInPool } from './wait.js';

const PAGE = 256;
const ID = 64;

export class Collection extends Handle {
  name;
  vault;
  #options;
  #writes;

  /** @internal */
  constructor(token, vault, name, options) {
    super(token, 'collection', C.collection_close);
    if (options?.floats !== undefined && !['number', 'wrap'].includes(options.floats)) {
      throw new TypeError('floats must be number or wrap');
    }
    if (options?.integers !== undefined && !['number', 'bigint'].includes(options.integers)) {
      throw new TypeError('integers must be number or bigint');
    }
    this.vault = vault;
    this.name = name;
    this.#options = options;
    this.#writes = vault.device._writes;
  }

  // Writes, each durable when it returns unless a transaction is given.

  insert(record, { tx } = {}) { return this.insertJson(encodeRecord(record), { tx }); }
  put(id, record, { tx } = {}) { this.putJson(id, encodeRecord(record), { tx }); }
  replace(id, record, { tx } = {}) { this.replaceJson(id, encodeRecord(record), { tx }); }

  insertJson(json, { tx } = {}) {
    const token = this.#writer(tx);
    const length = byteLength(json);
    return withBlock((block) => {
      check(C.insert_json(this._token, token, json, length, block.id, block.err), block);
      return idText(block.bytes, ID);
    });
  }

  putJson(id, json, { tx } = {}) { this.#set(C.put_json, id, json, tx); }
  replaceJson(id, json, { tx } = {}) { this.#set(C.replace_json, id, json, tx); }

  #set(fn, id, json, tx) {
    const token = this.#writer(tx);
    const length = byteLength(json);
    withBlock((block) => {
      putId(id, block.bytes, ID);
      check(fn(this._token, token, block.id, json, length, block.err), block);
    });
  }

  /** Whether there was such a record. */
  delete(id, { tx } = {}) {
    const token = this.#writer(tx);
    return withBlock((block) => {
      putId(id, block.bytes, ID);
      check(C.delete(this._token, token, block.id, block.flag, block.err), block);
      return block.isFlag;
    });
  }

  /** Deletes one field of a record of any size; whether there was one. The record stays. */
  deleteField(id, field, { tx } = {}) {
    const token = this.#writer(tx);
    const length = byteLength(field);
    return withBlock((block) => {
      putId(id, block.bytes, ID);
      check(C.delete_field(this._token, token, block.id, field, length, block.flag, block.err), block);
      return block.isFlag;
    });
  }

  insertMany(records, { tx } = {}) { return this.#writeRows(insertRows(records), tx); }
  writeMany(operations, { tx } = {}) { return this.#writeRows(operationRows(operations), tx); }

  #writeRows(rows, tx) {
    const token = this.#writer(tx);
    return withBlock((block) => {
      check(C.write_many(this._token, token, rows, rows.length, block.buf, block.err), block);
      return readIds(block.takeBytes());
    });
  }

  /** The handle of the transaction, or null: then the write waits for others, which must not be this thread's own. */
  #writer(tx) {
    if (tx) return tx._token;
    this.#writes.assertFree();
    return null;
  }

  // The same, off this thread: what takes time is the disk. In a transaction nothing does before its commit.

  async insertAsync(record, { tx } = {}) {
    if (tx) return this.insert(record, { tx });
    const json = encodeRecord(record);
    return this.#inPool('insert_json', (block) => [this._token, null, json, byteLength(json), block.id, block.err],
      (block) => idText(block.bytes, ID));
  }

  async putAsync(id, record, { tx } = {}) { await this.#setAsync('put', id, record, tx); }
  async replaceAsync(id, record, { tx } = {}) { await this.#setAsync('replace', id, record, tx); }

  async #setAsync(operation, id, record, tx) {
    if (tx) return this[operation](id, record, { tx });
    const json = encodeRecord(record);
    const bytes = idBytes(id);
    return this.#inPool(`${operation}_json`, (block) => [this._token, null, bytes, json, byteLength(json), block.err]);
  }

  async deleteAsync(id, { tx } = {}) {
    if (tx) return this.delete(id, { tx });
    const bytes = idBytes(id);
    return this.#inPool('delete', (block) => [this._token, null, bytes, block.flag, block.err], (block) => block.isFlag);
  }

  async insertManyAsync(records, { tx } = {}) { return this.#writeRowsAsync(insertRows(records), tx); }
  async writeManyAsync(operations, { tx } = {}) { return this.#writeRowsAsync(operationRows(operations), tx); }

  #writeRowsAsync(rows, tx) {
    if (tx) return this.#writeRows(rows, tx);
    return this.#inPool('write_many', (block) => [this._token, null, rows, rows.length, block.buf, block.err],
      (block) => readIds(block.takeBytes()));
  }

  #inPool(name, args, result) {
    return this.#writes.run(() => this.vault.device._inPool(name, args, result));
  }

  // Reads.

  /** The record, or undefined. */
  get(id, { tx } = {}) {
    return this.#record(this.getJson(id, { tx }));
  }

  getJson(id, { tx } = {}) {
    return withBlock((block) => {
      putId(id, block.bytes, ID);
      check(C.get_json(this._token, tx ? tx._token : null, block.id, block.buf, block.flag, block.err), block);
      return block.isFlag ? block.takeText() : undefined;
    });
  }

  /** The names of the fields behind `after`, at most `limit`, of a record of any size; undefined if there is no record. */
  fieldNames(id, { tx, after, limit = 1000 } = {}) {
    const length = after === undefined ? 0 : byteLength(after);
    return withBlock((block) => {
      putId(id, block.bytes, ID);
      check(C.field_names(this._token, tx ? tx._token : null, block.id, after ?? null, length, limit, block.out, block.err), block);
      return block.handle === 0n ? undefined : readList(block.handle, listText);
    });
  }

  /** One field of a record of any size; undefined if there is none. */
  getField(id, field, { tx } = {}) {
    const json = this.getFieldJson(id, field, { tx });
    return json === undefined ? undefined : decode(json, this.#options);
  }

  getFieldJson(id, field, { tx } = {}) {
    const length = byteLength(field);
    return withBlock((block) => {
      putId(id, block.bytes, ID);
      check(C.get_field_json(this._token, tx ? tx._token : null, block.id, field, length, block.buf, block.flag, block.err), block);
      return block.isFlag ? block.takeText() : undefined;
    });
  }

  /** The records in the order of `ids`, undefined where there is none, all of one moment. */
  getMany(ids, { tx } = {}) { return this.#rows(ids, tx, (json) => this.#record(json)); }
  getManyJson(ids, { tx } = {}) { return this.#rows(ids, tx, (json) => json); }

  #rows(ids, tx, read) {
    const packed = packedIds(ids);
    return withBlock((block) => {
      check(C.get_many(this._token, tx ? tx._token : null, packed, ids.length, FORMAT_JSON, block.buf, block.err), block);
      return readEach(block, read);
    });
  }

  #record(json) { return json === undefined ? undefined : decode(json, this.#options); }

  /** Reads them all. */
  count({ tx } = {}) {
    return withBlock((block) => {
      check(C.count(this._token, tx ? tx._token : null, block.out, block.err), block);
      return block.number;
    });
  }

  // The same, off this thread. In a transaction they are on it, as no two threads may use that at once.

  async getAsync(id, { tx } = {}) {
    if (tx) return this.get(id, { tx });
    const bytes = idBytes(id);
    return callInPool('get_json', (block) => [this._token, null, bytes, block.buf, block.flag, block.err],
      (block) => this.#record(block.isFlag ? block.takeText() : undefined));
  }

  async getManyAsync(ids, { tx } = {}) {
    if (tx) return this.getMany(ids, { tx });
    const packed = packedIds(ids);
    return callInPool('get_many', (block) => [this._token, null, packed, ids.length, FORMAT_JSON, block.buf, block.err],
      (block) => readEach(block, (json) => this.#record(json)));
  }

  async countAsync({ tx } = {}) {
    if (tx) return this.count({ tx });
    return callInPool('count', (block) => [this._token, null, block.out, block.err], (block) => block.number);
  }

  /** `[id, record]` in the order of ids. Each page is of one moment; give a read transaction for one moment of all. */
  *scan({ tx, after, pageSize = PAGE } = {}) {
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > ROWS_MAX) {
      throw new TypeError(`pageSize must be 1 to ${ROWS_MAX}`);
    }
    let last = after;
    for (let more = true; more;) {
      const page = this.#page(last, pageSize, tx);
      for (const entry of page.entries) {
        if (entry[1] === null) throw tooLarge(entry[0]);
        yield entry;
      }
      last = page.entries.at(-1)?.[0];
      more = page.more;
    }
  }

  #page(after, limit, tx) {
    return withBlock((block) => {
      if (after !== undefined) putId(after, block.bytes, ID);
      check(C.page(this._token, tx ? tx._token : null, after === undefined ? null : block.id, limit, FORMAT_JSON, block.buf,
        block.flag, block.err), block);
      const entries = [];
      block.readBytes((rows) => readRows(rows, (json, bytes, at) => {
        entries.push([rowId(bytes, at), json === null ? null : decode(json, this.#options)]);
      }));
      return { entries, more: block.isFlag };
    });
  }

  [Symbol.iterator]() { return this.scan(); }

  /** Changes from now on, of this device and from others. */
  watch(options) {
    return listen(this, (queue, tag, err) => C.events_add_collection(queue, this._token, tag, err), options);
  }
}

function byteLength(json) {
  checkText(json, 'JSON');
  return Buffer.byteLength(json);
}

function insertRows(records) {
  const rows = new RowWriter(records.length);
  for (const record of records) rows.add('insert', undefined, encodeRecord(record));
  return rows.finish();
}

function operationRows(operations) {
  const rows = new RowWriter(operations.length);
  for (const { op, id, record, json } of operations) {
    rows.add(op, id, op === 'delete' ? undefined : json ?? encodeRecord(record));
  }
  return rows.finish();
}

function idBytes(id) {
  const bytes = new Uint8Array(16);
  putId(id, bytes, 0);
  return bytes;
}

/** NULL for none. */
function packedIds(ids) {
  if (ids.length === 0) return null;
  const packed = Buffer.allocUnsafe(ids.length * 16);
  ids.forEach((id, index) => putId(id, packed, index * 16));
  return packed;
}

/** `read(json)` of each row in a result, undefined where there is no record. */
function readEach(block, read) {
  const results = [];
  block.readBytes((rows) => readRows(rows, (json, bytes, at) => {
    if (json === null) throw tooLarge(rowId(bytes, at));
    results.push(read(json));
  }));
  return results;
}

function readIds(bytes) {
  return Array.from({ length: bytes.length / 16 }, (_, index) => idText(bytes, index * 16));
}
