/* Events, sync, pairing. Events are pulled: nothing of the VM runs on a thread of the engine for them. */
#include <stdlib.h>

#include "glue.h"

jlong jni_eventsNew(JNI_ARGS) {
  subrosa_events *events = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_events_new(&events, &err), &err) ? 0 : TOKEN(events);
}

void jni_eventsAddVault(JNI_ARGS, jlong events, jlong vault, jlong tag) {
  subrosa_error *err = NULL;
  failed(env, subrosa_events_add_vault(HANDLE(events, events), HANDLE(vault, vault), (uint64_t)tag, &err), &err);
}

void jni_eventsAddCollection(JNI_ARGS, jlong events, jlong collection, jlong tag) {
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_events_add_collection(HANDLE(events, events), HANDLE(collection, collection), (uint64_t)tag, &err);
  failed(env, status, &err);
}

void jni_eventsAddSync(JNI_ARGS, jlong events, jlong sync, jlong tag) {
  subrosa_error *err = NULL;
  failed(env, subrosa_events_add_sync(HANDLE(events, events), HANDLE(sync, sync), (uint64_t)tag, &err), &err);
}

void jni_eventsRemove(JNI_ARGS, jlong events, jlong tag) {
  subrosa_error *err = NULL;
  failed(env, subrosa_events_remove(HANDLE(events, events), (uint64_t)tag, &err), &err);
}

static uint8_t *pack(uint8_t *to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) *to++ = (uint8_t)(value >> (8 * i));
  return to;
}

enum { EVENT_HEAD = 4 + 4 + 8 + 8 + sizeof(subrosa_id) + sizeof(subrosa_vault_id) };

/* kind i32 | detail i32 | tag i64 | number i64 | record | vault | text */
static jbyteArray pack_event(JNIEnv *env, const subrosa_event *event) {
  uint8_t head[EVENT_HEAD];
  uint8_t *to = pack(head, (uint32_t)event->kind, 4);
  to = pack(to, (uint32_t)event->detail, 4);
  to = pack(to, event->tag, 8);
  to = pack(to, (uint64_t)event->number, 8);
  memcpy(to, event->record.bytes, sizeof event->record.bytes);
  memcpy(to + sizeof event->record.bytes, event->vault.bytes, sizeof event->vault.bytes);
  jsize text = (jsize)event->text.len;
  jbyteArray packed = (*env)->NewByteArray(env, EVENT_HEAD + text);
  if (packed == NULL) return NULL;
  (*env)->SetByteArrayRegion(env, packed, 0, EVENT_HEAD, (const jbyte *)head);
  if (text > 0) (*env)->SetByteArrayRegion(env, packed, EVENT_HEAD, text, (const jbyte *)event->text.data);
  return packed;
}

jbyteArray jni_eventsWait(JNI_ARGS, jlong events, jint timeout_ms, jlong cancel) {
  subrosa_event event = {.struct_size = sizeof event};
  subrosa_error *err = NULL;
  int32_t status = subrosa_events_wait(HANDLE(events, events), timeout_ms, HANDLE(cancel, cancel), &event, &err);
  if (failed(env, status, &err)) return NULL;
  jbyteArray packed = event.kind == SUBROSA_EVENT_NONE ? NULL : pack_event(env, &event);
  subrosa_event_free(&event);
  return packed;
}

void jni_eventsClose(JNI_ARGS, jlong events) {
  subrosa_error *err = NULL;
  failed(env, subrosa_events_close(HANDLE(events, events), &err), &err);
}

/* ---- sync ---- */

jlong jni_syncStart(JNI_ARGS, jlong device, jbyteArray relay) {
  in_bytes in;
  if (!in_take(env, relay, &in)) return 0;
  subrosa_sync *sync = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_sync_start(HANDLE(device, device), TEXT_OF(in), &sync, &err);
  in_drop_secret(&in);
  return failed(env, status, &err) ? 0 : TOKEN(sync);
}

void jni_syncStop(JNI_ARGS, jlong sync) {
  subrosa_error *err = NULL;
  failed(env, subrosa_sync_stop(HANDLE(sync, sync), &err), &err);
}

jlongArray jni_syncStatus(JNI_ARGS, jlong sync) {
  subrosa_sync_status out = {.struct_size = sizeof out};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_sync_status_of(HANDLE(sync, sync), &out, &err), &err)) return NULL;
  jlong values[] = {out.state, out.refused, out.failure, (jlong)out.segments_done, (jlong)out.segments_known,
                    (jlong)out.bytes_done, (jlong)out.bytes_known, out.clock_ahead_ms, (jlong)out.held_until_ms};
  return out_longs(env, values, sizeof values / sizeof *values);
}

jbyteArray jni_syncReason(JNI_ARGS, jlong sync) {
  subrosa_buf out = {0};
  subrosa_error *err = NULL;
  return failed(env, subrosa_sync_reason(HANDLE(sync, sync), &out, &err), &err) ? NULL : out_buf(env, &out);
}

jlong jni_syncVaults(JNI_ARGS, jlong sync) {
  subrosa_list *list = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_sync_vaults(HANDLE(sync, sync), &list, &err), &err) ? 0 : TOKEN(list);
}

void jni_syncWait(JNI_ARGS, jlong sync, jint idle_ms, jlong cancel) {
  subrosa_error *err = NULL;
  failed(env, subrosa_sync_wait(HANDLE(sync, sync), idle_ms, HANDLE(cancel, cancel), &err), &err);
}

