/* Every place where a handle goes: NULL, every other type, closed, made up. None of them crashes, and outputs are blank. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

static struct handles all;
static struct heard heard;
static subrosa_public_key own;

/* Outputs. What each call writes is looked at after it has failed. */
static struct outputs {
  subrosa_secret secret;
  subrosa_buf buf, ids;
  subrosa_public_key public_key;
  uint8_t signature[64];
  subrosa_session *session;
  subrosa_device *device;
  subrosa_vault *vault;
  subrosa_collection *collection;
  subrosa_record *record;
  subrosa_tx *tx;
  subrosa_list *list;
  subrosa_sync *sync;
  subrosa_moment *moment;
  subrosa_pair_offer *offer;
  subrosa_pair_join *join;
  subrosa_id id;
  subrosa_vault_id vault_id;
  uint64_t u64, more_u64;
  size_t size;
  int32_t i32;
  int64_t i64;
  double f64;
  bool truth;
  const char *text;
  const uint8_t *data;
  subrosa_pair_code code;
  /* These start with their sizes. */
  subrosa_event event;
  subrosa_sync_status status;
  subrosa_verify_report verified;
  subrosa_space_report space;
  subrosa_device_info info;
  subrosa_fork_info forks;
  subrosa_held_info held;
  subrosa_sync_vault at_relay;
} o;

#define FOLDER all.join_dir, strlen(all.join_dir)
#define F SUBROSA_TEXT("b")
#define JSON SUBROSA_TEXT("{}")
#define BYTES (const uint8_t *)"x", 1
#define ID &all.store.id
#define C all.store.collection
#define LINK (const char *)all.link.data, all.link.len
#define ASYNC on_done, &heard, on_free

