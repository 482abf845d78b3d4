/* Callbacks that call back, that close what they came from, and that end while they run. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

#include <pthread.h>
#include <stdatomic.h>

static struct store store;

static subrosa_events *watch(uint64_t tag) {
  subrosa_events *events = NULL;
  GOOD(subrosa_events_new(&events, &err));
  GOOD(subrosa_events_add_collection(events, store.collection, tag, &err));
  return events;
}

static void insert(void) {
  subrosa_id id;
  GOOD(subrosa_insert_json(store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
}

/* ---- a callback that does everything that it may, and all that it may not ---- */

struct reentrant {
  subrosa_events *events;
  struct heard heard;
  int calls;
};

static void on_event_reentrant(void *user, const subrosa_event *event) {
  struct reentrant *r = user;
  subrosa_collection *log = NULL;
  subrosa_tx *tx = NULL;
  subrosa_buf buf;
  subrosa_id id;
  bool found = false;
  subrosa_event other = {.struct_size = sizeof other};
  const int freed = gate_count(r->heard.freed);
  CHECK(event->kind == SUBROSA_EVENT_RECORD && event->detail == SUBROSA_CHANGE_INSERTED && event->tag == 7);
  CHECK(event->text.len == 5 && memcmp(event->text.data, "notes", 5) == 0);
  GOOD(subrosa_get_json(store.collection, NULL, &event->record, &buf, &found, &err));
  CHECK(found);
  subrosa_buf_free(&buf);
  GOOD(subrosa_collection_open(store.vault, SUBROSA_TEXT("log"), &log, &err));
  GOOD(subrosa_insert_json(log, NULL, SUBROSA_TEXT("{\"seen\":true}"), &id, &err));
  GOOD(subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, -1, &tx, &err));
  GOOD(subrosa_insert_json(log, tx, SUBROSA_TEXT("{\"seen\":2}"), &id, &err));
  GOOD(subrosa_tx_commit(tx, &err));
  subrosa_collection_close(log);
  GOOD(subrosa_events_add_vault(r->events, store.vault, 99, &err));
  GOOD(subrosa_events_remove(r->events, 99, &err));
  IS(SUBROSA_BUSY, subrosa_events_wait(r->events, 0, NULL, &other, &err));
  IS(SUBROSA_BUSY, subrosa_events_listen(r->events, on_event_ignored, &r->heard, on_free, &err));
  CHECK(gate_count(r->heard.freed) == freed + 1);
  IS(SUBROSA_WOULD_DEADLOCK, subrosa_events_close(r->events, &err));
  IS(SUBROSA_WOULD_DEADLOCK, subrosa_device_close(store.device, &err));
  r->calls++;
  gate_open(r->heard.done);
}

static void calls_back(void) {
  struct reentrant r = {.events = watch(7)};
  uint64_t count = 0;
  subrosa_collection *log = NULL;
  heard_new(&r.heard);
  GOOD(subrosa_events_listen(r.events, on_event_reentrant, &r, NULL, &err));
  for (int i = 0; i < 20; i++) insert();
  gate_wait(r.heard.done, 20);
  GOOD(subrosa_events_unlisten(r.events, &err));
  insert();
  CHECK(r.calls == 20);
  GOOD(subrosa_collection_open(store.vault, SUBROSA_TEXT("log"), &log, &err));
  GOOD(subrosa_count(log, NULL, &count, &err));
  CHECK(count == 40);
  subrosa_collection_close(log);
  GOOD(subrosa_events_close(r.events, &err));
  heard_free(&r.heard);
}

/* ---- unlisten ---- */

struct slow {
  subrosa_events *events;
  struct heard heard;
  struct gate *entered, *leaving;
  atomic_int finished;
};

static void on_free_slow(void *user) { gate_open(((struct slow *)user)->heard.freed); }

static void on_event_slow(void *user, const subrosa_event *event) {
  struct slow *slow = user;
  (void)event;
  gate_open(slow->entered);
  gate_wait(slow->leaving, 1);
  slow->finished++;
}

static void *unlisten(void *user) {
  struct slow *slow = user;
  gate_open(slow->leaving);
  GOOD(subrosa_events_unlisten(slow->events, &err));
  /* Whatever has entered has left. */
  CHECK(slow->finished >= 1 && slow->finished == gate_count(slow->entered));
  CHECK(gate_count(slow->heard.freed) == 1);
  return NULL;
}

