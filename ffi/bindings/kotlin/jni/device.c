/* Devices, vaults, lists. */
#include "glue.h"

typedef int32_t (*start_fn)(const char *, size_t, subrosa_key *, const subrosa_device_options *, subrosa_device **,
                            subrosa_error **);

subrosa_device_options device_options(const in_bytes *name, jlong cache_bytes, jint write_wait_ms) {
  return (subrosa_device_options){.struct_size = sizeof(subrosa_device_options),
                                  .cache_bytes = (uint64_t)cache_bytes,
                                  .device_name = (const char *)name->data,
                                  .device_name_len = name->len,
                                  .write_wait_ms = (uint32_t)write_wait_ms};
}

static jlong start(JNIEnv *env, start_fn fn, jbyteArray dir, jlong key, jbyteArray name, jlong cache_bytes,
                   jint write_wait_ms) {
  in_bytes dir_in, name_in;
  if (!in_take(env, dir, &dir_in)) return 0;
  if (!in_take(env, name, &name_in)) {
    in_drop(&dir_in);
    return 0;
  }
  subrosa_device_options options = device_options(&name_in, cache_bytes, write_wait_ms);
  subrosa_device *device = NULL;
  subrosa_error *err = NULL;
  int32_t status = fn(TEXT_OF(dir_in), HANDLE(key, key), &options, &device, &err);
  in_drop(&dir_in);
  in_drop(&name_in);
  return failed(env, status, &err) ? 0 : TOKEN(device);
}

jlong jni_deviceCreate(JNI_ARGS, jbyteArray dir, jlong key, jbyteArray name, jlong cache_bytes, jint write_wait_ms) {
  return start(env, subrosa_device_create, dir, key, name, cache_bytes, write_wait_ms);
}

jlong jni_deviceOpen(JNI_ARGS, jbyteArray dir, jlong key, jbyteArray name, jlong cache_bytes, jint write_wait_ms) {
  return start(env, subrosa_device_open, dir, key, name, cache_bytes, write_wait_ms);
}

void jni_deviceClose(JNI_ARGS, jlong device) {
  subrosa_error *err = NULL;
  failed(env, subrosa_device_close(HANDLE(device, device), &err), &err);
}

jbyteArray jni_devicePublicKey(JNI_ARGS, jlong device) {
  subrosa_public_key out;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_device_public_key(HANDLE(device, device), &out, &err), &err)) return NULL;
  return out_bytes(env, out.bytes, sizeof out.bytes);
}

jbyteArray jni_deviceName(JNI_ARGS, jlong device) {
  subrosa_buf out = {0};
  subrosa_error *err = NULL;
  return failed(env, subrosa_device_name(HANDLE(device, device), &out, &err), &err) ? NULL : out_buf(env, &out);
}

void jni_deviceSetRelay(JNI_ARGS, jlong device, jbyteArray url) {
  in_bytes in;
  if (!in_take(env, url, &in)) return;
  subrosa_error *err = NULL;
  int32_t status = subrosa_device_set_relay(HANDLE(device, device), TEXT_OF(in), &err);
  in_drop_secret(&in); /* it may hold an invite */
  failed(env, status, &err);
}

jbyteArray jni_deviceRelay(JNI_ARGS, jlong device) {
  subrosa_secret out = {0}; /* it may hold an invite */
  subrosa_error *err = NULL;
  return failed(env, subrosa_device_relay(HANDLE(device, device), &out, &err), &err) ? NULL : out_secret(env, &out);
}

void jni_deviceSuspend(JNI_ARGS, jlong device, jint deadline_ms) {
  subrosa_error *err = NULL;
  failed(env, subrosa_suspend(HANDLE(device, device), deadline_ms, &err), &err);
}

void jni_deviceResume(JNI_ARGS, jlong device) {
  subrosa_error *err = NULL;
  failed(env, subrosa_resume(HANDLE(device, device), &err), &err);
}

void jni_deviceNetworkChanged(JNI_ARGS, jlong device) {
  subrosa_error *err = NULL;
  failed(env, subrosa_network_changed(HANDLE(device, device), &err), &err);
}

