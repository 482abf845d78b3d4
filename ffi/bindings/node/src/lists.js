// The library's result lists, read whole and closed.

import { C, DeviceInfo, textAt } from './native.js';
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
