/* NULL where there must be something, lengths that cannot be, text that is none, constants that do not exist. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

static struct handles all;
static struct heard heard;
static subrosa_public_key own, read_key;
static uint8_t signature[64], der[91];

/* Places for results. */
static subrosa_buf buf;
static subrosa_secret secret;
static subrosa_id id;
static subrosa_vault_id vault_id;
static subrosa_key *key;
static subrosa_session *session;
static subrosa_device *device;
static subrosa_vault *vault;
static subrosa_collection *collection;
static subrosa_record *record;
static subrosa_list *list;
static subrosa_tx *tx;
static subrosa_sync *sync_out;
static subrosa_pair_offer *offer;
static subrosa_pair_join *join;
static uint64_t number;
static size_t size;
static int32_t kind;
static int64_t integer;
static double floating;
static bool truth;
static const char *text;
static const uint8_t *data;

#define C all.store.collection
#define R all.of[RECORD]
#define V all.store.vault
#define D all.store.device
#define K all.store.key
#define S all.of[SESSION]
#define ID &all.store.id
#define X SUBROSA_TEXT("b")
#define BYTES (const uint8_t *)"x", 1
#define JSON SUBROSA_TEXT("{}")
#define ASYNC on_done, &heard, on_free
#define FOLDER all.join_dir, strlen(all.join_dir)
#define LINK (const char *)all.link.data, all.link.len
#define REFUSED(call) IS(SUBROSA_INVALID_ARGUMENT, call)