static void unlisten_waits(void) {
  struct slow slow = {.events = watch(1), .entered = gate_new(), .leaving = gate_new()};
  subrosa_event event = {.struct_size = sizeof event};
  pthread_t thread;
  int delivered;
  heard_new(&slow.heard);
  GOOD(subrosa_events_listen(slow.events, on_event_slow, &slow, on_free_slow, &err));
  insert();
  insert();
  gate_wait(slow.entered, 1);
  CHECK(pthread_create(&thread, NULL, unlisten, &slow) == 0);
  pthread_join(thread, NULL);
  GOOD(subrosa_events_unlisten(slow.events, &err));
  delivered = slow.finished;
  insert();
  /* What was not delivered can be pulled. */
  for (int i = delivered; i < 3; i++) {
    GOOD(subrosa_events_wait(slow.events, 10000, NULL, &event, &err));
    CHECK(event.kind == SUBROSA_EVENT_RECORD);
    subrosa_event_free(&event);
  }
  GOOD(subrosa_events_close(slow.events, &err));
  CHECK(slow.finished == delivered && gate_count(slow.heard.freed) == 1);
  gate_free(slow.entered);
  gate_free(slow.leaving);
  heard_free(&slow.heard);
}

static void on_event_unlisten(void *user, const subrosa_event *event) {
  struct slow *slow = user;
  (void)event;
  slow->finished++;
  GOOD(subrosa_events_unlisten(slow->events, &err));
  gate_open(slow->heard.done);
}

static void unlisten_from_within(void) {
  struct slow slow = {.events = watch(1)};
  heard_new(&slow.heard);
  GOOD(subrosa_events_listen(slow.events, on_event_unlisten, &slow, on_free_slow, &err));
  insert();
  insert();
  gate_wait(slow.heard.done, 1);
  gate_wait(slow.heard.freed, 1);
  CHECK(slow.finished == 1);
  /* Another listener may come after it. */
  GOOD(subrosa_events_listen(slow.events, on_event_unlisten, &slow, on_free_slow, &err));
  gate_wait(slow.heard.freed, 2);
  GOOD(subrosa_events_close(slow.events, &err));
  CHECK(slow.finished == 2 && gate_count(slow.heard.freed) == 2);
  heard_free(&slow.heard);
}

/* ---- ends ---- */

static void frees_its_user_once(void) {
  struct heard heard;
  subrosa_events *events = watch(1);
  heard_new(&heard);
  GOOD(subrosa_events_listen(events, on_event_ignored, &heard, on_free, &err));
  IS(SUBROSA_BUSY, subrosa_events_listen(events, on_event_ignored, &heard, on_free, &err));
  CHECK(gate_count(heard.freed) == 1);
  GOOD(subrosa_events_close(events, &err));
  gate_wait(heard.freed, 2);
  IS(SUBROSA_INVALID_HANDLE, subrosa_events_listen(events, on_event_ignored, &heard, on_free, &err));
  GOOD(subrosa_events_close(events, &err));
  CHECK(gate_count(heard.freed) == 3);
  heard_free(&heard);
}

static void on_event_over(void *user, const subrosa_event *event) {
  struct heard *heard = user;
  if (event->kind != SUBROSA_EVENT_OVER) return;
  CHECK(event->tag == 5);
  gate_open(heard->done);
}

/* The device is closed while it is listened to, by somebody who is not in a callback. */
static void device_closes(void) {
  struct heard heard;
  subrosa_events *events = watch(5);
  heard_new(&heard);
  GOOD(subrosa_events_listen(events, on_event_over, &heard, on_free, &err));
  for (int i = 0; i < 50; i++) insert();
  GOOD(subrosa_device_close(store.device, &err));
  gate_wait(heard.done, 1);
  IS(SUBROSA_CLOSED, subrosa_events_add_collection(events, store.collection, 5, &err));
  GOOD(subrosa_events_close(events, &err));
  CHECK(gate_count(heard.freed) == 1);
  heard_free(&heard);
  reopen_store(&store);
}

