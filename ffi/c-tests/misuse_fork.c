/* A child of fork inherits handles that are not its own: they all say so, and it writes nothing. The parent goes on. And a
   process that ends with everything open ends; one that calls while it ends, or has closed its standard streams, or whose
   clock stands before 1970, is served. */
#define _GNU_SOURCE
#include "misuse.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct handles all;
static atomic_bool enough;

/* FNV-1a over the files of the store. */
static uint64_t fingerprint(const char *dir) {
  uint64_t hash = 14695981039346656037u;
  DIR *folder = opendir(dir);
  const struct dirent *entry;
  CHECK(folder != NULL);
  while (folder != NULL && (entry = readdir(folder)) != NULL) {
    char path[1024];
    FILE *file;
    uint64_t of_file = 14695981039346656037u;
    int byte;
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    file = *entry->d_name == '.' ? NULL : fopen(path, "rb");
    if (file == NULL) continue;
    while ((byte = getc(file)) != EOF) of_file = (of_file ^ (uint64_t)byte) * 1099511628211u;
    fclose(file);
    hash += of_file; /* the order of the entries does not matter */
  }
  if (folder != NULL) closedir(folder);
  return hash;
}

#define FORKED(call) IS(SUBROSA_FORKED, call)

static void inherited(void) {
  subrosa_buf buf;
  subrosa_secret secret;
  subrosa_id id;
  subrosa_list *list;
  subrosa_vault *vault;
  subrosa_tx *tx;
  uint64_t count;
  size_t size;
  bool truth;
  subrosa_public_key public_key;
  subrosa_pair_code code;
  subrosa_event event = {.struct_size = sizeof event};
  subrosa_verify_report verified = {.struct_size = sizeof verified};
  FORKED(subrosa_key_public(all.of[KEY], &public_key, &err));
  FORKED(subrosa_key_to_pkcs8(all.of[KEY], &secret, &err));
  FORKED(subrosa_session_seal(all.of[SESSION], NULL, 0, NULL, 0, &buf, &err));
  FORKED(subrosa_cancel_fire(all.of[CANCEL], &err));
  FORKED(subrosa_device_name(all.of[DEVICE], &buf, &err));
  FORKED(subrosa_device_vaults(all.of[DEVICE], &list, &err));
  FORKED(subrosa_device_verify(all.of[DEVICE], &verified, &err));
  FORKED(subrosa_suspend(all.of[DEVICE], 100, &err));
  FORKED(subrosa_resume(all.of[DEVICE], &err));
  FORKED(subrosa_vault_create(all.of[DEVICE], SUBROSA_TEXT("new"), &vault, &err));
  FORKED(subrosa_vault_pending(all.of[VAULT], &count, &err));
  FORKED(subrosa_tx_begin(all.of[VAULT], SUBROSA_TX_WRITE, 0, &tx, &err));
  FORKED(subrosa_record_len(all.of[RECORD], &size, &err));
  FORKED(subrosa_insert_json(all.of[COLLECTION], NULL, SUBROSA_TEXT("{}"), &id, &err));
  FORKED(subrosa_delete(all.of[COLLECTION], NULL, &all.store.id, &truth, &err));
  FORKED(subrosa_field_names(all.of[COLLECTION], NULL, &all.store.id, NULL, 0, 1, &list, &err));
  FORKED(subrosa_delete_field(all.of[COLLECTION], NULL, &all.store.id, SUBROSA_TEXT("f"), &truth, &err));
  FORKED(subrosa_count(all.of[COLLECTION], NULL, &count, &err));
  FORKED(subrosa_tx_commit(all.of[TX], &err));
  FORKED(subrosa_events_wait(all.of[EVENTS], -1, NULL, &event, &err));
  FORKED(subrosa_vault_forks(all.of[VAULT], &list, &err));
  FORKED(subrosa_vault_held(all.of[VAULT], &list, &truth, &err));
  FORKED(subrosa_sync_vaults(all.of[SYNC], &list, &err));
  FORKED(subrosa_moment_wait(all.of[MOMENT], -1, NULL, &err));
  FORKED(subrosa_sync_wait(all.of[SYNC], -1, NULL, &err));
  FORKED(subrosa_sync_wait_async(all.of[SYNC], -1, NULL, on_done, NULL, NULL, &err));
  FORKED(subrosa_pair_offer_wait(all.of[OFFER], -1, NULL, &err));
  FORKED(subrosa_pair_join_wait_code(all.of[JOIN], -1, NULL, &code, &err));
  FORKED(subrosa_device_close(all.of[DEVICE], &err));
  FORKED(subrosa_events_close(all.of[EVENTS], &err));
  FORKED(subrosa_sync_stop(all.of[SYNC], &err));
  CHECK(subrosa_error_code(all.of[FAILURE]) == 0);
  CHECK(subrosa_list_len(all.of[LIST]) == 0);
  for (int type = 0; type < TYPES; type++) close_any(type, all.of[type]);
}