/* ---- pairing: the old device ---- */

jlong jni_pairOfferStart(JNI_ARGS, jlong device, jbyteArray relay) {
  in_bytes in;
  if (!in_take(env, relay, &in)) return 0;
  subrosa_pair_offer *offer = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_pair_offer_start(HANDLE(device, device), TEXT_OF(in), &offer, &err);
  in_drop_secret(&in);
  return failed(env, status, &err) ? 0 : TOKEN(offer);
}

jbyteArray jni_pairOfferLink(JNI_ARGS, jlong offer) {
  subrosa_secret out = {0};
  subrosa_error *err = NULL;
  return failed(env, subrosa_pair_offer_link(HANDLE(pair_offer, offer), &out, &err), &err) ? NULL : out_secret(env, &out);
}

void jni_pairOfferWait(JNI_ARGS, jlong offer, jint timeout_ms, jlong cancel) {
  subrosa_error *err = NULL;
  failed(env, subrosa_pair_offer_wait(HANDLE(pair_offer, offer), timeout_ms, HANDLE(cancel, cancel), &err), &err);
}

enum { CODE_LEN = 6 };

/* the six digits | the name */
jbyteArray jni_pairOfferRequest(JNI_ARGS, jlong offer) {
  subrosa_pair_code code;
  subrosa_buf name = {0};
  subrosa_error *err = NULL;
  if (failed(env, subrosa_pair_offer_request(HANDLE(pair_offer, offer), &code, &name, &err), &err)) return NULL;
  jbyteArray packed = (*env)->NewByteArray(env, CODE_LEN + (jsize)name.len);
  if (packed != NULL) {
    (*env)->SetByteArrayRegion(env, packed, 0, CODE_LEN, (const jbyte *)code.text);
    if (name.len > 0) (*env)->SetByteArrayRegion(env, packed, CODE_LEN, (jsize)name.len, (const jbyte *)name.data);
  }
  subrosa_buf_free(&name);
  return packed;
}

jbyteArray jni_pairOfferConfirm(JNI_ARGS, jlong offer, jbyteArray typed) {
  in_bytes in;
  if (!in_take(env, typed, &in)) return NULL;
  subrosa_device_info info = {.struct_size = sizeof info};
  subrosa_error *err = NULL;
  /* NULL says that the codes are equal, and so an empty text must not become NULL. */
  const char *text = typed != NULL && in.len == 0 ? "" : (const char *)in.data;
  int32_t status = subrosa_pair_offer_confirm(HANDLE(pair_offer, offer), text, in.len, &info, &err);
  in_drop_secret(&in);
  return failed(env, status, &err) ? NULL : out_device_info(env, &info);
}

void jni_pairOfferDecline(JNI_ARGS, jlong offer) {
  subrosa_error *err = NULL;
  failed(env, subrosa_pair_offer_decline(HANDLE(pair_offer, offer), &err), &err);
}

void jni_pairOfferClose(JNI_ARGS, jlong offer) {
  (void)env;
  subrosa_pair_offer_close(HANDLE(pair_offer, offer));
}

/* ---- pairing: the new device ---- */

jlong jni_pairJoinStart(JNI_ARGS, jbyteArray dir, jlong key, jbyteArray name, jlong cache_bytes, jint write_wait_ms,
                        jbyteArray link) {
  in_bytes dir_in, name_in, link_in;
  if (!in_take(env, dir, &dir_in)) return 0;
  if (!in_take(env, name, &name_in)) {
    in_drop(&dir_in);
    return 0;
  }
  if (!in_take(env, link, &link_in)) {
    in_drop(&dir_in);
    in_drop(&name_in);
    return 0;
  }
  subrosa_device_options options = device_options(&name_in, cache_bytes, write_wait_ms);
  subrosa_pair_join *join = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_pair_join_start(TEXT_OF(dir_in), HANDLE(key, key), &options, TEXT_OF(link_in), &join, &err);
  in_drop(&dir_in);
  in_drop(&name_in);
  in_drop_secret(&link_in);
  return failed(env, status, &err) ? 0 : TOKEN(join);
}

jbyteArray jni_pairJoinWaitCode(JNI_ARGS, jlong join, jint timeout_ms, jlong cancel) {
  subrosa_pair_code code;
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_pair_join_wait_code(HANDLE(pair_join, join), timeout_ms, HANDLE(cancel, cancel), &code, &err);
  return failed(env, status, &err) ? NULL : out_bytes(env, code.text, CODE_LEN);
}

jlong jni_pairJoinWaitDevice(JNI_ARGS, jlong join, jint timeout_ms, jlong cancel) {
  subrosa_device *device = NULL;
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_pair_join_wait_device(HANDLE(pair_join, join), timeout_ms, HANDLE(cancel, cancel), &device, &err);
  return failed(env, status, &err) ? 0 : TOKEN(device);
}

jbyteArray jni_pairJoinCode(JNI_ARGS, jlong join) {
  subrosa_pair_code code;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_pair_join_code(HANDLE(pair_join, join), &code, &err), &err)) return NULL;
  return out_bytes(env, code.text, CODE_LEN);
}

jlong jni_pairJoinDevice(JNI_ARGS, jlong join) {
  subrosa_device *device = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_pair_join_device(HANDLE(pair_join, join), &device, &err), &err) ? 0 : TOKEN(device);
}

void jni_pairJoinClose(JNI_ARGS, jlong join) {
  (void)env;
  subrosa_pair_join_close(HANDLE(pair_join, join));
}