static void null_results(void) {
  REFUSED(subrosa_id_parse(SUBROSA_TEXT("00000000-0000-0000-0000-000000000000"), NULL, &err));
  REFUSED(subrosa_id_from_name(X, NULL, &err));
  REFUSED(subrosa_key_generate(NULL, &err));
  REFUSED(subrosa_key_to_pkcs8(K, NULL, &err));
  REFUSED(subrosa_key_public(K, NULL, &err));
  REFUSED(subrosa_key_sign(K, BYTES, BYTES, NULL, &err));
  REFUSED(subrosa_public_key_to_spki(&own, NULL, &err));
  REFUSED(subrosa_session_self(K, 1, BYTES, NULL, &err));
  REFUSED(subrosa_session_seal(S, BYTES, BYTES, NULL, &err));
  REFUSED(subrosa_cancel_new(NULL, &err));
  REFUSED(subrosa_device_public_key(D, NULL, &err));
  REFUSED(subrosa_device_name(D, NULL, &err));
  REFUSED(subrosa_device_relay(D, NULL, &err));
  REFUSED(subrosa_device_verify(D, NULL, &err));
  REFUSED(subrosa_device_space(D, NULL, &err));
  REFUSED(subrosa_device_vaults(D, NULL, &err));
  REFUSED(subrosa_list_text_view(all.of[LIST], 0, NULL, &size, &err));
  REFUSED(subrosa_list_text_view(all.of[LIST], 0, &text, NULL, &err));
  REFUSED(subrosa_list_vault_id(all.of[LIST], 0, NULL, &err));
  REFUSED(subrosa_list_device(all.of[LIST], 0, NULL, &err));
  REFUSED(subrosa_vault_open(D, SUBROSA_TEXT("personal"), NULL, &err));
  REFUSED(subrosa_vault_id_of(V, NULL, &err));
  REFUSED(subrosa_vault_name(V, NULL, &err));
  REFUSED(subrosa_vault_collections(V, NULL, &err));
  REFUSED(subrosa_vault_devices(V, NULL, &err));
  REFUSED(subrosa_vault_forks(V, NULL, &err));
  REFUSED(subrosa_vault_held(V, NULL, &truth, &err));
  REFUSED(subrosa_vault_is_update_needed(V, NULL, &err));
  REFUSED(subrosa_vault_pending(V, NULL, &err));
  REFUSED(subrosa_sync_vaults(all.of[SYNC], NULL, &err));
  REFUSED(subrosa_sync_moment(all.of[SYNC], NULL, &err));
  REFUSED(subrosa_list_forks(all.of[LIST], 0, NULL, &err));
  REFUSED(subrosa_list_held(all.of[LIST], 0, NULL, &err));
  REFUSED(subrosa_list_sync_vault(all.of[LIST], 0, NULL, &err));
  REFUSED(subrosa_record_new(NULL, &err));
  REFUSED(subrosa_record_from_json(JSON, NULL, &err));
  REFUSED(subrosa_record_to_json(R, NULL, &err));
  REFUSED(subrosa_record_remove(R, X, NULL, &err));
  REFUSED(subrosa_record_len(R, NULL, &err));
  REFUSED(subrosa_record_field_view(R, 0, NULL, &size, &kind, &err));
  REFUSED(subrosa_record_field_view(R, 0, &text, NULL, &kind, &err));
  REFUSED(subrosa_record_field_view(R, 0, &text, &size, NULL, &err));
  REFUSED(subrosa_record_kind(R, X, NULL, &err));
  REFUSED(subrosa_record_get_bool(R, X, NULL, &err));
  REFUSED(subrosa_record_get_i64(R, X, NULL, &err));
  REFUSED(subrosa_record_get_f64(R, X, NULL, &err));
  REFUSED(subrosa_record_get_text_view(R, X, NULL, &size, &err));
  REFUSED(subrosa_record_get_text_view(R, X, &text, NULL, &err));
  REFUSED(subrosa_record_get_bytes_view(R, X, NULL, &size, &err));
  REFUSED(subrosa_record_get_bytes_view(R, X, &data, NULL, &err));
  REFUSED(subrosa_record_get_json(R, X, NULL, &err));
  REFUSED(subrosa_collection_open(V, X, NULL, &err));
  REFUSED(subrosa_insert(C, NULL, R, NULL, &err));
  REFUSED(subrosa_get(C, NULL, ID, NULL, &err));
  REFUSED(subrosa_insert_json(C, NULL, JSON, NULL, &err));
  REFUSED(subrosa_get_json(C, NULL, ID, NULL, &truth, &err));
  REFUSED(subrosa_get_json(C, NULL, ID, &buf, NULL, &err));
  REFUSED(subrosa_delete(C, NULL, ID, NULL, &err));
  REFUSED(subrosa_field_names(C, NULL, ID, NULL, 0, 1, NULL, &err));
  REFUSED(subrosa_get_field(C, NULL, ID, X, NULL, &err));
  REFUSED(subrosa_get_field_json(C, NULL, ID, X, NULL, &truth, &err));
  REFUSED(subrosa_get_field_json(C, NULL, ID, X, &buf, NULL, &err));
  REFUSED(subrosa_delete_field(C, NULL, ID, X, NULL, &err));
  REFUSED(subrosa_count(C, NULL, NULL, &err));
  REFUSED(subrosa_page(C, NULL, NULL, 1, 1, NULL, &truth, &err));
  REFUSED(subrosa_page(C, NULL, NULL, 1, 1, &buf, NULL, &err));
  REFUSED(subrosa_get_many(C, NULL, ID, 1, 1, NULL, &err));
  REFUSED(subrosa_write_many(C, NULL, NULL, 0, NULL, &err));
  REFUSED(subrosa_tx_begin(V, SUBROSA_TX_READ, 0, NULL, &err));
  REFUSED(subrosa_events_new(NULL, &err));
  REFUSED(subrosa_events_wait(all.of[EVENTS], 0, NULL, NULL, &err));
  REFUSED(subrosa_sync_status_of(all.of[SYNC], NULL, &err));
  REFUSED(subrosa_sync_reason(all.of[SYNC], NULL, &err));
  REFUSED(subrosa_pair_offer_link(all.of[OFFER], NULL, &err));
}

/* Whether the other side has answered yet may be looked at first. */
static void null_results_of_pairing(void) {
  REFUSED(subrosa_pair_offer_link(all.of[OFFER], NULL, &err));
  REFUSED(subrosa_pair_join_wait_device(all.of[JOIN], 0, NULL, NULL, &err));
  REFUSED(subrosa_pair_join_code(all.of[JOIN], NULL, &err));
  REFUSED(subrosa_pair_join_device(all.of[JOIN], NULL, &err));
}