/* The child has a life of its own. */
static void own_store(void) {
  struct store store;
  subrosa_id id;
  uint64_t count = 0;
  subrosa_sync *sync = NULL;
  open_store(&store);
  GOOD(subrosa_insert_json(store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  CHECK(count == 2);
  GOOD(subrosa_sync_start(store.device, test_relay(), strlen(test_relay()), &sync, &err));
  GOOD(subrosa_sync_wait(sync, 30000, NULL, &err));
  GOOD(subrosa_sync_stop(sync, &err));
  FORKED(subrosa_count(all.of[COLLECTION], NULL, &count, &err));
  close_store(&store);
}

/* Runs `child` in one, and expects that it ends by itself. */
static void in_a_child(void (*child)(void), bool quick_exit) {
  int status = 0;
  pid_t pid;
  fflush(NULL);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    alarm(60);
    forget_failures();
    child();
    if (quick_exit) _exit(report("a child"));
    exit(report("a child"));
  }
  CHECK(waitpid(pid, &status, 0) == pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fprintf(stderr, "child: status %x\n", (unsigned)status);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void nothing(void) {}

/* Sync runs in the parent while these children live. */
static void inherited_sync(void) {
  subrosa_sync_status status = {.struct_size = sizeof status};
  FORKED(subrosa_sync_status_of(all.of[SYNC], &status, &err));
  inherited();
}

static void quiet_parent(void) {
  uint64_t before, count = 0;
  subrosa_id id;
  GOOD(subrosa_sync_wait(all.of[SYNC], 30000, NULL, &err));
  GOOD(subrosa_sync_stop(all.of[SYNC], &err)); /* the parent itself shall write nothing meanwhile */
  before = fingerprint(all.store.dir);
  in_a_child(inherited, true);
  in_a_child(inherited, false);
  in_a_child(nothing, false);
  in_a_child(nothing, true);
  CHECK(fingerprint(all.store.dir) == before);
  in_a_child(own_store, true);
  in_a_child(own_store, false);
  CHECK(fingerprint(all.store.dir) == before);
  GOOD(subrosa_insert_json(all.store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_count(all.store.collection, NULL, &count, &err));
  CHECK(count == 2);
}

/* Forks while other threads are inside the library: locks that they hold are held for ever in the child. */
static void *hammer(void *user) {
  (void)user;
  while (!enough) {
    subrosa_id id;
    subrosa_key *key = NULL;
    bool truth;
    GOOD(subrosa_insert_json(all.store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
    GOOD(subrosa_delete(all.store.collection, NULL, &id, &truth, &err));
    GOOD(subrosa_key_generate(&key, &err));
    subrosa_key_close(key);
  }
  return NULL;
}

static void while_it_works(void) {
  pthread_t threads[2];
  uint64_t count = 0;
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, hammer, NULL) == 0);
  for (int i = 0; i < 10; i++) in_a_child(inherited, true);
  for (int i = 0; i < 3; i++) in_a_child(own_store, true);
  enough = true;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  GOOD(subrosa_count(all.store.collection, NULL, &count, &err));
  CHECK(count == 2);
}

/* Forks while another thread is in the log callback, which holds the lock of the log. */
struct logging {
  struct gate *inside;
  struct gate *leave;
};

static void log_and_wait(void *user, int32_t level, const char *message) {
  struct logging *l = user;
  (void)level, (void)message;
  gate_open(l->inside);
  gate_wait(l->leave, 1);
}

static void log_ignored(void *user, int32_t level, const char *message) { (void)user, (void)level, (void)message; }

static void *close_with_a_transaction(void *store) {
  subrosa_tx *tx = NULL;
  GOOD(subrosa_tx_begin(((struct store *)store)->vault, SUBROSA_TX_READ, 0, &tx, &err));
  GOOD(subrosa_device_close(((struct store *)store)->device, &err)); /* says so in the log */
  subrosa_tx_abort(tx);
  return NULL;
}

static void own_log(void) {
  GOOD(subrosa_log_set(SUBROSA_LOG_WARN, log_ignored, NULL, NULL, &err));
  GOOD(subrosa_log_set(0, NULL, NULL, NULL, &err));
  own_store();
}

static void while_it_logs(void) {
  struct store store;
  struct logging l;
  pthread_t thread;
  l.inside = gate_new();
  l.leave = gate_new();
  open_store(&store);
  GOOD(subrosa_log_set(SUBROSA_LOG_WARN, log_and_wait, &l, NULL, &err));
  CHECK(pthread_create(&thread, NULL, close_with_a_transaction, &store) == 0);
  gate_wait(l.inside, 1);
  in_a_child(own_log, true);
  gate_open(l.leave);
  pthread_join(thread, NULL);
  GOOD(subrosa_log_set(0, NULL, NULL, NULL, &err));
  reopen_store(&store);
  close_store(&store);
  gate_free(l.inside);
  gate_free(l.leave);
}

/* Ends with everything open: sync, a listener, a call under way. */
static void everything_open(void) {
  static struct heard heard;
  struct store store;
  subrosa_sync *sync = NULL;
  subrosa_events *events = NULL;
  subrosa_tx *tx = NULL;
  heard_new(&heard);
  open_store(&store);
  GOOD(subrosa_sync_start(store.device, test_relay(), strlen(test_relay()), &sync, &err));
  GOOD(subrosa_sync_wait_async(sync, -1, NULL, on_done, &heard, on_free, &err));
  GOOD(subrosa_events_new(&events, &err));
  GOOD(subrosa_events_add_vault(events, store.vault, 1, &err));
  GOOD(subrosa_events_listen(events, on_event_ignored, &heard, on_free, &err));
  GOOD(subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, 0, &tx, &err));
  remove_folder(store.dir);
}

/* Calls from a handler at exit, when the thread has none of its variables left. */
static struct {
  struct store store;
  struct heard heard;
  subrosa_events *events;
  subrosa_sync *sync;
} late;

static void at_exit(void) {
  subrosa_id id;
  subrosa_tx *tx = NULL;
  uint64_t count = 0;
  GOOD(subrosa_insert_json(late.store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_tx_begin(late.store.vault, SUBROSA_TX_WRITE, 0, &tx, &err));
  GOOD(subrosa_insert_json(late.store.collection, tx, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_tx_commit(tx, &err));
  GOOD(subrosa_count(late.store.collection, NULL, &count, &err));
  CHECK(count == 3);
  GOOD(subrosa_sync_stop(late.sync, &err));
  GOOD(subrosa_events_close(late.events, &err));
  GOOD(subrosa_log_set(0, NULL, NULL, NULL, &err));
  close_store(&late.store);
  _exit(report("at exit"));
}

static void calls_at_exit(void) {
  heard_new(&late.heard);
  open_store(&late.store);
  GOOD(subrosa_log_set(SUBROSA_LOG_WARN, log_ignored, NULL, NULL, &err));
  GOOD(subrosa_events_new(&late.events, &err));
  GOOD(subrosa_events_add_vault(late.events, late.store.vault, 1, &err));
  GOOD(subrosa_events_listen(late.events, on_event_ignored, &late.heard, on_free, &err));
  GOOD(subrosa_sync_start(late.store.device, SUBROSA_TEXT(NO_RELAY), &late.sync, &err));
  CHECK(atexit(at_exit) == 0);
}

/* The clock of a machine without a battery. The library asks this one for the time. */
static atomic_bool before_1970;

int clock_gettime(clockid_t id, struct timespec *now) {
  const int result = (int)syscall(SYS_clock_gettime, id, now);
  if (before_1970 && id == CLOCK_REALTIME) now->tv_sec = -3 * 86400;
  return result;
}

static void with_a_clock_before_1970(void) {
  struct store store;
  subrosa_sync *sync = NULL;
  before_1970 = true;
  open_store(&store);
  GOOD(subrosa_sync_start(store.device, test_relay(), strlen(test_relay()), &sync, &err));
  GOOD(subrosa_sync_wait(sync, 30000, NULL, &err));
  GOOD(subrosa_sync_stop(sync, &err));
  close_store(&store);
}

/* A host that has closed its standard streams: what is printed then goes nowhere, and never into the store. */
static void without_standard_streams(void) {
  static const char stray[] = "stray output of the host\n";
  struct store store;
  for (int stream = 0; stream <= 2; stream++) close(stream);
  open_store(&store);
  for (int stream = 0; stream <= 2; stream++) {
    CHECK(fcntl(stream, F_GETFD) == -1);
    CHECK(write(stream, stray, sizeof stray) == -1);
  }
  close_store(&store);
}

int main(void) {
  open_handles(&all);
  in_a_child(inherited_sync, true);
  in_a_child(inherited_sync, false);
  quiet_parent();
  while_it_works();
  while_it_logs();
  close_handles(&all);
  in_a_child(everything_open, false);
  in_a_child(everything_open, true);
  in_a_child(calls_at_exit, false);
  in_a_child(without_standard_streams, true);
  in_a_child(with_a_clock_before_1970, true);
  return report("misuse_fork");
}
