#define _XOPEN_SOURCE 700
#include "misuse.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* More say no more. */
#define SHOWN_MAX 40
static atomic_int failures, checks;

static bool failed(bool good) {
  checks++;
  return !good && failures++ < SHOWN_MAX;
}

void forget_failures(void) { failures = 0; }

void check(const char *file, int line, const char *what, bool good) {
  if (failed(good)) fprintf(stderr, "%s:%d: %s\n", file, line, what);
}

void check_status(const char *file, int line, const char *call, int32_t expected, int32_t got, subrosa_error *err) {
  if (failed(got == expected)) {
    fprintf(stderr, "%s:%d: %s: expected %s, got %s (%s)\n", file, line, call, subrosa_status_name(expected),
            subrosa_status_name(got), err == SENTINEL ? "no error was written" : subrosa_error_message(err));
  }
  if (err == SENTINEL) {
    check(file, line, "err was written", false);
    return;
  }
  check(file, line, "err is NULL just when the call succeeded", (err == NULL) == (got == SUBROSA_OK));
  check(file, line, "the error has the code of the status", subrosa_error_code(err) == got);
  check(file, line, "an error says something", err == NULL || *subrosa_error_message(err) != '\0');
  subrosa_error_free(err);
}

int report(const char *program) {
  if (failures > 0) fprintf(stderr, "%s: %d of %d checks failed\n", program, (int)failures, (int)checks);
  return failures > 0 || checks == 0;
}

/* ---- stores ---- */

void new_folder(char out[256]) {
  const char *base = getenv("TMPDIR");
  snprintf(out, 256, "%s/subrosa-misuse-XXXXXX", base == NULL ? P_tmpdir : base);
  if (mkdtemp(out) == NULL) {
    perror("mkdtemp");
    exit(2);
  }
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where) {
  (void)info, (void)type, (void)where;
  return remove(path);
}

void remove_folder(const char *dir) { nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS); }

static void enter_store(struct store *store) {
  GOOD(subrosa_collection_open(store->vault, SUBROSA_TEXT("notes"), &store->collection, &err));
}

void open_store(struct store *out) {
  memset(out, 0, sizeof *out);
  new_folder(out->dir);
  GOOD(subrosa_key_generate(&out->key, &err));
  GOOD(subrosa_device_create(out->dir, strlen(out->dir), out->key, NULL, &out->device, &err));
  GOOD(subrosa_vault_create(out->device, SUBROSA_TEXT("personal"), &out->vault, &err));
  enter_store(out);
  GOOD(subrosa_insert_json(out->collection, NULL, SUBROSA_TEXT("{\"kept\":true}"), &out->id, &err));
}

void reopen_store(struct store *store) {
  subrosa_vault_close(store->vault);
  subrosa_collection_close(store->collection);
  GOOD(subrosa_device_open(store->dir, strlen(store->dir), store->key, NULL, &store->device, &err));
  GOOD(subrosa_vault_open(store->device, SUBROSA_TEXT("personal"), &store->vault, &err));
  enter_store(store);
}

void close_store(struct store *store) {
  subrosa_verify_report whole = {.struct_size = sizeof whole};
  subrosa_buf json;
  bool found = false;
  GOOD(subrosa_device_verify(store->device, &whole, &err));
  CHECK(whole.bad_segments == 0 && whole.uncertified_logs == 0);
  GOOD(subrosa_get_json(store->collection, NULL, &store->id, &json, &found, &err));
  CHECK(found && json.len == strlen("{\"kept\":true}") && memcmp(json.data, "{\"kept\":true}", json.len) == 0);
  subrosa_buf_free(&json);
  subrosa_collection_close(store->collection);
  subrosa_vault_close(store->vault);
  GOOD(subrosa_device_close(store->device, &err));
  subrosa_key_close(store->key);
  remove_folder(store->dir);
}

const char *test_relay(void) {
  const char *url = getenv("SUBROSA_TEST_RELAY");
  if (url == NULL) {
    fprintf(stderr, "run this with ffi/scenario/with-relay\n");
    exit(2);
  }
  return url;
}

/* ---- threads ---- */

struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int count;
};

struct gate *gate_new(void) {
  struct gate *gate = calloc(1, sizeof *gate);
  if (gate == NULL) abort();
  pthread_mutex_init(&gate->lock, NULL);
  pthread_cond_init(&gate->changed, NULL);
  return gate;
}

void gate_open(struct gate *gate) {
  pthread_mutex_lock(&gate->lock);
  gate->count++;
  pthread_cond_broadcast(&gate->changed);
  pthread_mutex_unlock(&gate->lock);
}

void gate_wait(struct gate *gate, int times) {
  struct timespec end;
  int late = 0;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 60;
  pthread_mutex_lock(&gate->lock);
  while (gate->count < times && late == 0) late = pthread_cond_timedwait(&gate->changed, &gate->lock, &end);
  pthread_mutex_unlock(&gate->lock);
  CHECK(late == 0);
}

int gate_count(struct gate *gate) {
  int count;
  pthread_mutex_lock(&gate->lock);
  count = gate->count;
  pthread_mutex_unlock(&gate->lock);
  return count;
}