/* Results whose call must not have happened: nothing is made that nobody can reach. */
static void null_results_make_nothing(void) {
  uint64_t count = 0;
  char dir[512];
  snprintf(dir, sizeof dir, "%s/made", all.store.dir);
  REFUSED(subrosa_device_create(dir, strlen(dir), K, NULL, NULL, &err));
  IS(SUBROSA_STORE_MISSING, subrosa_device_open(dir, strlen(dir), K, NULL, &device, &err));
  REFUSED(subrosa_device_open(all.store.dir, strlen(all.store.dir), K, NULL, NULL, &err));
  REFUSED(subrosa_pair_join_start(dir, strlen(dir), K, NULL, LINK, NULL, &err));
  REFUSED(subrosa_vault_create(D, SUBROSA_TEXT("unreachable"), NULL, &err));
  IS(SUBROSA_NO_VAULT, subrosa_vault_open(D, SUBROSA_TEXT("unreachable"), &vault, &err));
  REFUSED(subrosa_sync_start(D, SUBROSA_TEXT(NO_RELAY), NULL, &err));
  REFUSED(subrosa_pair_offer_start(D, SUBROSA_TEXT(NO_RELAY), NULL, &err));
  GOOD(subrosa_count(C, NULL, &count, &err));
  CHECK(count == 1);
}

static void null_inputs(void) {
  const int freed = gate_count(heard.freed);
  REFUSED(subrosa_key_from_provider(NULL, &key, &err));
  REFUSED(subrosa_public_key_check(NULL, &err));
  REFUSED(subrosa_public_key_to_spki(NULL, der, &err));
  REFUSED(subrosa_public_key_verify(NULL, BYTES, BYTES, signature, &err));
  REFUSED(subrosa_public_key_verify(&own, BYTES, BYTES, NULL, &err));
  REFUSED(subrosa_session_peer(K, NULL, 1, BYTES, &session, &err));
  REFUSED(subrosa_vault_open_by_id(D, NULL, &vault, &err));
  REFUSED(subrosa_put(C, NULL, NULL, R, &err));
  REFUSED(subrosa_replace(C, NULL, NULL, R, &err));
  REFUSED(subrosa_get(C, NULL, NULL, &record, &err));
  REFUSED(subrosa_put_json(C, NULL, NULL, JSON, &err));
  REFUSED(subrosa_replace_json(C, NULL, NULL, JSON, &err));
  REFUSED(subrosa_get_json(C, NULL, NULL, &buf, &truth, &err));
  REFUSED(subrosa_delete(C, NULL, NULL, &truth, &err));
  REFUSED(subrosa_field_names(C, NULL, NULL, NULL, 0, 1, &list, &err));
  REFUSED(subrosa_field_names(C, NULL, ID, NULL, 0, 0, &list, &err));
  REFUSED(subrosa_field_names(C, NULL, ID, NULL, 0, SUBROSA_ROWS_MAX + 1, &list, &err));
  REFUSED(subrosa_get_field(C, NULL, NULL, X, &record, &err));
  REFUSED(subrosa_get_field_json(C, NULL, NULL, X, &buf, &truth, &err));
  REFUSED(subrosa_delete_field(C, NULL, NULL, X, &truth, &err));
  REFUSED(subrosa_get_many(C, NULL, NULL, 1, 1, &buf, &err));
  REFUSED(subrosa_events_listen(all.of[EVENTS], NULL, &heard, on_free, &err));
  REFUSED(subrosa_sync_wait_async(all.of[SYNC], 0, NULL, NULL, &heard, on_free, &err));
  REFUSED(subrosa_pair_offer_wait_async(all.of[OFFER], 0, NULL, NULL, &heard, on_free, &err));
  REFUSED(subrosa_pair_offer_confirm_async(all.of[OFFER], X, NULL, &heard, on_free, &err));
  REFUSED(subrosa_pair_join_wait_code_async(all.of[JOIN], 0, NULL, NULL, &heard, on_free, &err));
  REFUSED(subrosa_pair_join_wait_device_async(all.of[JOIN], 0, NULL, NULL, &heard, on_free, &err));
  CHECK(gate_count(heard.freed) == freed + 6);
  subrosa_id_text(NULL, (char *)signature);
  subrosa_id_text(ID, NULL);
}

/* ---- every text or data with its length: name, whether it is text, the call with p and n ---- */