/* type of the handle, name of the place, where the result would go, the call with the handle h. N: no result. */
#define PLACES(X, N)                                                                                     \
  X(KEY, key_to_pkcs8, secret, subrosa_key_to_pkcs8(h, &o.secret, err))                                  \
  X(KEY, key_public, public_key, subrosa_key_public(h, &o.public_key, err))                              \
  X(KEY, key_sign, signature, subrosa_key_sign(h, BYTES, BYTES, o.signature, err))                       \
  X(KEY, session_self, session, subrosa_session_self(h, 1, BYTES, &o.session, err))                      \
  X(KEY, session_peer, session, subrosa_session_peer(h, &own, 1, BYTES, &o.session, err))                \
  X(KEY, device_create, device, subrosa_device_create(FOLDER, h, NULL, &o.device, err))                  \
  X(KEY, device_open, device, subrosa_device_open(FOLDER, h, NULL, &o.device, err))                      \
  X(KEY, pair_join_start, join, subrosa_pair_join_start(FOLDER, h, NULL, LINK, &o.join, err))            \
  X(SESSION, session_seal, buf, subrosa_session_seal(h, BYTES, BYTES, &o.buf, err))                      \
  X(SESSION, session_open, secret, subrosa_session_open(h, BYTES, BYTES, &o.secret, err))                \
  N(CANCEL, cancel_fire, subrosa_cancel_fire(h, err))                                                    \
  X(DEVICE, device_public_key, public_key, subrosa_device_public_key(h, &o.public_key, err))             \
  X(DEVICE, device_name, buf, subrosa_device_name(h, &o.buf, err))                                       \
  N(DEVICE, device_set_relay, subrosa_device_set_relay(h, SUBROSA_TEXT(NO_RELAY), err))                  \
  X(DEVICE, device_relay, secret, subrosa_device_relay(h, &o.secret, err))                               \
  N(DEVICE, suspend, subrosa_suspend(h, 1000, err))                                                      \
  N(DEVICE, resume, subrosa_resume(h, err))                                                              \
  N(DEVICE, network_changed, subrosa_network_changed(h, err))                                            \
  X(DEVICE, device_verify, verified, subrosa_device_verify(h, &o.verified, err))                         \
  N(DEVICE, device_compact, subrosa_device_compact(h, err))                                              \
  X(DEVICE, device_space, space, subrosa_device_space(h, &o.space, err))                                 \
  X(DEVICE, device_vaults, list, subrosa_device_vaults(h, &o.list, err))                                 \
  X(DEVICE, vault_create, vault, subrosa_vault_create(h, F, &o.vault, err))                              \
  X(DEVICE, vault_open, vault, subrosa_vault_open(h, SUBROSA_TEXT("personal"), &o.vault, err))           \
  X(DEVICE, vault_open_by_id, vault, subrosa_vault_open_by_id(h, &o.vault_id, &o.vault, err))            \
  X(DEVICE, sync_start, sync, subrosa_sync_start(h, SUBROSA_TEXT(NO_RELAY), &o.sync, err))               \
  X(DEVICE, pair_offer_start, offer, subrosa_pair_offer_start(h, SUBROSA_TEXT(NO_RELAY), &o.offer, err)) \
  N(DEVICE, device_close, subrosa_device_close(h, err))                                                  \
  X(LIST, list_text_view, text, subrosa_list_text_view(h, 0, &o.text, &o.size, err))                     \
  X(LIST, list_vault_id, vault_id, subrosa_list_vault_id(h, 0, &o.vault_id, err))                        \
  X(LIST, list_device, info, subrosa_list_device(h, 0, &o.info, err))                                    \
  X(LIST, list_forks, forks, subrosa_list_forks(h, 0, &o.forks, err))                                    \
  X(LIST, list_held, held, subrosa_list_held(h, 0, &o.held, err))                                        \
  X(LIST, list_sync_vault, at_relay, subrosa_list_sync_vault(h, 0, &o.at_relay, err))                    \
  X(VAULT, vault_id_of, vault_id, subrosa_vault_id_of(h, &o.vault_id, err))                              \
  X(VAULT, vault_name, buf, subrosa_vault_name(h, &o.buf, err))                                          \
  X(VAULT, vault_collections, list, subrosa_vault_collections(h, &o.list, err))                          \
  X(VAULT, vault_devices, list, subrosa_vault_devices(h, &o.list, err))                                  \
  X(VAULT, vault_forks, list, subrosa_vault_forks(h, &o.list, err))                                      \
  X(VAULT, vault_held, list, subrosa_vault_held(h, &o.list, &o.truth, err))                              \
  X(VAULT, vault_is_update_needed, truth, subrosa_vault_is_update_needed(h, &o.truth, err))              \
  X(VAULT, vault_pending, u64, subrosa_vault_pending(h, &o.u64, err))                                    \
  X(VAULT, vault_delivery, u64, subrosa_vault_delivery(h, SUBROSA_TEXT(NO_RELAY), &o.u64, &o.more_u64, err)) \
  X(VAULT, collection_open, collection, subrosa_collection_open(h, F, &o.collection, err))               \
  X(VAULT, tx_begin, tx, subrosa_tx_begin(h, SUBROSA_TX_READ, 0, &o.tx, err))                            \
  N(VAULT, events_add_vault_2, subrosa_events_add_vault(all.of[EVENTS], h, 9, err))                      \
  X(RECORD, record_to_json, buf, subrosa_record_to_json(h, &o.buf, err))                                 \
  N(RECORD, record_set_null, subrosa_record_set_null(h, F, err))                                         \
  N(RECORD, record_set_bool, subrosa_record_set_bool(h, F, true, err))                                   \
  N(RECORD, record_set_i64, subrosa_record_set_i64(h, F, 1, err))                                        \
  N(RECORD, record_set_f64, subrosa_record_set_f64(h, F, 1, err))                                        \
  N(RECORD, record_set_text, subrosa_record_set_text(h, F, F, err))                                      \
  N(RECORD, record_set_bytes, subrosa_record_set_bytes(h, F, BYTES, err))                                \
  N(RECORD, record_set_json, subrosa_record_set_json(h, F, JSON, err))                                   \
  X(RECORD, record_remove, truth, subrosa_record_remove(h, F, &o.truth, err))                            \
  X(RECORD, record_len, size, subrosa_record_len(h, &o.size, err))                                       \
  X(RECORD, record_field_view, text, subrosa_record_field_view(h, 0, &o.text, &o.size, &o.i32, err))     \
  X(RECORD, record_kind, i32, subrosa_record_kind(h, F, &o.i32, err))                                    \
  X(RECORD, record_get_bool, truth, subrosa_record_get_bool(h, F, &o.truth, err))                        \
  X(RECORD, record_get_i64, i64, subrosa_record_get_i64(h, F, &o.i64, err))                              \
  X(RECORD, record_get_f64, f64, subrosa_record_get_f64(h, F, &o.f64, err))                              \
  X(RECORD, record_get_text_view, text, subrosa_record_get_text_view(h, F, &o.text, &o.size, err))       \
  X(RECORD, record_get_bytes_view, data, subrosa_record_get_bytes_view(h, F, &o.data, &o.size, err))     \
  X(RECORD, record_get_json, buf, subrosa_record_get_json(h, F, &o.buf, err))                            \
  X(RECORD, insert_3, id, subrosa_insert(C, NULL, h, &o.id, err))                                        \
  N(RECORD, put_4, subrosa_put(C, NULL, ID, h, err))                                                     \
  N(RECORD, replace_4, subrosa_replace(C, NULL, ID, h, err))                                             \
  X(COLLECTION, insert, id, subrosa_insert(h, NULL, all.of[RECORD], &o.id, err))                         \
  N(COLLECTION, put, subrosa_put(h, NULL, ID, all.of[RECORD], err))                                      \
  N(COLLECTION, replace, subrosa_replace(h, NULL, ID, all.of[RECORD], err))                              \
  X(COLLECTION, get, record, subrosa_get(h, NULL, ID, &o.record, err))                                   \
  X(COLLECTION, insert_json, id, subrosa_insert_json(h, NULL, JSON, &o.id, err))                         \
  N(COLLECTION, put_json, subrosa_put_json(h, NULL, ID, JSON, err))                                      \
  N(COLLECTION, replace_json, subrosa_replace_json(h, NULL, ID, JSON, err))                              \
  X(COLLECTION, get_json, buf, subrosa_get_json(h, NULL, ID, &o.buf, &o.truth, err))                     \
  X(COLLECTION, delete, truth, subrosa_delete(h, NULL, ID, &o.truth, err))                               \
  X(COLLECTION, field_names, list, subrosa_field_names(h, NULL, ID, NULL, 0, 1, &o.list, err))           \
  X(COLLECTION, get_field, record, subrosa_get_field(h, NULL, ID, F, &o.record, err))                    \
  X(COLLECTION, get_field_json, buf, subrosa_get_field_json(h, NULL, ID, F, &o.buf, &o.truth, err))      \
  X(COLLECTION, delete_field, truth, subrosa_delete_field(h, NULL, ID, F, &o.truth, err))                \
  X(COLLECTION, count, u64, subrosa_count(h, NULL, &o.u64, err))                                         \
  X(COLLECTION, page, buf, subrosa_page(h, NULL, NULL, 1, 1, &o.buf, &o.truth, err))                     \
  X(COLLECTION, get_many, buf, subrosa_get_many(h, NULL, ID, 1, 1, &o.buf, err))                         \
  X(COLLECTION, write_many, ids, subrosa_write_many(h, NULL, NULL, 0, &o.ids, err))                      \
  N(COLLECTION, events_add_collection_2, subrosa_events_add_collection(all.of[EVENTS], h, 9, err))       \
  N(TX, tx_commit, subrosa_tx_commit(h, err))                                                            \
  N(EVENTS, events_add_vault, subrosa_events_add_vault(h, all.of[VAULT], 9, err))                        \
  N(EVENTS, events_add_collection, subrosa_events_add_collection(h, C, 9, err))                          \
  N(EVENTS, events_add_sync, subrosa_events_add_sync(h, all.of[SYNC], 9, err))                           \
  N(EVENTS, events_add_log, subrosa_events_add_log(h, SUBROSA_LOG_WARN, 9, err))                         \
  N(EVENTS, events_remove, subrosa_events_remove(h, 9, err))                                             \
  X(EVENTS, events_wait, event, subrosa_events_wait(h, 0, NULL, &o.event, err))                          \
  N(EVENTS, events_listen, subrosa_events_listen(h, on_event_ignored, &heard, on_free, err))             \
  N(EVENTS, events_unlisten, subrosa_events_unlisten(h, err))                                            \
  N(EVENTS, events_close, subrosa_events_close(h, err))                                                  \
  N(SYNC, events_add_sync_2, subrosa_events_add_sync(all.of[EVENTS], h, 9, err))                         \
  N(SYNC, sync_stop, subrosa_sync_stop(h, err))                                                          \
  X(SYNC, sync_status_of, status, subrosa_sync_status_of(h, &o.status, err))                             \
  X(SYNC, sync_reason, buf, subrosa_sync_reason(h, &o.buf, err))                                         \
  X(SYNC, sync_vaults, list, subrosa_sync_vaults(h, &o.list, err))                                       \
  X(SYNC, sync_moment, moment, subrosa_sync_moment(h, &o.moment, err))                                   \
  N(MOMENT, moment_wait, subrosa_moment_wait(h, 0, NULL, err))                                           \
  N(SYNC, sync_wait, subrosa_sync_wait(h, 0, NULL, err))                                                 \
  N(SYNC, sync_wait_async, subrosa_sync_wait_async(h, 0, NULL, ASYNC, err))                              \
  X(OFFER, pair_offer_link, secret, subrosa_pair_offer_link(h, &o.secret, err))                          \
  N(OFFER, pair_offer_wait, subrosa_pair_offer_wait(h, 0, NULL, err))                                    \
  N(OFFER, pair_offer_wait_async, subrosa_pair_offer_wait_async(h, 0, NULL, ASYNC, err))                 \
  X(OFFER, pair_offer_request, code, subrosa_pair_offer_request(h, &o.code, &o.buf, err))                \
  X(OFFER, pair_offer_confirm, info, subrosa_pair_offer_confirm(h, F, &o.info, err))                     \
  N(OFFER, pair_offer_confirm_async, subrosa_pair_offer_confirm_async(h, F, ASYNC, err))                 \
  N(OFFER, pair_offer_decline, subrosa_pair_offer_decline(h, err))                                       \
  X(JOIN, pair_join_wait_code, code, subrosa_pair_join_wait_code(h, 0, NULL, &o.code, err))              \
  N(JOIN, pair_join_wait_code_async, subrosa_pair_join_wait_code_async(h, 0, NULL, ASYNC, err))          \
  X(JOIN, pair_join_wait_device, device, subrosa_pair_join_wait_device(h, 0, NULL, &o.device, err))      \
  N(JOIN, pair_join_wait_device_async, subrosa_pair_join_wait_device_async(h, 0, NULL, ASYNC, err))      \
  X(JOIN, pair_join_code, code, subrosa_pair_join_code(h, &o.code, err))                                 \
  X(JOIN, pair_join_device, device, subrosa_pair_join_device(h, &o.device, err))

