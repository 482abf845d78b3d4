/* Structs that are larger or smaller than the library's, and bits that it does not know. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

static struct heard heard;

/* A later version's struct. */
struct larger_options {
  subrosa_device_options known;
  uint64_t later[4];
};
struct larger_provider {
  subrosa_key_provider known;
  uint64_t later[4];
};

static int32_t agree(void *user, const subrosa_public_key *peer, uint8_t *shared_x) {
  (void)user, (void)peer, (void)shared_x;
  return 41;
}

static int32_t sign(void *user, const uint8_t *message, size_t len, uint8_t *signature) {
  (void)user, (void)message, (void)len, (void)signature;
  return 42;
}

static void device_options(void) {
  struct store store;
  char dir[256];
  char path[512];
  subrosa_device *device = NULL;
  struct larger_options options;
  const uint32_t first_size = offsetof(subrosa_device_options, write_wait_ms);
  const uint32_t too_small[] = {0, 1, 4, 8, first_size - 1};
  open_store(&store);
  new_folder(dir);
  snprintf(path, sizeof path, "%s/store", dir);
  for (size_t i = 0; i < sizeof too_small / sizeof *too_small; i++) {
    memset(&options, 0, sizeof options);
    options.known.struct_size = too_small[i];
    IS(SUBROSA_INVALID_ARGUMENT, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
    CHECK(device == NULL);
  }
  memset(&options, 0, sizeof options);
  options.known.struct_size = UINT32_MAX;
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  options.known.struct_size = sizeof options;
  options.later[3] = (uint64_t)1 << 56;
  IS(SUBROSA_UNKNOWN_OPTION, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  options.later[3] = 0;
  for (int bit = 0; bit < 32; bit++) {
    options.known.flags = (uint32_t)1 << bit;
    IS(SUBROSA_UNKNOWN_OPTION, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
    IS(SUBROSA_UNKNOWN_OPTION, subrosa_device_open(store.dir, strlen(store.dir), store.key, &options.known, &device, &err));
  }
  options.known.flags = 0;
  options.known.device_name = NULL;
  options.known.device_name_len = 1;
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  options.known.device_name = "\xff";
  IS(SUBROSA_INVALID_UTF8, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  options.known.device_name_len = SIZE_MAX;
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  /* Names that no list of devices could show. */
  options.known.device_name = "two\nlines";
  options.known.device_name_len = 9;
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  options.known.reserved = 1;
  options.known.device_name_len = 3;
  IS(SUBROSA_UNKNOWN_OPTION, subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  options.known.reserved = 0;
  /* Nothing of that has made a store; a larger struct of zeros is a later version's default. */
  options.known.device_name = "later";
  options.known.device_name_len = 5;
  GOOD(subrosa_device_create(path, strlen(path), store.key, &options.known, &device, &err));
  GOOD(subrosa_device_close(device, &err));
  /* And a smaller one an earlier version's: what lies behind it is not looked at. */
  options.known.struct_size = first_size;
  options.known.write_wait_ms = UINT32_MAX;
  options.known.reserved = UINT32_MAX;
  GOOD(subrosa_device_open(path, strlen(path), store.key, &options.known, &device, &err));
  GOOD(subrosa_device_close(device, &err));
  remove_folder(dir);
  close_store(&store);
}

static void refuse_provider(struct larger_provider *provider, int32_t status) {
  subrosa_key *key = (subrosa_key *)16;
  const int freed = gate_count(heard.freed);
  IS(status, subrosa_key_from_provider(&provider->known, &key, &err));
  CHECK(key == NULL);
  CHECK(gate_count(heard.freed) == freed + 1);
}

static void providers(void) {
  subrosa_key *own = NULL, *hosted = NULL;
  subrosa_secret secret;
  subrosa_session *session = NULL;
  struct larger_provider provider;
  uint8_t signature[64];
  int freed;
  GOOD(subrosa_key_generate(&own, &err));
  memset(&provider, 0, sizeof provider);
  provider.known.struct_size = sizeof provider;
  provider.known.user = &heard;
  provider.known.user_free = on_free;
  provider.known.agree = agree;
  refuse_provider(&provider, SUBROSA_KEY_ENCODING); /* a public key of zeros */
  GOOD(subrosa_key_public(own, &provider.known.public_key, &err));
  refuse_provider(&provider, SUBROSA_INVALID_ARGUMENT); /* no sign */
  provider.known.sign = sign;
  provider.known.agree = NULL;
  refuse_provider(&provider, SUBROSA_INVALID_ARGUMENT);
  provider.known.agree = agree;
  provider.later[0] = 1;
  refuse_provider(&provider, SUBROSA_UNKNOWN_OPTION);
  provider.later[0] = 0;
  for (int bit = 0; bit < 32; bit++) {
    provider.known.flags = (uint32_t)1 << bit;
    refuse_provider(&provider, SUBROSA_UNKNOWN_OPTION);
  }
  provider.known.flags = 0;
  provider.known.struct_size = sizeof provider.known - 1;
  refuse_provider(&provider, SUBROSA_INVALID_ARGUMENT);
  /* A struct that is too small to have it hands nothing over. */
  freed = gate_count(heard.freed);
  provider.known.struct_size = 0;
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_key_from_provider(&provider.known, &hosted, &err));
  CHECK(hosted == NULL && gate_count(heard.freed) == freed);
  provider.known.struct_size = sizeof provider;
  provider.known.public_key.bytes[64] ^= 1;
  refuse_provider(&provider, SUBROSA_NOT_ON_CURVE);
  provider.known.public_key.bytes[64] ^= 1;
  freed = gate_count(heard.freed);
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_key_from_provider(&provider.known, NULL, &err));
  CHECK(gate_count(heard.freed) == ++freed);

  /* One that works as a handle, and whose callbacks fail with their own codes. */
  GOOD(subrosa_key_from_provider(&provider.known, &hosted, &err));
  IS(SUBROSA_KEY_NOT_EXPORTABLE, subrosa_key_to_pkcs8(hosted, &secret, &err));
  IS(SUBROSA_KEY_PROVIDER, subrosa_key_sign(hosted, NULL, 0, NULL, 0, signature, &err));
  {
    subrosa_error *err = NULL;
    CHECK(subrosa_session_self(hosted, SUBROSA_PROFILE_SUBROSA_1, NULL, 0, &session, &err) == SUBROSA_KEY_PROVIDER);
    CHECK(subrosa_error_number(err) == 41);
    subrosa_error_free(err);
  }
  CHECK(gate_count(heard.freed) == freed);
  subrosa_key_close(hosted);
  subrosa_key_close(hosted);
  CHECK(gate_count(heard.freed) == freed + 1);
  subrosa_key_close(own);
}

/* A key that answers and agrees on nothing: a store under it would open for everybody. */
static int32_t agree_on_nothing(void *user, const subrosa_public_key *peer, uint8_t *shared_x) {
  (void)user, (void)peer, (void)shared_x;
  return 0;
}

static int32_t agree_on_anything(void *user, const subrosa_public_key *peer, uint8_t *shared_x) {
  (void)user, (void)peer;
  memset(shared_x, 7, 32);
  return 0;
}

static void broken_providers(void) {
  subrosa_key *own = NULL, *hosted = NULL;
  subrosa_device *device = NULL;
  subrosa_session *session = NULL;
  subrosa_key_provider provider = {.struct_size = sizeof provider, .agree = agree_on_nothing, .sign = sign};
  char dir[256], path[512];
  new_folder(dir);
  snprintf(path, sizeof path, "%s/store", dir);
  GOOD(subrosa_key_generate(&own, &err));
  GOOD(subrosa_key_public(own, &provider.public_key, &err));
  GOOD(subrosa_key_from_provider(&provider, &hosted, &err));
  IS(SUBROSA_KEY_PROVIDER, subrosa_session_self(hosted, SUBROSA_PROFILE_SUBROSA_1, NULL, 0, &session, &err));
  IS(SUBROSA_KEY_PROVIDER, subrosa_device_create(path, strlen(path), hosted, NULL, &device, &err));
  subrosa_key_close(hosted);
  provider.agree = agree_on_anything;
  GOOD(subrosa_key_from_provider(&provider, &hosted, &err));
  IS(SUBROSA_KEY_PROVIDER, subrosa_device_create(path, strlen(path), hosted, NULL, &device, &err));
  subrosa_key_close(hosted);
  IS(SUBROSA_STORE_MISSING, subrosa_device_open(path, strlen(path), own, NULL, &device, &err));
  subrosa_key_close(own);
  remove_folder(dir);
}

/* Reports of a later version: what it has and we have not is zero. */
#define LARGER(type) struct { type known; uint8_t later[32]; }
#define IS_LARGER(report, call)                                                                     \
  do {                                                                                              \
    memset(&(report), 0xa5, sizeof(report));                                                        \
    (report).known.struct_size = sizeof(report);                                                    \
    GOOD(call);                                                                                     \
    for (size_t i = 0; i < sizeof(report).later; i++) CHECK((report).later[i] == 0);                \
  } while (0)

static void larger_reports(void) {
  struct store store;
  LARGER(subrosa_verify_report) verified;
  LARGER(subrosa_device_info) info;
  LARGER(subrosa_sync_status) status;
  LARGER(subrosa_event) event;
  subrosa_list *list = NULL;
  subrosa_sync *sync = NULL;
  subrosa_events *events = NULL;
  open_store(&store);
  IS_LARGER(verified, subrosa_device_verify(store.device, &verified.known, &err));
  CHECK(verified.known.vaults == 1 && verified.known.bad_segments == 0);
  GOOD(subrosa_vault_devices(store.vault, &list, &err));
  IS_LARGER(info, subrosa_list_device(list, 0, &info.known, &err));
  CHECK(info.known.is_this == 1);
  subrosa_list_close(list);
  GOOD(subrosa_sync_start(store.device, SUBROSA_TEXT(NO_RELAY), &sync, &err));
  IS_LARGER(status, subrosa_sync_status_of(sync, &status.known, &err));
  CHECK(status.known.state >= SUBROSA_SYNC_OFFLINE && status.known.state <= SUBROSA_SYNC_SUSPENDED);
  GOOD(subrosa_sync_stop(sync, &err));
  GOOD(subrosa_events_new(&events, &err));
  IS_LARGER(event, subrosa_events_wait(events, 0, NULL, &event.known, &err));
  CHECK(event.known.kind == SUBROSA_EVENT_NONE);
  GOOD(subrosa_events_close(events, &err));
  close_store(&store);
}

/* A program that was built when the struct was shorter: what it does not have is not written. */
static void earlier_status(void) {
  union {
    subrosa_sync_status status;
    uint8_t bytes[sizeof(subrosa_sync_status)];
  } report;
  struct store store;
  subrosa_sync *sync = NULL;
  const size_t first = offsetof(subrosa_sync_status, clock_ahead_ms);
  open_store(&store);
  GOOD(subrosa_sync_start(store.device, SUBROSA_TEXT(NO_RELAY), &sync, &err));
  memset(&report, 0xa5, sizeof report);
  report.status.struct_size = (uint32_t)first;
  GOOD(subrosa_sync_status_of(sync, &report.status, &err));
  CHECK(first == 48 && report.status.bytes_known == 0);
  for (size_t i = first; i < sizeof report; i++) CHECK(report.bytes[i] == 0xa5);
  report.status.struct_size = (uint32_t)first - 1;
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_sync_status_of(sync, &report.status, &err));
  GOOD(subrosa_sync_stop(sync, &err));
  close_store(&store);
}

/* Reports: what the library writes stays within what the caller has. */
static void reports(void) {
  struct store store;
  struct { subrosa_space_report known; uint8_t later[32]; } space;
  subrosa_verify_report verified = {.struct_size = 8};
  subrosa_list *list = NULL;
  subrosa_device_info info = {.struct_size = sizeof info + 4097};
  subrosa_events *events = NULL;
  subrosa_event event = {.struct_size = 4};
  open_store(&store);
  memset(&space, 0xa5, sizeof space);
  space.known.struct_size = sizeof space.known;
  GOOD(subrosa_device_space(store.device, &space.known, &err));
  CHECK(space.known.struct_size == sizeof space.known && space.known.file_bytes > 0);
  for (size_t i = 0; i < sizeof space.later; i++) CHECK(space.later[i] == 0xa5);
  space.known.struct_size = sizeof space;
  GOOD(subrosa_device_space(store.device, &space.known, &err));
  for (size_t i = 0; i < sizeof space.later; i++) CHECK(space.later[i] == 0);
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_device_verify(store.device, &verified, &err));
  GOOD(subrosa_vault_devices(store.vault, &list, &err));
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_list_device(list, 0, &info, &err));
  subrosa_list_close(list);
  GOOD(subrosa_events_new(&events, &err));
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_events_wait(events, 0, NULL, &event, &err));
  GOOD(subrosa_events_close(events, &err));
  close_store(&store);
}

int main(void) {
  heard_new(&heard);
  device_options();
  providers();
  broken_providers();
  larger_reports();
  earlier_status();
  reports();
  heard_free(&heard);
  return report("misuse_options");
}