#define P8 (const uint8_t *)p
#define INPUTS(T)                                                                                           \
  T(id_parse, 1, subrosa_id_parse(p, n, &id, err))                                                          \
  T(id_from_name, 1, subrosa_id_from_name(p, n, &id, err))                                                  \
  T(key_from_pkcs8, 0, subrosa_key_from_pkcs8(P8, n, &key, err))                                            \
  T(key_sign_label, 0, subrosa_key_sign(K, P8, n, BYTES, signature, err))                                   \
  T(key_sign, 0, subrosa_key_sign(K, BYTES, P8, n, signature, err))                                         \
  T(public_key_from_spki, 0, subrosa_public_key_from_spki(P8, n, &read_key, err))                                \
  T(public_key_verify_label, 0, subrosa_public_key_verify(&own, P8, n, BYTES, signature, err))              \
  T(public_key_verify, 0, subrosa_public_key_verify(&own, BYTES, P8, n, signature, err))                    \
  T(session_self, 0, subrosa_session_self(K, 1, P8, n, &session, err))                                      \
  T(session_peer, 0, subrosa_session_peer(K, &own, 1, P8, n, &session, err))                                \
  T(session_seal_aad, 0, subrosa_session_seal(S, P8, n, BYTES, &buf, err))                                  \
  T(session_seal, 0, subrosa_session_seal(S, BYTES, P8, n, &buf, err))                                      \
  T(session_open_aad, 0, subrosa_session_open(S, P8, n, BYTES, &secret, err))                               \
  T(session_open, 0, subrosa_session_open(S, BYTES, P8, n, &secret, err))                                   \
  T(device_create, 1, subrosa_device_create(p, n, K, NULL, &device, err))                                   \
  T(device_open, 1, subrosa_device_open(p, n, K, NULL, &device, err))                                       \
  T(device_set_relay, 1, subrosa_device_set_relay(D, p, n, err))                                            \
  T(vault_create, 1, subrosa_vault_create(D, p, n, &vault, err))                                            \
  T(vault_open, 1, subrosa_vault_open(D, p, n, &vault, err))                                                \
  T(vault_delivery, 1, subrosa_vault_delivery(V, p, n, &number, &number, err))                              \
  T(record_from_json, 1, subrosa_record_from_json(p, n, &record, err))                                      \
  T(record_set_null, 1, subrosa_record_set_null(R, p, n, err))                                              \
  T(record_set_bool, 1, subrosa_record_set_bool(R, p, n, true, err))                                        \
  T(record_set_i64, 1, subrosa_record_set_i64(R, p, n, 1, err))                                             \
  T(record_set_f64, 1, subrosa_record_set_f64(R, p, n, 1, err))                                             \
  T(record_set_text_field, 1, subrosa_record_set_text(R, p, n, X, err))                                     \
  T(record_set_text, 1, subrosa_record_set_text(R, X, p, n, err))                                           \
  T(record_set_bytes_field, 1, subrosa_record_set_bytes(R, p, n, BYTES, err))                               \
  T(record_set_bytes, 0, subrosa_record_set_bytes(R, X, P8, n, err))                                        \
  T(record_set_json_field, 1, subrosa_record_set_json(R, p, n, JSON, err))                                  \
  T(record_set_json, 1, subrosa_record_set_json(R, X, p, n, err))                                           \
  T(record_remove, 1, subrosa_record_remove(R, p, n, &truth, err))                                          \
  T(record_kind, 1, subrosa_record_kind(R, p, n, &kind, err))                                               \
  T(record_get_bool, 1, subrosa_record_get_bool(R, p, n, &truth, err))                                      \
  T(record_get_i64, 1, subrosa_record_get_i64(R, p, n, &integer, err))                                      \
  T(record_get_f64, 1, subrosa_record_get_f64(R, p, n, &floating, err))                                     \
  T(record_get_text_view, 1, subrosa_record_get_text_view(R, p, n, &text, &size, err))                      \
  T(record_get_bytes_view, 1, subrosa_record_get_bytes_view(R, p, n, &data, &size, err))                    \
  T(record_get_json, 1, subrosa_record_get_json(R, p, n, &buf, err))                                        \
  T(collection_open, 1, subrosa_collection_open(V, p, n, &collection, err))                                 \
  T(insert_json, 1, subrosa_insert_json(C, NULL, p, n, &id, err))                                           \
  T(put_json, 1, subrosa_put_json(C, NULL, ID, p, n, err))                                                  \
  T(replace_json, 1, subrosa_replace_json(C, NULL, ID, p, n, err))                                          \
  T(field_names, 1, subrosa_field_names(C, NULL, ID, p, n, 1, &list, err))                                  \
  T(get_field, 1, subrosa_get_field(C, NULL, ID, p, n, &record, err))                                       \
  T(get_field_json, 1, subrosa_get_field_json(C, NULL, ID, p, n, &buf, &truth, err))                        \
  T(delete_field, 1, subrosa_delete_field(C, NULL, ID, p, n, &truth, err))                                  \
  T(write_many, 0, subrosa_write_many(C, NULL, P8, n, &buf, err))                                           \
  T(sync_start, 1, subrosa_sync_start(D, p, n, &sync_out, err))                                             \
  T(pair_offer_start, 1, subrosa_pair_offer_start(D, p, n, &offer, err))                                    \
  T(pair_offer_confirm, 1, subrosa_pair_offer_confirm(all.of[OFFER], p, n, NULL, err))                      \
  T(pair_offer_confirm_async, 1, subrosa_pair_offer_confirm_async(all.of[OFFER], p, n, ASYNC, err))         \
  T(pair_join_start, 1, subrosa_pair_join_start(p, n, K, NULL, LINK, &join, err))                           \
  T(pair_join_start_link, 1, subrosa_pair_join_start(FOLDER, K, NULL, p, n, &join, err))