void gate_free(struct gate *gate) {
  /* Whoever opened it last may still hold the lock; nobody touches it after that. pthread_mutex_destroy would look at what
     the unlock has just written, which helgrind takes for a race; with glibc there is nothing to destroy. */
  pthread_mutex_lock(&gate->lock);
  pthread_mutex_unlock(&gate->lock);
  free(gate);
}

void heard_new(struct heard *out) {
  out->done = gate_new();
  out->freed = gate_new();
  out->status = -1;
}

void heard_free(struct heard *heard) {
  gate_free(heard->done);
  gate_free(heard->freed);
}

void on_done(void *user, int32_t status, subrosa_error *error) {
  struct heard *heard = user;
  CHECK((error == NULL) == (status == SUBROSA_OK));
  CHECK(subrosa_error_code(error) == status);
  subrosa_error_free(error);
  heard->status = status;
  gate_open(heard->done);
}

void on_free(void *user) { gate_open(((struct heard *)user)->freed); }

void on_event_ignored(void *user, const subrosa_event *event) { (void)user, (void)event; }

/* ---- one of each type ---- */

const char *const type_names[TYPES] = {"key",        "session", "cancel", "device", "list",  "vault", "record",
                                       "collection", "tx",      "events", "sync",   "moment", "offer", "join", "error"};

void open_handles(struct handles *out) {
  const uint8_t context[] = {1};
  const char *relay = test_relay();
  memset(out, 0, sizeof *out);
  open_store(&out->store);
  out->of[KEY] = out->store.key;
  out->of[DEVICE] = out->store.device;
  out->of[VAULT] = out->store.vault;
  out->of[COLLECTION] = out->store.collection;
  GOOD(subrosa_session_self(out->store.key, SUBROSA_PROFILE_SUBROSA_1, context, 1, (subrosa_session **)&out->of[SESSION], &err));
  GOOD(subrosa_cancel_new((subrosa_cancel **)&out->of[CANCEL], &err));
  GOOD(subrosa_vault_devices(out->store.vault, (subrosa_list **)&out->of[LIST], &err));
  GOOD(subrosa_record_from_json(SUBROSA_TEXT("{\"b\":true,\"t\":\"x\"}"), (subrosa_record **)&out->of[RECORD], &err));
  GOOD(subrosa_tx_begin(out->store.vault, SUBROSA_TX_READ, 0, (subrosa_tx **)&out->of[TX], &err));
  GOOD(subrosa_events_new((subrosa_events **)&out->of[EVENTS], &err));
  GOOD(subrosa_sync_start(out->store.device, relay, strlen(relay), (subrosa_sync **)&out->of[SYNC], &err));
  GOOD(subrosa_sync_moment(out->of[SYNC], (subrosa_moment **)&out->of[MOMENT], &err));
  GOOD(subrosa_pair_offer_start(out->store.device, relay, strlen(relay), (subrosa_pair_offer **)&out->of[OFFER], &err));
  GOOD(subrosa_pair_offer_link(out->of[OFFER], &out->link, &err));
  new_folder(out->join_dir);
  strcat(out->join_dir, "/store");
  GOOD(subrosa_pair_join_start(out->join_dir, strlen(out->join_dir), out->store.key, NULL, (const char *)out->link.data,
                               out->link.len, (subrosa_pair_join **)&out->of[JOIN], &err));
  CHECK(subrosa_key_from_pkcs8((const uint8_t *)"", 0, &(subrosa_key *){NULL}, (subrosa_error **)&out->of[FAILURE]) != SUBROSA_OK);
}

void close_any(enum type type, void *handle) {
  switch (type) {
    case KEY: subrosa_key_close(handle); break;
    case SESSION: subrosa_session_close(handle); break;
    case CANCEL: subrosa_cancel_close(handle); break;
    case DEVICE: subrosa_device_close(handle, NULL); break;
    case LIST: subrosa_list_close(handle); break;
    case VAULT: subrosa_vault_close(handle); break;
    case RECORD: subrosa_record_close(handle); break;
    case COLLECTION: subrosa_collection_close(handle); break;
    case TX: subrosa_tx_abort(handle); break;
    case EVENTS: subrosa_events_close(handle, NULL); break;
    case SYNC: subrosa_sync_stop(handle, NULL); break;
    case MOMENT: subrosa_moment_close(handle); break;
    case OFFER: subrosa_pair_offer_close(handle); break;
    case JOIN: subrosa_pair_join_close(handle); break;
    case FAILURE: subrosa_error_free(handle); break;
    case TYPES: break;
  }
}

void close_handles(struct handles *handles) {
  static const enum type order[] = {JOIN, OFFER, MOMENT, SYNC, EVENTS, TX, RECORD, LIST, CANCEL, SESSION, FAILURE};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) close_any(order[i], handles->of[order[i]]);
  subrosa_secret_free(&handles->link);
  remove_folder(handles->join_dir);
  *strrchr(handles->join_dir, '/') = '\0';
  remove_folder(handles->join_dir);
  close_store(&handles->store);
}
