// The codec alone: what a record is as text, and what text is as a record.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Float, decode, encode } from '../src/index.js';
import { encodeRecord } from '../src/json.js';

const named = (name) => (error) => error.name === name;

test('values become the text that the engine writes', () => {
  const rows = [
    ['a whole number', 5, '5'],
    ['negative zero is an integer', -0, '0'],
    ['a fraction', -0.5, '-0.5'],
    ['a small fraction', 1e-7, '1e-7'],
    ['beyond the safe range it is a float', 2 ** 60, '1152921504606847000.0'],
    ['a large float', 1e300, '1e300'],
    ['a forced float', new Float(1), '1.0'],
    ['a forced negative zero', new Float(-0), '-0.0'],
    ['the largest integer', 2n ** 63n - 1n, '9223372036854775807'],
    ['the smallest integer', -(2n ** 63n), '-9223372036854775808'],
    ['bytes', new Uint8Array([0, 1, 2]), '{"$bytes":"AAEC"}'],
    ['a Buffer', Buffer.from([0xff]), '{"$bytes":"/w=="}'],
    ['a list', [1, 'a', null, true], '[1,"a",null,true]'],
    ['undefined fields are no fields', { a: undefined, b: { c: undefined } }, '{"b":{}}'],
    ['a map that looks like bytes', { $bytes: 'x' }, '{"$$bytes":"x"}'],
    ['one more', { $$bytes: 1 }, '{"$$$bytes":1}'],
    ['any map of one key that begins with a dollar', { $: { $x: 1 } }, '{"$$":{"$$x":1}}'],
    ['no dollar in front', { a$: 1 }, '{"a$":1}'],
    ['two fields never look like bytes', { $bytes: 'x', a: 1 }, '{"$bytes":"x","a":1}'],
    ['one field is left', { $bytes: 'x', a: undefined }, '{"$$bytes":"x"}'],
    ['a date by its toJSON', new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['nested mixtures', { a: [{ b: 1n }, new Float(2)] }, '{"a":[{"b":1},2.0]}'],
  ];
  for (const [name, value, text] of rows) assert.equal(encode(value), text, name);
});

test('text becomes values', () => {
  const rows = [
    ['a safe integer', '{"n":9007199254740991}', { n: 9007199254740991 }],
    ['one more is a BigInt', '{"n":9007199254740992}', { n: 9007199254740992n }],
    ['the smallest', '[-9223372036854775808]', [-9223372036854775808n]],
    ['one by itself', '9223372036854775807', 9223372036854775807n],
    ['a negative one by itself', '-9007199254740993', -9007199254740993n],
    ['floats are numbers', '{"f":1.0,"g":0.30000000000000004}', { f: 1, g: 0.30000000000000004 }],
    ['digits in a string', '{"s":"1234567890123456789,","n":12345678901234567}',
      { s: '1234567890123456789,', n: 12345678901234567n }],
    ['bytes', '{"raw":{"$bytes":"AAEC"},"list":[{"$bytes":""}]}', { raw: new Uint8Array([0, 1, 2]), list: [new Uint8Array(0)] }],
    ['bytes beside a long integer', '{"n":12345678901234567,"raw":{"$bytes":"AAEC"}}',
      { n: 12345678901234567n, raw: new Uint8Array([0, 1, 2]) }],
    ['an escaped map', '{"a":{"$$bytes":"x"},"b":{"$$$bytes":{"$bytes":"AA=="}}}',
      { a: { $bytes: 'x' }, b: { $$bytes: new Uint8Array(1) } }],
    ['other escaped maps', '{"$$":{"$$$x":1,"a":2},"a":[{"$$x":3},"{\\"$y\\":4}"]}',
      { $$: { $$$x: 1, a: 2 }, a: [{ $x: 3 }, '{"$y":4}'] }],
    ['escapes', '{"\\"n\\"":"\\u0001\\n\\\\","m":12345678901234567}', { '"n"': '\u0001\n\\', m: 12345678901234567n }],
    ['empty ones', '{"a":[],"b":{},"c":-1,"d":false,"e":true,"f":null,"g":12345678901234567}',
      { a: [], b: {}, c: -1, d: false, e: true, f: null, g: 12345678901234567n }],
  ];
  for (const [name, text, value] of rows) assert.deepEqual(decode(text), value, name);
});

test('what only a newer engine writes is refused by its name', () => {
  for (const text of ['{"a":{"$text":"x"}}', '{"$text":"x"}', '{"a":[{"$":1}]}', '{"a":{"$text":12345678901234567}}']) {
    assert.throws(() => decode(text), named('NEWER_FORM'), text);
  }
});

test('a record that was read with floats wrapped is written back as it was', () => {
  const text = '{"a":1.0,"b":1,"c":[2.0,{"d":-0.0}],"e":0.5}';
  const record = decode(text, { floats: 'wrap' });
  assert.ok(record.a instanceof Float);
  assert.equal(record.a + 1, 2);
  assert.equal(encode(record), text);
  assert.equal(encode(decode(text)), '{"a":1,"b":1,"c":[2,{"d":0}],"e":0.5}');
});

test('integers can always be BigInts', () => {
  assert.deepEqual(decode('{"a":1,"f":1.0}', { integers: 'bigint' }), { a: 1n, f: 1 });
});

test('a field named __proto__ is a field', () => {
  for (const text of ['{"__proto__":{"x":1}}', '{"__proto__":{"x":12345678901234567}}', '{"__proto__":{"$bytes":"AA=="}}']) {
    const record = decode(text);
    assert.equal(Object.getPrototypeOf(record), Object.prototype);
    assert.deepEqual(Object.keys(record), ['__proto__']);
    assert.equal(encode(record), text);
  }
});

test('what cannot be stored is refused, not changed', () => {
  const cycle = {};
  cycle.self = cycle;
  for (const value of [NaN, Infinity, -Infinity, [NaN]]) assert.throws(() => encode({ value }), named('NOT_FINITE'));
  assert.throws(() => new Float(NaN), named('NOT_FINITE'));
  assert.throws(() => encode(2n ** 63n), named('INTEGER_RANGE'));
  assert.throws(() => encode(cycle), named('TOO_DEEP'));
  for (const value of [[undefined], () => 0, Symbol('s'), new Map(), new Set(), /x/, new Int16Array(1)]) {
    assert.throws(() => encode({ value }), TypeError);
  }
  for (const record of [null, undefined, 5, 'x', [], new Uint8Array(1)]) assert.throws(() => encodeRecord(record), TypeError);
});

test('sixty-four levels are enough for both sides, one more for neither', () => {
  const nest = (depth) => Array.from({ length: depth }).reduce((inner) => [inner], 1);
  assert.equal(encode(nest(64)), `${'['.repeat(64)}1${']'.repeat(64)}`);
  assert.throws(() => encode(nest(65)), named('TOO_DEEP'));
});