jlongArray jni_deviceVerify(JNI_ARGS, jlong device) {
  subrosa_verify_report out = {.struct_size = sizeof out};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_device_verify(HANDLE(device, device), &out, &err), &err)) return NULL;
  jlong values[] = {(jlong)out.repaired, (jlong)out.vaults, (jlong)out.logs, (jlong)out.segments, (jlong)out.bad_segments,
                    (jlong)out.uncertified_logs, (jlong)out.quarantined};
  return out_longs(env, values, 7);
}

void jni_deviceCompact(JNI_ARGS, jlong device) {
  subrosa_error *err = NULL;
  failed(env, subrosa_device_compact(HANDLE(device, device), &err), &err);
}

jlongArray jni_deviceSpace(JNI_ARGS, jlong device) {
  subrosa_space_report out = {.struct_size = sizeof out};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_device_space(HANDLE(device, device), &out, &err), &err)) return NULL;
  jlong values[] = {(jlong)out.file_bytes, (jlong)out.live_bytes, (jlong)out.dead_bytes};
  return out_longs(env, values, 3);
}

jlong jni_deviceVaults(JNI_ARGS, jlong device) {
  subrosa_list *list = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_device_vaults(HANDLE(device, device), &list, &err), &err) ? 0 : TOKEN(list);
}

/* ---- lists ---- */

jint jni_listLen(JNI_ARGS, jlong list) {
  (void)env;
  size_t len = subrosa_list_len(HANDLE(list, list));
  return len > INT32_MAX ? INT32_MAX : (jint)len;
}

jbyteArray jni_listText(JNI_ARGS, jlong list, jint index) {
  const char *text = NULL;
  size_t len = 0;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_list_text_view(HANDLE(list, list), (size_t)index, &text, &len, &err), &err)) return NULL;
  return out_bytes(env, text, len);
}

jbyteArray jni_listVaultId(JNI_ARGS, jlong list, jint index) {
  subrosa_vault_id id;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_list_vault_id(HANDLE(list, list), (size_t)index, &id, &err), &err)) return NULL;
  return out_bytes(env, id.bytes, sizeof id.bytes);
}

jbyteArray jni_listDevice(JNI_ARGS, jlong list, jint index) {
  subrosa_device_info info = {.struct_size = sizeof info};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_list_device(HANDLE(list, list), (size_t)index, &info, &err), &err)) return NULL;
  return out_device_info(env, &info);
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t len) {
  memcpy(at, bytes, len);
  return at + len;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) *at++ = (uint8_t)(value >> shift);
  return at;
}

jbyteArray jni_listForks(JNI_ARGS, jlong list, jint index) {
  subrosa_fork_info info = {.struct_size = sizeof info};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_list_forks(HANDLE(list, list), (size_t)index, &info, &err), &err)) return NULL;
  uint8_t packed[1 + sizeof info.public_key.bytes + 16], *at = packed;
  *at++ = info.is_this != 0;
  at = put_bytes(at, info.public_key.bytes, sizeof info.public_key.bytes);
  put_u64(put_u64(at, info.logs), info.futures);
  return out_bytes(env, packed, sizeof packed);
}

jbyteArray jni_listHeld(JNI_ARGS, jlong list, jint index) {
  subrosa_held_info info = {.struct_size = sizeof info};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_list_held(HANDLE(list, list), (size_t)index, &info, &err), &err)) return NULL;
  uint8_t packed[sizeof info.public_key.bytes + 16];
  put_u64(put_u64(put_bytes(packed, info.public_key.bytes, sizeof info.public_key.bytes), info.groups), info.until_ms);
  return out_bytes(env, packed, sizeof packed);
}

jbyteArray jni_listSyncVault(JNI_ARGS, jlong list, jint index) {
  subrosa_sync_vault info = {.struct_size = sizeof info};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_list_sync_vault(HANDLE(list, list), (size_t)index, &info, &err), &err)) return NULL;
  uint8_t packed[sizeof info.vault.bytes + 3 + 8], *at = put_bytes(packed, info.vault.bytes, sizeof info.vault.bytes);
  *at++ = info.disagrees != 0;
  *at++ = info.disputed != 0;
  *at++ = info.update_needed != 0;
  put_u64(at, (uint64_t)info.refused);
  return out_bytes(env, packed, sizeof packed);
}

