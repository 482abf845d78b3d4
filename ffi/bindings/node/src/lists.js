// The library's result lists, read whole and closed.

import { C, DeviceInfo, ForkInfo, HeldInfo, SyncVault, textAt } from './native.js';
import { hex } from './bytes.js';
import { check, withBlock } from './errors.js';
import { PublicKey } from './keys.js';

const ROLES = ['unknown', 'admin', 'writer', 'reader'];

/** `read(list, index, block)` of each entry. */
export function readList(list, read) {
  try {
    const length = C.list_len(list);
    return withBlock((block) => Array.from({ length }, (_, index) => read(list, index, block)));
  } finally {
    C.list_close(list);
  }
}

/** The name of an entry. */
export function listText(list, index, block) {
  check(C.list_text_view(list, index, block.out, block.out2, block.err), block);
  return textAt(block.handle, block.number2);
}

/** A device of a vault, from a `subrosa_device_info`. */
export function deviceInfo(info, name) {
  return {
    name, role: ROLES[info.role] ?? 'unknown', isThis: info.is_this !== 0, publicKey: new PublicKey(info.public_key),
    addedBy: info.has_added_by !== 0 ? new PublicKey(info.added_by) : null,
  };
}

export function readDevices(list) {
  return readList(list, (_, index, block) => {
    const name = listText(list, index, block);
    check(C.list_device(list, index, block.putStruct(DeviceInfo), block.err), block);
    return deviceInfo(block.takeStruct(DeviceInfo), name);
  });
}

/** Who is not listed has no name. */
function nameOf(list, index, block) { return listText(list, index, block) || null; }

export function readForks(list) {
  return readList(list, (_, index, block) => {
    const name = nameOf(list, index, block);
    check(C.list_forks(list, index, block.putStruct(ForkInfo), block.err), block);
    const info = block.takeStruct(ForkInfo);
    return {
      name, isThis: info.is_this !== 0, publicKey: new PublicKey(info.public_key), logs: Number(info.logs),
      futures: Number(info.futures),
    };
  });
}

export function readHeld(list) {
  return readList(list, (_, index, block) => {
    const name = nameOf(list, index, block);
    check(C.list_held(list, index, block.putStruct(HeldInfo), block.err), block);
    return heldOfDevice(block.takeStruct(HeldInfo), name);
  });
}

/** What is held of a device, from a `subrosa_held_info`. */
export function heldOfDevice(info, name) {
  return {
    name, publicKey: new PublicKey(info.public_key), groups: Number(info.groups), untilMs: Number(info.until_ms),
  };
}

export function readSyncVaults(list) {
  return readList(list, (_, index, block) => {
    const rests = listText(list, index, block) || null;
    check(C.list_sync_vault(list, index, block.putStruct(SyncVault), block.err), block);
    return vaultAtRelay(block.takeStruct(SyncVault), rests);
  });
}

/** What is the matter with a vault, from a `subrosa_sync_vault`. */
export function vaultAtRelay(info, rests) {
  return {
    vault: hex(info.vault), refused: info.refused, rests, disagrees: info.disagrees !== 0, disputed: info.disputed !== 0,
    updateNeeded: info.update_needed !== 0,
  };
}