/* Where NULL means something. */
#define OPTIONAL_PLACES(X, N)                                                                            \
  X(TX, insert_tx, id, subrosa_insert(C, h, all.of[RECORD], &o.id, err))                                 \
  N(TX, put_tx, subrosa_put(C, h, ID, all.of[RECORD], err))                                              \
  N(TX, replace_tx, subrosa_replace(C, h, ID, all.of[RECORD], err))                                      \
  X(TX, get_tx, record, subrosa_get(C, h, ID, &o.record, err))                                           \
  X(TX, insert_json_tx, id, subrosa_insert_json(C, h, JSON, &o.id, err))                                 \
  N(TX, put_json_tx, subrosa_put_json(C, h, ID, JSON, err))                                              \
  N(TX, replace_json_tx, subrosa_replace_json(C, h, ID, JSON, err))                                      \
  X(TX, get_json_tx, buf, subrosa_get_json(C, h, ID, &o.buf, &o.truth, err))                             \
  X(TX, delete_tx, truth, subrosa_delete(C, h, ID, &o.truth, err))                                       \
  X(TX, field_names_tx, list, subrosa_field_names(C, h, ID, NULL, 0, 1, &o.list, err))                   \
  X(TX, get_field_tx, record, subrosa_get_field(C, h, ID, F, &o.record, err))                            \
  X(TX, get_field_json_tx, buf, subrosa_get_field_json(C, h, ID, F, &o.buf, &o.truth, err))              \
  X(TX, delete_field_tx, truth, subrosa_delete_field(C, h, ID, F, &o.truth, err))                        \
  X(TX, count_tx, u64, subrosa_count(C, h, &o.u64, err))                                                 \
  X(TX, page_tx, buf, subrosa_page(C, h, NULL, 1, 1, &o.buf, &o.truth, err))                             \
  X(TX, get_many_tx, buf, subrosa_get_many(C, h, ID, 1, 1, &o.buf, err))                                 \
  X(TX, write_many_tx, ids, subrosa_write_many(C, h, NULL, 0, &o.ids, err))                              \
  X(CANCEL, events_wait_3, event, subrosa_events_wait(all.of[EVENTS], 0, h, &o.event, err))              \
  N(CANCEL, sync_wait_3, subrosa_sync_wait(all.of[SYNC], 0, h, err))                                     \
  N(CANCEL, moment_wait_3, subrosa_moment_wait(all.of[MOMENT], 0, h, err))                               \
  N(CANCEL, sync_wait_async_3, subrosa_sync_wait_async(all.of[SYNC], 0, h, ASYNC, err))                  \
  N(CANCEL, pair_offer_wait_3, subrosa_pair_offer_wait(all.of[OFFER], 0, h, err))                        \
  N(CANCEL, pair_offer_wait_async_3, subrosa_pair_offer_wait_async(all.of[OFFER], 0, h, ASYNC, err))     \
  X(CANCEL, pair_join_wait_code_3, code, subrosa_pair_join_wait_code(all.of[JOIN], 0, h, &o.code, err))  \
  N(CANCEL, pair_join_wait_code_async_3, subrosa_pair_join_wait_code_async(all.of[JOIN], 0, h, ASYNC, err)) \
  X(CANCEL, pair_join_wait_device_3, device, subrosa_pair_join_wait_device(all.of[JOIN], 0, h, &o.device, err)) \
  N(CANCEL, pair_join_wait_device_async_3, subrosa_pair_join_wait_device_async(all.of[JOIN], 0, h, ASYNC, err))