#define CALL(name, is_text, call) \
  static int32_t call_##name(const char *p, size_t n, subrosa_error **err) { return call; }
INPUTS(CALL)
struct input {
  const char *name;
  bool is_text;
  int32_t (*call)(const char *p, size_t n, subrosa_error **err);
};
#define ROW(name, is_text, call) {#name, is_text, call_##name},
static const struct input inputs[] = {INPUTS(ROW)};

static void refuse(const struct input *input, const char *p, size_t n, int32_t expected) {
  subrosa_error *err = SENTINEL;
  const int32_t got = input->call(p, n, &err);
  char what[128];
  snprintf(what, sizeof what, "%s with %zu bytes", input->name, n);
  check_status(__FILE__, __LINE__, what, expected, got, err);
  CHECK(input->call(p, n, NULL) == expected);
}

static void bad_inputs(void) {
  static const char *const not_utf8[] = {"\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "{\"a\":\"\xe2\x82\"}", "a\x80"};
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
    refuse(&inputs[i], NULL, 1, SUBROSA_INVALID_ARGUMENT);
    refuse(&inputs[i], NULL, SIZE_MAX, SUBROSA_INVALID_ARGUMENT);
    refuse(&inputs[i], "x", SIZE_MAX, SUBROSA_INVALID_ARGUMENT);
    refuse(&inputs[i], "x", (size_t)PTRDIFF_MAX + 1, SUBROSA_INVALID_ARGUMENT);
    refuse(&inputs[i], "x", PTRDIFF_MAX, SUBROSA_TOO_LARGE);
    refuse(&inputs[i], "x", (size_t)1 << 32, SUBROSA_TOO_LARGE);
    for (size_t bad = 0; inputs[i].is_text && bad < sizeof not_utf8 / sizeof *not_utf8; bad++) {
      refuse(&inputs[i], not_utf8[bad], strlen(not_utf8[bad]), SUBROSA_INVALID_UTF8);
    }
  }
  CHECK(gate_count(heard.done) == 0);
}

static void counts_and_indexes(void) {
  const size_t huge[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX / 16 + 1, (size_t)1 << 32, SUBROSA_ROWS_MAX + 1};
  size_t offset = 0;
  subrosa_row row;
  for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
    subrosa_error *err = NULL;
    const int32_t got = subrosa_get_many(C, NULL, ID, huge[i], 1, &buf, &err);
    CHECK(got == SUBROSA_TOO_LARGE || got == SUBROSA_INVALID_ARGUMENT);
    subrosa_error_free(err);
    REFUSED(subrosa_page(C, NULL, NULL, huge[i], 1, &buf, &truth, &err));
    REFUSED(subrosa_list_text_view(all.of[LIST], huge[i], &text, &size, &err));
    REFUSED(subrosa_list_device(all.of[LIST], huge[i], &(subrosa_device_info){.struct_size = sizeof(subrosa_device_info)}, &err));
    REFUSED(subrosa_record_field_view(R, huge[i], &text, &size, &kind, &err));
  }
  REFUSED(subrosa_page(C, NULL, NULL, 0, 1, &buf, &truth, &err));
  /* A list of devices. */
  REFUSED(subrosa_list_vault_id(all.of[LIST], 0, &vault_id, &err));
  REFUSED(subrosa_list_forks(all.of[LIST], 0, &(subrosa_fork_info){.struct_size = sizeof(subrosa_fork_info)}, &err));
  REFUSED(subrosa_list_held(all.of[LIST], 0, &(subrosa_held_info){.struct_size = sizeof(subrosa_held_info)}, &err));
  REFUSED(subrosa_list_sync_vault(all.of[LIST], 0, &(subrosa_sync_vault){.struct_size = sizeof(subrosa_sync_vault)}, &err));
  CHECK(!subrosa_rows_next(NULL, 0, &offset, &row));
  CHECK(!subrosa_rows_next(NULL, 24, &offset, &row));
  CHECK(!subrosa_rows_next((const uint8_t *)"", 0, NULL, &row));
  CHECK(!subrosa_rows_next((const uint8_t *)"", 0, &offset, NULL));
  offset = SIZE_MAX;
  CHECK(!subrosa_rows_next((const uint8_t *)"xxxx", 4, &offset, &row));
}