/* More than a queue holds, in two calls: it lags, and says so. Where every access is checked, many. */
static void too_much(void) {
  const int half = getenv("SUBROSA_TESTS_SMALL") == NULL ? 35000 : 1500;
  subrosa_events *events = watch(1);
  subrosa_event event = {.struct_size = sizeof event};
  uint8_t *rows = calloc((size_t)half, 26);
  subrosa_buf ids;
  int records = 0, lagged = 0;
  if (rows == NULL) abort();
  for (int i = 0; i < half; i++) memcpy(rows + 26 * (size_t)i, "\x16\0\0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0{}", 26);
  for (int i = 0; i < 2; i++) {
    GOOD(subrosa_write_many(store.collection, NULL, rows, 26 * (size_t)half, &ids, &err));
    CHECK(ids.len == 16 * (size_t)half);
    subrosa_buf_free(&ids);
  }
  free(rows);
  do {
    GOOD(subrosa_events_wait(events, records + lagged == 0 ? 10000 : 0, NULL, &event, &err));
    records += event.kind == SUBROSA_EVENT_RECORD;
    lagged += event.kind == SUBROSA_EVENT_LAGGED;
    subrosa_event_free(&event);
  } while (event.kind != SUBROSA_EVENT_NONE && records + lagged <= 2 * half);
  CHECK(2 * half > 65536 ? lagged > 0 : records == 2 * half);
  insert();
  GOOD(subrosa_events_wait(events, 10000, NULL, &event, &err));
  CHECK(event.kind == SUBROSA_EVENT_RECORD);
  subrosa_event_free(&event);
  GOOD(subrosa_events_close(events, &err));
}

/* ---- the log ---- */

static atomic_int messages;

static void on_log(void *user, int32_t level, const char *message) {
  struct heard *heard = user;
  CHECK(level >= 1 && level <= 5 && *message != '\0');
  if (messages++ == 0) {
    IS(SUBROSA_WOULD_DEADLOCK, subrosa_log_set(0, NULL, NULL, NULL, &err));
    insert(); /* what this logs is dropped: no recursion */
    gate_open(heard->done);
  }
}

/* A device that is closed under an open transaction says so. */
static void provoke_a_message(void) {
  struct store other;
  subrosa_tx *tx = NULL;
  open_store(&other);
  GOOD(subrosa_tx_begin(other.vault, SUBROSA_TX_WRITE, 0, &tx, &err));
  GOOD(subrosa_device_close(other.device, &err));
  subrosa_tx_abort(tx);
  reopen_store(&other);
  close_store(&other);
}

static void log_calls_back(void) {
  struct heard heard;
  int said;
  heard_new(&heard);
  provoke_a_message(); /* the log is off */
  IS(SUBROSA_INVALID_ARGUMENT, subrosa_log_set(9, on_log, &heard, on_free, &err));
  CHECK(gate_count(heard.freed) == 1);
  GOOD(subrosa_log_set(5, on_log, &heard, on_free, &err));
  provoke_a_message();
  CHECK(gate_count(heard.done) == 1);
  GOOD(subrosa_log_set(5, on_log, &heard, on_free, &err));
  CHECK(gate_count(heard.freed) == 2);
  said = messages;
  provoke_a_message();
  CHECK(messages > said);
  GOOD(subrosa_log_set(0, NULL, NULL, NULL, &err));
  CHECK(gate_count(heard.freed) == 3);
  said = messages;
  provoke_a_message();
  CHECK(messages == said && gate_count(heard.freed) == 3);
  heard_free(&heard);
}

/* By its level, and not after its tag is gone. */
static void log_is_pulled(void) {
  subrosa_events *events = NULL;
  subrosa_event event = {.struct_size = sizeof event};
  int kinds[2] = {0, 0};
  GOOD(subrosa_events_new(&events, &err));
  GOOD(subrosa_events_add_log(events, SUBROSA_LOG_WARN, 1, &err));
  GOOD(subrosa_events_add_log(events, SUBROSA_LOG_ERROR, 2, &err));
  provoke_a_message();
  do {
    GOOD(subrosa_events_wait(events, 0, NULL, &event, &err));
    CHECK(event.kind == SUBROSA_EVENT_NONE || event.kind == SUBROSA_EVENT_LOG);
    if (event.kind == SUBROSA_EVENT_LOG) {
      CHECK(event.detail >= SUBROSA_LOG_ERROR && event.detail <= SUBROSA_LOG_WARN && event.text.len > 0);
      kinds[event.tag - 1]++;
    }
    subrosa_event_free(&event);
  } while (event.kind != SUBROSA_EVENT_NONE);
  CHECK(kinds[0] > 0 && kinds[1] == 0);
  GOOD(subrosa_events_remove(events, 1, &err));
  provoke_a_message();
  GOOD(subrosa_events_wait(events, 0, NULL, &event, &err));
  CHECK(event.kind == SUBROSA_EVENT_NONE);
  GOOD(subrosa_events_close(events, &err));
  IS(SUBROSA_INVALID_HANDLE, subrosa_events_add_log(events, SUBROSA_LOG_WARN, 1, &err));
}

int main(void) {
  open_store(&store);
  calls_back();
  unlisten_waits();
  unlisten_from_within();
  frees_its_user_once();
  device_closes();
  too_much();
  log_calls_back();
  log_is_pulled();
  close_store(&store);
  return report("misuse_events");
}