#define CALL(type, name, out, call) \
  static int32_t call_##name(void *h, subrosa_error **err) { return call; }
#define CALL_NO_RESULT(type, name, call) CALL(type, name, none, call)
PLACES(CALL, CALL_NO_RESULT)
OPTIONAL_PLACES(CALL, CALL_NO_RESULT)

struct place {
  enum type type;
  const char *name;
  int32_t (*call)(void *h, subrosa_error **err);
  bool null_ok;
  size_t at, len;
};
#define ROW(type, name, out, call) {type, #name, call_##name, false, offsetof(struct outputs, out), sizeof o.out},
#define ROW_NO_RESULT(type, name, call) {type, #name, call_##name, false, 0, 0},
#define OPTIONAL_ROW(type, name, out, call) {type, #name, call_##name, true, offsetof(struct outputs, out), sizeof o.out},
#define OPTIONAL_ROW_NO_RESULT(type, name, call) {type, #name, call_##name, true, 0, 0},
static const struct place places[] = {PLACES(ROW, ROW_NO_RESULT) OPTIONAL_PLACES(OPTIONAL_ROW, OPTIONAL_ROW_NO_RESULT)};
#define PLACES_LEN (sizeof places / sizeof *places)

static void spoil_outputs(void) {
  memset(&o, 0xa5, sizeof o);
  o.event.struct_size = sizeof o.event;
  o.status.struct_size = sizeof o.status;
  o.verified.struct_size = sizeof o.verified;
  o.space.struct_size = sizeof o.space;
  o.info.struct_size = sizeof o.info;
  o.forks.struct_size = sizeof o.forks;
  o.held.struct_size = sizeof o.held;
  o.at_relay.struct_size = sizeof o.at_relay;
}

