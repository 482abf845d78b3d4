// Not run: `tsc --strict --noEmit` checks that the declarations allow what they should, and refuse the rest.

import {
  Device, Float, Key, PublicKey, Session, SubrosaError, abiVersion, decode, encode, idFromName, logs, version,
  type Change, type Collection, type Events, type Fields, type HeldGroups, type Operation, type SyncEvent,
} from '../index.js';

interface Note { title: string; done: boolean; rank?: number }

export async function use(dir: string): Promise<void> {
  using key: Key = Key.generate();
  await using device = await Device.create(dir, key, { name: 'laptop', signal: AbortSignal.timeout(1000) });
  const notes: Collection<Note> = device.createVault('personal').collection<Note>('notes', { floats: 'wrap' });
  const id: string = notes.insert({ title: 'Call Anna', done: false });
  notes.put(id, { done: true });
  const note: Note | undefined = notes.get(id);
  const title: string = note?.title ?? '';
  for (const [each, { done }] of notes) { const pair: [string, boolean] = [each, done]; void pair; }
  const ids: string[] = await notes.writeManyAsync([{ op: 'insert', record: { title, done: true } }, { op: 'delete', id }]);
  const sum: number = notes.vault.write((tx) => { notes.delete(id, { tx }); return 5; });
  // @ts-expect-error the transaction would be over before the function is
  notes.vault.write(async (tx) => { await notes.deleteAsync(id, { tx }); });
  const nothing: void = notes.vault.read((tx) => { notes.count({ tx }); });
  const counts: [number, Note | undefined, (Note | undefined)[]] =
    [await notes.countAsync(), await notes.getAsync(id), await notes.getManyAsync([id])];
  const dead: number = (await device.space({ signal: AbortSignal.timeout(1) })).deadBytes;
  const text: string = await notes.vault.writeAsync(async (tx) => notes.insertAsync({ title, done: false }, { tx }));
  const operation: Operation = { op: 'put', id, record: { any: [1n, new Float(1), new Uint8Array(1), null, new Date()] } };
  const free: Collection = notes.vault.collection('any');
  free.insert({ a: 1, b: undefined, c: { d: ['x'] } } satisfies Fields);

  for await (const change of notes.watch({ signal: AbortSignal.timeout(1) })) {
    if (change.kind === 'inserted') { const changed: string = change.id; void changed; }
    // @ts-expect-error a lagged event has no id
    if (change.kind === 'lagged') void change.id;
  }
  for await (const entry of logs({ level: 'warn' })) if (entry.kind === 'message') { const line: string = entry.message; void line; }
  const events: Events<SyncEvent> = device.sync('subrosa://').events();
  const held: HeldGroups = notes.vault.held();
  const told: [string | null, number, string | null, boolean] =
    [notes.vault.forks()[0].name, held.devices[0].untilMs, device.sync().vaults()[0].rests, notes.vault.isUpdateNeeded];
  void told;
  const change: Change | undefined = notes.watch().poll();
  const result = await events.next();
  if (!result.done && result.value.kind === 'refused') { const code: number = result.value.code; void code; }

  // @ts-expect-error a field of another type
  notes.insert({ title: 5, done: false });
  // @ts-expect-error a put has an id
  notes.put({ title: 'x' });
  // @ts-expect-error an unknown operation
  const wrong: Operation = { op: 'upsert', id, record: {} };
  // @ts-expect-error not to be made by hand
  void new Key();

  const session = Session.peer(key, new PublicKey(key.public.bytes), { profile: 'subrosa/1', context: 'c' });
  const sealed: Uint8Array = session.seal('x');
  try {
    session.open(sealed);
  } catch (error) {
    if (error instanceof SubrosaError) { const facts: [number, string, boolean, number] = [error.code, error.name, error.retryable, error.number]; void facts; }
  }
  void [ids, sum, nothing, counts, dead, text, operation, change, wrong, version() + idFromName('x') + encode(1), abiVersion(), decode('1')];
}