static void constants(void) {
  const int32_t none[] = {-1, 0, 3, 99, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    REFUSED(subrosa_session_self(K, none[i], NULL, 0, &session, &err));
    REFUSED(subrosa_tx_begin(V, none[i], 0, &tx, &err));
    REFUSED(subrosa_page(C, NULL, NULL, 1, none[i], &buf, &truth, &err));
    REFUSED(subrosa_get_many(C, NULL, ID, 1, none[i], &buf, &err));
    CHECK(strcmp(subrosa_status_name(-1 - i), "UNKNOWN") == 0);
  }
  REFUSED(subrosa_log_set(-1, NULL, NULL, NULL, &err));
  REFUSED(subrosa_log_set(6, NULL, NULL, NULL, &err));
  REFUSED(subrosa_events_add_log(all.of[EVENTS], SUBROSA_LOG_OFF, 0, &err));
  REFUSED(subrosa_events_add_log(all.of[EVENTS], 6, 0, &err));
  CHECK(subrosa_abi_version() == SUBROSA_ABI_VERSION);
  CHECK(*subrosa_version() != '\0');
  CHECK(strcmp(subrosa_status_name(SUBROSA_WRONG_KEY), "WRONG_KEY") == 0);
}

/* Names and folders that text can be, and these cannot. */
static void odd_text(void) {
  char long_name[300];
  memset(long_name, 'n', sizeof long_name);
  IS(SUBROSA_COLLECTION_NAME, subrosa_collection_open(V, "", 0, &collection, &err));
  IS(SUBROSA_COLLECTION_NAME, subrosa_collection_open(V, long_name, sizeof long_name, &collection, &err));
  IS(SUBROSA_VAULT_NAME, subrosa_vault_create(D, long_name, sizeof long_name, &vault, &err));
  REFUSED(subrosa_device_create("", 0, K, NULL, &device, &err));
  REFUSED(subrosa_device_create(SUBROSA_TEXT("a\0b"), K, NULL, &device, &err));
  IS(SUBROSA_RELAY_ADDRESS, subrosa_device_set_relay(D, SUBROSA_TEXT("http://example"), &err));
  IS(SUBROSA_PAIR_LINK, subrosa_pair_join_start(FOLDER, K, NULL, SUBROSA_TEXT("no link"), &join, &err));
  /* No device has answered: there is nothing to confirm, whatever was typed, and the offer stands. */
  IS(SUBROSA_NOT_READY, subrosa_pair_offer_confirm(all.of[OFFER], NULL, 0, NULL, &err));
  IS(SUBROSA_NOT_READY, subrosa_pair_offer_confirm(all.of[OFFER], "", 0, NULL, &err));
  IS(SUBROSA_NOT_READY, subrosa_pair_offer_confirm(all.of[OFFER], SUBROSA_TEXT("000000"), NULL, &err));
  IS(SUBROSA_NOT_AN_ID, subrosa_id_parse(SUBROSA_TEXT("no id"), &id, &err));
  IS(SUBROSA_NOT_FINITE, subrosa_record_set_f64(R, X, strtod("inf", NULL), &err));
  IS(SUBROSA_NOT_FINITE, subrosa_record_set_f64(R, X, strtod("nan", NULL), &err));
  IS(SUBROSA_NO_FIELD, subrosa_record_get_i64(R, SUBROSA_TEXT("none"), &integer, &err));
  IS(SUBROSA_WRONG_KIND, subrosa_record_get_i64(R, X, &integer, &err));
}

int main(void) {
  heard_new(&heard);
  open_handles(&all);
  GOOD(subrosa_key_public(all.store.key, &own, &err));
  null_results();
  null_results_of_pairing();
  null_results_make_nothing();
  null_inputs();
  bad_inputs();
  counts_and_indexes();
  constants();
  odd_text();
  close_handles(&all);
  heard_free(&heard);
  return report("misuse_arguments");
}