static bool is_blank(const struct place *place) {
  const uint8_t *bytes = (const uint8_t *)&o + place->at;
  const size_t head = place->at >= offsetof(struct outputs, event) ? sizeof(uint32_t) : 0;
  for (size_t i = head; i < place->len; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

/* Closing what is not open, or nothing, is fine; another type is not. */
static bool closes(const struct place *place) {
  static const char *const names[] = {"device_close", "events_close", "sync_stop"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(place->name, names[i]) == 0) return true;
  }
  return false;
}

/* With and without an error wanted; a completion is not called, and its user is freed. */
static void refuse(const struct place *place, void *handle, const char *what, int32_t expected) {
  if (closes(place) && expected != SUBROSA_WRONG_HANDLE) expected = SUBROSA_OK;
  for (int wanted = 0; wanted < 2; wanted++) {
    char text[128];
    subrosa_error *err = SENTINEL;
    int32_t got;
    const int freed = gate_count(heard.freed);
    snprintf(text, sizeof text, "%s with %s", place->name, what);
    spoil_outputs();
    got = place->call(handle, wanted ? &err : NULL);
    if (wanted) check_status(__FILE__, __LINE__, text, expected, got, err);
    else check(__FILE__, __LINE__, text, got == expected);
    check(__FILE__, __LINE__, text, is_blank(place));
    if (strstr(place->name, "async") != NULL || strstr(place->name, "listen") == place->name + strlen("events_")) {
      check(__FILE__, __LINE__, text, gate_count(heard.freed) == freed + 1 && gate_count(heard.done) == 0);
    }
  }
}

static void null_and_other_types(void) {
  for (size_t i = 0; i < PLACES_LEN; i++) {
    if (!places[i].null_ok) refuse(&places[i], NULL, "NULL", SUBROSA_INVALID_ARGUMENT);
    for (int type = 0; type < TYPES; type++) {
      if (type != (int)places[i].type) refuse(&places[i], all.of[type], type_names[type], SUBROSA_WRONG_HANDLE);
    }
  }
}

static void made_up(void) {
  int on_stack = 7;
  void *const values[] = {(void *)1, (void *)16, (void *)0xdeadbeef, (void *)UINTPTR_MAX, (void *)(UINTPTR_MAX - 15),
                          (void *)INTPTR_MAX, (void *)INTPTR_MIN, &on_stack, &all, all.store.dir};
  for (size_t i = 0; i < PLACES_LEN; i++) {
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) refuse(&places[i], values[v], "a made-up value", SUBROSA_INVALID_HANDLE);
    for (int bit = 0; bit < 64; bit += 7) {
      void *changed = (void *)((uintptr_t)all.of[places[i].type] ^ (uintptr_t)1 << bit);
      spoil_outputs();
      CHECK(places[i].call(changed, NULL) != SUBROSA_OK || closes(&places[i]));
      CHECK(is_blank(&places[i]));
    }
  }
}

