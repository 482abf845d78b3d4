// Worker threads, each with a device of its own.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Device, Key, idFromName } from '../src/index.js';
import { folder, named } from './helpers.mjs';

test('eight threads use eight devices at once', async (t) => {
  const dir = folder(t);
  const workers = Array.from({ length: 8 }, (_, index) => work(join(dir, String(index))));
  assert.deepEqual(await Promise.all(workers), Array(8).fill(60));
});

test('a worker that fails leaves its process alone, and its store unlocked', async (t) => {
  for (const hasProvider of [false, true]) {
    const dir = join(folder(t), 'store');
    const worker = new Worker(new URL('failing-worker.mjs', import.meta.url), { workerData: { dir, hasProvider } });
    const failed = new Promise((resolve) => { worker.on('error', resolve); });
    const code = await new Promise((resolve) => { worker.on('exit', resolve); });
    assert.deepEqual([(await failed).message, code], ['not caught', 1]);
    await assert.rejects(Device.open(dir, Key.generate()), named('WRONG_KEY'));
  }
});

function work(dir) {
  const worker = new Worker(new URL('worker.mjs', import.meta.url), { workerData: { dir, name: idFromName('shared') } });
  return new Promise((resolve, reject) => {
    let count = -1;
    worker.on('message', (message) => { count = message; });
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve(count) : reject(new Error(`ended with ${code}`))));
  });
}