void jni_listClose(JNI_ARGS, jlong list) {
  (void)env;
  subrosa_list_close(HANDLE(list, list));
}

/* ---- vaults ---- */

jlong jni_vaultCreate(JNI_ARGS, jlong device, jbyteArray name) {
  in_bytes in;
  if (!in_take(env, name, &in)) return 0;
  subrosa_vault *vault = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_vault_create(HANDLE(device, device), TEXT_OF(in), &vault, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(vault);
}

jlong jni_vaultOpen(JNI_ARGS, jlong device, jbyteArray name) {
  in_bytes in;
  if (!in_take(env, name, &in)) return 0;
  subrosa_vault *vault = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_vault_open(HANDLE(device, device), TEXT_OF(in), &vault, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(vault);
}

jlong jni_vaultOpenById(JNI_ARGS, jlong device, jbyteArray id) {
  subrosa_vault_id id_in;
  subrosa_vault *vault = NULL;
  subrosa_error *err = NULL;
  if (!in_fixed(env, id, id_in.bytes, sizeof id_in.bytes)) return 0;
  return failed(env, subrosa_vault_open_by_id(HANDLE(device, device), &id_in, &vault, &err), &err) ? 0 : TOKEN(vault);
}

void jni_vaultClose(JNI_ARGS, jlong vault) {
  (void)env;
  subrosa_vault_close(HANDLE(vault, vault));
}

jbyteArray jni_vaultId(JNI_ARGS, jlong vault) {
  subrosa_vault_id id;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_vault_id_of(HANDLE(vault, vault), &id, &err), &err)) return NULL;
  return out_bytes(env, id.bytes, sizeof id.bytes);
}

jbyteArray jni_vaultName(JNI_ARGS, jlong vault) {
  subrosa_buf out = {0};
  subrosa_error *err = NULL;
  return failed(env, subrosa_vault_name(HANDLE(vault, vault), &out, &err), &err) ? NULL : out_buf(env, &out);
}

jlong jni_vaultCollections(JNI_ARGS, jlong vault) {
  subrosa_list *list = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_vault_collections(HANDLE(vault, vault), &list, &err), &err) ? 0 : TOKEN(list);
}

jlong jni_vaultDevices(JNI_ARGS, jlong vault) {
  subrosa_list *list = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_vault_devices(HANDLE(vault, vault), &list, &err), &err) ? 0 : TOKEN(list);
}

jlong jni_vaultForks(JNI_ARGS, jlong vault) {
  subrosa_list *list = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_vault_forks(HANDLE(vault, vault), &list, &err), &err) ? 0 : TOKEN(list);
}

jlong jni_vaultHeld(JNI_ARGS, jlong vault, jbooleanArray clock_is_late) {
  subrosa_list *list = NULL;
  bool late = false;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_vault_held(HANDLE(vault, vault), &list, &late, &err), &err)) return 0;
  const jboolean out = late ? JNI_TRUE : JNI_FALSE;
  (*env)->SetBooleanArrayRegion(env, clock_is_late, 0, 1, &out);
  return TOKEN(list);
}

jboolean jni_vaultIsUpdateNeeded(JNI_ARGS, jlong vault) {
  bool needed = false;
  subrosa_error *err = NULL;
  return !failed(env, subrosa_vault_is_update_needed(HANDLE(vault, vault), &needed, &err), &err) && needed ? JNI_TRUE : JNI_FALSE;
}

jlong jni_vaultPending(JNI_ARGS, jlong vault) {
  uint64_t pending = 0;
  subrosa_error *err = NULL;
  return failed(env, subrosa_vault_pending(HANDLE(vault, vault), &pending, &err), &err) ? 0 : (jlong)pending;
}

jlongArray jni_vaultDelivery(JNI_ARGS, jlong vault, jbyteArray relay) {
  in_bytes in;
  if (!in_take(env, relay, &in)) return NULL;
  uint64_t held = 0, acknowledged = 0;
  subrosa_error *err = NULL;
  int32_t status = subrosa_vault_delivery(HANDLE(vault, vault), TEXT_OF(in), &held, &acknowledged, &err);
  in_drop_secret(&in);
  if (failed(env, status, &err)) return NULL;
  jlong values[] = {(jlong)held, (jlong)acknowledged};
  return out_longs(env, values, 2);
}