/* Closes that return nothing, with what is no handle of theirs: they leave everything as it is. */
static void closes_of_others(void) {
  int on_stack = 7;
  for (int type = 0; type < TYPES; type++) {
    close_any(type, NULL);
    close_any(type, &on_stack);
    close_any(type, (void *)UINTPTR_MAX);
    for (int other = 0; other < TYPES; other++) {
      if (other != type) close_any(type, all.of[other]);
    }
  }
  subrosa_buf_free(NULL);
  subrosa_secret_free(NULL);
  subrosa_event_free(NULL);
}

/* All are alive still. */
static void everything_works(void) {
  bool found = false;
  subrosa_buf buf;
  uint64_t count = 0;
  spoil_outputs();
  GOOD(subrosa_key_public(all.of[KEY], &own, &err));
  GOOD(subrosa_session_seal(all.of[SESSION], NULL, 0, NULL, 0, &buf, &err));
  subrosa_buf_free(&buf);
  GOOD(subrosa_cancel_fire(all.of[CANCEL], &err));
  CHECK(subrosa_list_len(all.of[LIST]) == 1);
  GOOD(subrosa_vault_pending(all.of[VAULT], &count, &err));
  GOOD(subrosa_record_len(all.of[RECORD], &o.size, &err));
  CHECK(o.size == 2);
  GOOD(subrosa_get_json(C, all.of[TX], ID, &buf, &found, &err));
  CHECK(found);
  subrosa_buf_free(&buf);
  GOOD(subrosa_count(C, NULL, &count, &err));
  CHECK(count == 1);
  GOOD(subrosa_events_wait(all.of[EVENTS], 0, NULL, &o.event, &err));
  CHECK(o.event.kind == SUBROSA_EVENT_NONE);
  subrosa_event_free(&o.event);
  GOOD(subrosa_sync_status_of(all.of[SYNC], &o.status, &err));
  GOOD(subrosa_pair_offer_link(all.of[OFFER], &o.secret, &err));
  subrosa_secret_free(&o.secret);
  CHECK(subrosa_error_code(all.of[FAILURE]) == SUBROSA_KEY_ENCODING);
}

