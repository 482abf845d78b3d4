// What this package says about the C library is what the header says: prototypes, structs, statuses.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as native from '../src/native.js';
import { Code, SubrosaError } from '../src/errors.js';

const header = readFileSync(new URL('../../../include/subrosa.h', import.meta.url), 'utf8')
  .replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/^#if[\s\S]*?^#endif/gm, (block) => (block.includes('subrosa_') ? block : ' '));

/** `const char *` as a parameter, callbacks and arrays are all addresses here. */
function kindOf(type) {
  return /\*|\[|_fn\b/.test(type) ? 'pointer' : type.replace(/\bconst\b/, '').trim().split(/\s+/)[0];
}

function kindsOf(prototype) {
  const [, result, name, parameters] = /^\s*([\w\s]+[\s*])(\w+)\s*\(([\s\S]*)\)$/.exec(prototype);
  const kinds = parameters.trim() === '' || parameters.trim() === 'void' ? [] : parameters.split(',').map(kindOf);
  return [name, [kindOf(result), ...kinds].join(' ')];
}

test('every prototype is the header\'s', () => {
  const declared = new Map(Array.from(header.matchAll(/(?:SUBROSA_API|SUBROSA_MUST_USE)\s+([^;{}]*?\))\s*;/g),
    ([, text]) => kindsOf(text.replace(/SUBROSA_\w+\s+/g, ''))));
  assert.ok(declared.size > 80, `${declared.size} declarations were found`);
  for (const line of native.PROTOTYPES.trim().split('\n')) {
    const [name, kinds] = kindsOf(line);
    assert.equal(kinds, declared.get(`subrosa_${name}`), name);
  }
});

test('every struct has the header\'s fields in their order', () => {
  const structs = new Map(Array.from(header.matchAll(/typedef struct (?:\w+ )?\{([^}]*)\}\s*(\w+);/g), ([, body, name]) => [name, body]));
  for (const [name, type] of [
    ['subrosa_device_options', native.DeviceOptions], ['subrosa_key_provider', native.KeyProvider],
    ['subrosa_verify_report', native.VerifyReport], ['subrosa_space_report', native.SpaceReport],
    ['subrosa_device_info', native.DeviceInfo], ['subrosa_sync_status', native.SyncStatus], ['subrosa_event', native.Event],
    ['subrosa_fork_info', native.ForkInfo], ['subrosa_held_info', native.HeldInfo], ['subrosa_sync_vault', native.SyncVault],
  ]) {
    const fields = structs.get(name).split(';').map((field) => field.trim()).filter(Boolean).map((field) => {
      const callback = /\(\*(\w+)\)/.exec(field);
      return callback ? [callback[1], 'pointer'] : [/(\w+)(?:\[\d+\])?$/.exec(field)[1], kindOf(field)];
    });
    const ours = Object.values(type.members).map((member) => [member.name, ourKind(member.type)]);
    assert.deepEqual(ours, fields.map(([field, kind]) => [field, STRUCTS[kind] ?? kind]), name);
  }
});

/** Structs that are only bytes, by the size that they have. */
const STRUCTS = { subrosa_public_key: 'bytes 65', subrosa_id: 'bytes 16', subrosa_vault_id: 'bytes 32', subrosa_buf: 'record' };

function ourKind(type) {
  switch (type.primitive) {
    case 'Pointer': return 'pointer';
    case 'Array': return `bytes ${type.length}`;
    case 'Record': return 'record';
    default: return type.name.endsWith('_t') ? type.name : `${type.name}_t`;
  }
}

test('every status has the header\'s number and the library\'s name', () => {
  for (const [name, code] of Object.entries(Code)) {
    assert.match(header, new RegExp(`#define SUBROSA_${name} ${code}\\b`), name);
    assert.equal(new SubrosaError(code, '').name, name);
  }
});
