// Worker threads, each with a device of its own.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { idFromName } from '../src/index.js';
import { folder } from './helpers.mjs';

test('eight threads use eight devices at once', async (t) => {
  const dir = folder(t);
  const workers = Array.from({ length: 8 }, (_, index) => work(join(dir, String(index))));
  assert.deepEqual(await Promise.all(workers), Array(8).fill(60));
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