/* The functions of errors and lists that have no status. */
static void without_status(void) {
  void *const values[] = {NULL, (void *)1, (void *)UINTPTR_MAX, all.of[KEY], all.of[DEVICE]};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    CHECK(subrosa_error_code(values[i]) == 0);
    CHECK(strcmp(subrosa_error_message(values[i]), "") == 0);
    CHECK(subrosa_error_causes(values[i]) == 0);
    CHECK(strcmp(subrosa_error_cause(values[i], 0), "") == 0);
    CHECK(!subrosa_error_retryable(values[i]));
    CHECK(subrosa_error_number(values[i]) == 0);
    CHECK(subrosa_list_len(values[i]) == 0);
  }
  CHECK(strcmp(subrosa_error_cause(all.of[FAILURE], SIZE_MAX), "") == 0);
}

/* A stale handle of each type, also after others took its place, in every place. */
static void closed(void) {
  struct handles second;
  void *stale[TYPES];
  const struct store kept = all.store;
  open_handles(&second);
  memcpy(stale, second.of, sizeof stale);
  close_handles(&second);
  CHECK(memcmp(&kept, &all.store, sizeof kept) == 0);
  for (int type = 0; type < TYPES; type++) close_any(type, stale[type]);
  for (size_t i = 0; i < PLACES_LEN; i++) refuse(&places[i], stale[places[i].type], "a closed handle", SUBROSA_INVALID_HANDLE);
  for (int round = 0; round < 3000; round++) {
    subrosa_cancel *cancel = NULL;
    GOOD(subrosa_cancel_new(&cancel, &err));
    subrosa_cancel_close(cancel);
  }
  for (size_t i = 0; i < PLACES_LEN; i++) refuse(&places[i], stale[places[i].type], "an old handle", SUBROSA_INVALID_HANDLE);
  CHECK(subrosa_error_code(stale[FAILURE]) == 0);
  CHECK(subrosa_list_len(stale[LIST]) == 0);
}

int main(void) {
  heard_new(&heard);
  open_handles(&all);
  GOOD(subrosa_key_public(all.of[KEY], &own, &err));
  null_and_other_types();
  made_up();
  closes_of_others();
  without_status();
  closed();
  everything_works();
  close_handles(&all);
  CHECK(gate_count(heard.done) == 0);
  heard_free(&heard);
  return report("misuse_handles");
}
