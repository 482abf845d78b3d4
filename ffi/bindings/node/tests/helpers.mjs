import { spawn } from 'node:child_process';
import { createECDH, createPrivateKey, sign as signWith } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Device, Key } from '../src/index.js';

/** For `assert.throws` and `assert.rejects`: the library's error of that name. */
export const named = (name) => (error) => {
  if (error.name !== name) throw new Error(`expected ${name}`, { cause: error });
  return true;
};

export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'subrosa-node-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A new device with the vault `personal` and its collection `notes`; closed after the test. */
export async function fresh(t, options, deviceOptions) {
  const dir = join(folder(t), 'store');
  const key = Key.generate();
  const device = await Device.create(dir, key, { name: 'laptop', ...deviceOptions });
  t.after(() => device.close());
  const vault = device.createVault('personal');
  return { dir, key, device, vault, notes: vault.collection('notes', options) };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/** Collects garbage until `isDone` says so. */
export async function untilCollected(isDone) {
  for (let round = 0; round < 400; round += 1) {
    // A weak reference that `isDone` looked at holds until this turn of the event loop is over.
    await new Promise(setImmediate);
    collectGarbage();
    await new Promise(setImmediate);
    if (await isDone()) return;
  }
  throw new Error('still there after 400 collections');
}

/** Runs the text of a module in a process of its own, which must end by itself; what it printed and how it ended. */
export function runModule(text, { args = [], timeoutMs = 20_000, env = {} } = {}) {
  const index = new URL('../src/index.js', import.meta.url);
  const module = `import * as subrosa from '${index}';\nconst [${['dir', 'more']}] = process.argv.slice(1);\n${text}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', module, ...args], {
    cwd: fileURLToPath(new URL('.', import.meta.url)), stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env },
  });
  return new Promise((resolve, reject) => {
    const output = { out: '', err: '' };
    child.stdout.on('data', (data) => { output.out += data; });
    child.stderr.on('data', (data) => { output.err += data; });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`still running after ${timeoutMs} ms: ${output.out} ${output.err}`));
    }, timeoutMs);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...output });
    });
  });
}

/** What a key in a keystore would do, with Node's own cryptography. */
export function keystore() {
  const ecdh = createECDH('prime256v1');
  const publicKey = ecdh.generateKeys();
  const coordinate = (bytes) => bytes.toString('base64url');
  const key = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC', crv: 'P-256', d: coordinate(ecdh.getPrivateKey()), x: coordinate(publicKey.subarray(1, 33)),
      y: coordinate(publicKey.subarray(33)),
    },
  });
  const calls = { agree: 0, sign: 0 };
  return {
    calls,
    publicKey: new Uint8Array(publicKey),
    agree(peer) {
      calls.agree += 1;
      return ecdh.computeSecret(peer);
    },
    sign(message) {
      calls.sign += 1;
      return signWith('sha256', message, { key, dsaEncoding: 'ieee-p1363' });
    },
  };
}
