/* Transactions and records: over, read-only, of another device, used by two threads, and calls that run out of time. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

#include <pthread.h>
#include <stdatomic.h>

static struct store store;

static subrosa_tx *begin(subrosa_vault *vault, int32_t mode) {
  subrosa_tx *tx = NULL;
  GOOD(subrosa_tx_begin(vault, mode, 0, &tx, &err));
  return tx;
}

/* Every write, and then every read, with this transaction. */
static void use(subrosa_tx *tx, int32_t writes, int32_t reads) {
  subrosa_collection *c = store.collection;
  subrosa_record *record = NULL, *found = NULL;
  subrosa_id id;
  subrosa_buf buf;
  uint64_t count;
  bool truth;
  subrosa_list *names;
  subrosa_record *field;
  GOOD(subrosa_record_from_json(SUBROSA_TEXT("{\"a\":1}"), &record, &err));
  IS(writes, subrosa_insert(c, tx, record, &id, &err));
  IS(writes, subrosa_put(c, tx, &store.id, record, &err));
  IS(writes, subrosa_replace(c, tx, &store.id, record, &err));
  IS(writes, subrosa_insert_json(c, tx, SUBROSA_TEXT("{}"), &id, &err));
  IS(writes, subrosa_put_json(c, tx, &store.id, SUBROSA_TEXT("{}"), &err));
  IS(writes, subrosa_replace_json(c, tx, &store.id, SUBROSA_TEXT("{}"), &err));
  IS(writes, subrosa_delete(c, tx, &store.id, &truth, &err));
  IS(writes, subrosa_delete_field(c, tx, &store.id, SUBROSA_TEXT("a"), &truth, &err));
  IS(writes, subrosa_write_many(c, tx, (const uint8_t *)"\x16\0\0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0{}", 26, &buf, &err));
  subrosa_buf_free(&buf);
  IS(reads, subrosa_get(c, tx, &store.id, &found, &err));
  IS(reads, subrosa_get_json(c, tx, &store.id, &buf, &truth, &err));
  subrosa_buf_free(&buf);
  IS(reads, subrosa_field_names(c, tx, &store.id, NULL, 0, 10, &names, &err));
  subrosa_list_close(names);
  IS(reads, subrosa_get_field(c, tx, &store.id, SUBROSA_TEXT("a"), &field, &err));
  subrosa_record_close(field);
  IS(reads, subrosa_get_field_json(c, tx, &store.id, SUBROSA_TEXT("a"), &buf, &truth, &err));
  subrosa_buf_free(&buf);
  IS(reads, subrosa_count(c, tx, &count, &err));
  IS(reads, subrosa_page(c, tx, NULL, 10, SUBROSA_FORMAT_JSON, &buf, &truth, &err));
  subrosa_buf_free(&buf);
  IS(reads, subrosa_get_many(c, tx, &store.id, 1, SUBROSA_FORMAT_JSON, &buf, &err));
  subrosa_buf_free(&buf);
  subrosa_record_close(found);
  subrosa_record_close(record);
}

static void over(void) {
  subrosa_tx *tx = begin(store.vault, SUBROSA_TX_READ);
  use(tx, SUBROSA_READ_ONLY, SUBROSA_OK);
  GOOD(subrosa_tx_commit(tx, &err));
  use(tx, SUBROSA_INVALID_HANDLE, SUBROSA_INVALID_HANDLE);
  IS(SUBROSA_INVALID_HANDLE, subrosa_tx_commit(tx, &err));
  subrosa_tx_abort(tx);
  subrosa_tx_abort(tx);

  tx = begin(store.vault, SUBROSA_TX_WRITE);
  use(tx, SUBROSA_OK, SUBROSA_OK);
  subrosa_tx_abort(tx);
  use(tx, SUBROSA_INVALID_HANDLE, SUBROSA_INVALID_HANDLE);

  /* Ended by a suspend: over for good, whatever comes then. */
  tx = begin(store.vault, SUBROSA_TX_WRITE);
  use(tx, SUBROSA_OK, SUBROSA_OK);
  GOOD(subrosa_suspend(store.device, 5000, &err));
  use(tx, SUBROSA_SUSPENDED, SUBROSA_SUSPENDED);
  use(NULL, SUBROSA_SUSPENDED, SUBROSA_SUSPENDED);
  GOOD(subrosa_suspend(store.device, 5000, &err));
  GOOD(subrosa_resume(store.device, &err));
  GOOD(subrosa_resume(store.device, &err));
  use(tx, SUBROSA_TX_OVER, SUBROSA_TX_OVER);
  IS(SUBROSA_TX_OVER, subrosa_tx_commit(tx, &err));
  IS(SUBROSA_INVALID_HANDLE, subrosa_tx_commit(tx, &err));
}

/* A closed device ends them, too. What was not committed is not there afterwards. */
static void closed(void) {
  subrosa_tx *write = begin(store.vault, SUBROSA_TX_WRITE), *read = begin(store.vault, SUBROSA_TX_READ);
  uint64_t count = 0;
  use(write, SUBROSA_OK, SUBROSA_OK);
  GOOD(subrosa_device_close(store.device, &err));
  use(write, SUBROSA_CLOSED, SUBROSA_CLOSED);
  use(read, SUBROSA_READ_ONLY, SUBROSA_CLOSED);
  use(NULL, SUBROSA_CLOSED, SUBROSA_CLOSED);
  IS(SUBROSA_CLOSED, subrosa_tx_commit(write, &err));
  subrosa_tx_abort(read);
  reopen_store(&store);
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  CHECK(count == 1);
}

static void two_devices(void) {
  struct store other;
  subrosa_vault *second = NULL;
  subrosa_tx *tx;
  open_store(&other);
  tx = begin(other.vault, SUBROSA_TX_READ);
  use(tx, SUBROSA_WRONG_DEVICE, SUBROSA_WRONG_DEVICE);
  subrosa_tx_abort(tx);
  tx = begin(other.vault, SUBROSA_TX_WRITE);
  use(tx, SUBROSA_WRONG_DEVICE, SUBROSA_WRONG_DEVICE);
  /* The other device's writer is not in the way of this one's. */
  subrosa_tx_abort(begin(store.vault, SUBROSA_TX_WRITE));
  subrosa_tx_abort(tx);
  close_store(&other);

  GOOD(subrosa_vault_create(store.device, SUBROSA_TEXT("second"), &second, &err));
  tx = begin(second, SUBROSA_TX_WRITE);
  use(tx, SUBROSA_WRONG_DEVICE, SUBROSA_WRONG_DEVICE);
  subrosa_tx_abort(tx);
  subrosa_vault_close(second);
}

/* ---- one writer ---- */

struct holder {
  struct gate *begun, *waiting;
};

static void *hold(void *user) {
  const struct holder *holder = user;
  subrosa_tx *tx = begin(store.vault, SUBROSA_TX_WRITE);
  gate_open(holder->begun);
  gate_wait(holder->waiting, 1);
  subrosa_tx_abort(tx);
  return NULL;
}

static void one_writer(void) {
  struct holder holder = {gate_new(), gate_new()};
  subrosa_tx *own = begin(store.vault, SUBROSA_TX_WRITE), *tx = (subrosa_tx *)16;
  pthread_t thread;
  uint64_t count = 0;
  /* Of this thread: whatever the timeout is, nobody else would end it. */
  IS(SUBROSA_BUSY, subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, -1, &tx, &err));
  CHECK(tx == NULL);
  IS(SUBROSA_BUSY, subrosa_put_json(store.collection, NULL, &store.id, SUBROSA_TEXT("{}"), &err));
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  subrosa_tx_abort(own);
  /* Of another thread: it is waited for. */
  CHECK(pthread_create(&thread, NULL, hold, &holder) == 0);
  gate_wait(holder.begun, 1);
  IS(SUBROSA_BUSY, subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, 0, &tx, &err));
  IS(SUBROSA_BUSY, subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, 30, &tx, &err));
  gate_open(holder.waiting);
  GOOD(subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, -1, &tx, &err));
  pthread_join(thread, NULL);
  subrosa_tx_abort(tx);
  gate_free(holder.begun);
  gate_free(holder.waiting);
}

/* ---- two threads on what one thread at a time may use ---- */

#define LONG_LEN (1 << 20)
static char *long_json;
static atomic_bool enough;

static void *slow_on_record(void *record) {
  while (!enough) {
    const int32_t got = subrosa_record_set_json(record, SUBROSA_TEXT("f"), long_json, LONG_LEN, NULL);
    CHECK(got == SUBROSA_OK || got == SUBROSA_BUSY);
  }
  return NULL;
}

static void *slow_on_tx(void *tx) {
  while (!enough) {
    const int32_t got = subrosa_put_json(store.collection, tx, &store.id, long_json, LONG_LEN, NULL);
    CHECK(got == SUBROSA_OK || got == SUBROSA_BUSY);
  }
  return NULL;
}

/* Calls until it has seen BUSY; gives up after so many calls that something must be wrong. */
static void until_busy(void *record, void *tx) {
  int32_t got = SUBROSA_OK;
  for (int tries = 0; tries < 50000000 && got == SUBROSA_OK; tries++) {
    size_t len;
    uint64_t count;
    got = record != NULL ? subrosa_record_len(record, &len, NULL) : subrosa_count(store.collection, tx, &count, NULL);
  }
  CHECK(got == SUBROSA_BUSY);
}

static void two_threads(void) {
  subrosa_record *record = NULL;
  subrosa_tx *tx = begin(store.vault, SUBROSA_TX_WRITE);
  subrosa_buf json;
  pthread_t thread;
  size_t at = 0;
  long_json = malloc(LONG_LEN);
  if (long_json == NULL) abort();
  memset(long_json, ' ', LONG_LEN);
  memcpy(long_json, "{\"a\":[0", 7);
  for (at = 7; at + 4 < LONG_LEN / 8; at += 2) memcpy(long_json + at, ",0", 2);
  memcpy(long_json + at, "]}", 2);
  GOOD(subrosa_record_new(&record, &err));
  CHECK(pthread_create(&thread, NULL, slow_on_record, record) == 0);
  until_busy(record, NULL);
  enough = true;
  pthread_join(thread, NULL);
  GOOD(subrosa_record_to_json(record, &json, &err));
  subrosa_buf_free(&json);
  subrosa_record_close(record);
  enough = false;
  CHECK(pthread_create(&thread, NULL, slow_on_tx, tx) == 0);
  until_busy(NULL, tx);
  enough = true;
  pthread_join(thread, NULL);
  subrosa_tx_abort(tx);
  free(long_json);
}

static void timeouts(void) {
  subrosa_events *events = NULL;
  subrosa_event event = {.struct_size = sizeof event};
  subrosa_sync *sync = NULL;
  subrosa_pair_offer *offer = NULL;
  subrosa_pair_code code;
  subrosa_buf name;
  GOOD(subrosa_events_new(&events, &err));
  GOOD(subrosa_events_wait(events, 0, NULL, &event, &err));
  CHECK(event.kind == SUBROSA_EVENT_NONE);
  GOOD(subrosa_events_wait(events, 20, NULL, &event, &err));
  CHECK(event.kind == SUBROSA_EVENT_NONE && event.text.data == NULL);
  subrosa_event_free(&event);
  GOOD(subrosa_events_close(events, &err));
  IS(SUBROSA_NO_RELAY, subrosa_sync_start(store.device, NULL, 0, &sync, &err));
  GOOD(subrosa_sync_start(store.device, SUBROSA_TEXT(NO_RELAY), &sync, &err));
  IS(SUBROSA_BUSY, subrosa_sync_start(store.device, SUBROSA_TEXT(NO_RELAY), &(subrosa_sync *){NULL}, &err));
  IS(SUBROSA_NO_PROGRESS, subrosa_sync_wait(sync, 0, NULL, &err));
  GOOD(subrosa_sync_stop(sync, &err));
  GOOD(subrosa_sync_stop(sync, &err));
  GOOD(subrosa_pair_offer_start(store.device, test_relay(), strlen(test_relay()), &offer, &err));
  IS(SUBROSA_TIMEOUT, subrosa_pair_offer_wait(offer, 0, NULL, &err));
  IS(SUBROSA_TIMEOUT, subrosa_pair_offer_wait(offer, 20, NULL, &err));
  IS(SUBROSA_NOT_READY, subrosa_pair_offer_request(offer, &code, &name, &err));
  GOOD(subrosa_pair_offer_decline(offer, &err));
  IS(SUBROSA_PAIR_OVER, subrosa_pair_offer_wait(offer, 0, NULL, &err));
  subrosa_pair_offer_close(offer);
}

/* ---- more than devices merge in one go ---- */

/* Of one transaction of so many records like this one, what its commit says. */
static int32_t large(subrosa_record *record, int records, subrosa_error **refused) {
  subrosa_tx *tx = begin(store.vault, SUBROSA_TX_WRITE);
  subrosa_id id;
  for (int i = 0; i < records; i++) GOOD(subrosa_insert(store.collection, tx, record, &id, &err));
  return subrosa_tx_commit(tx, refused);
}

static void too_large(void) {
  const size_t len = (1 << 20) - 64;
  char *json = malloc(len);
  subrosa_record *record = NULL;
  subrosa_error *refused = NULL;
  uint64_t before = 0, after = 0;
  if (json == NULL) abort();
  memset(json, 'x', len);
  memcpy(json, "{\"a\":\"", 6);
  memcpy(json + len - 2, "\"}", 2);
  GOOD(subrosa_record_from_json(json, len, &record, &err));
  free(json);
  GOOD(subrosa_count(store.collection, NULL, &before, &err));
  CHECK(large(record, 257, &refused) == SUBROSA_TOO_LARGE);
  CHECK(subrosa_error_code(refused) == SUBROSA_TOO_LARGE && !subrosa_error_retryable(refused));
  CHECK(subrosa_error_number(refused) == 256 << 20);
  CHECK(strstr(subrosa_error_message(refused), "268435456 bytes and 8192 segments") != NULL);
  subrosa_error_free(refused);
  GOOD(subrosa_count(store.collection, NULL, &after, &err));
  CHECK(after == before);
  /* The next one is as good as ever. */
  CHECK(large(record, 1, &refused) == SUBROSA_OK && refused == NULL);
  GOOD(subrosa_count(store.collection, NULL, &after, &err));
  CHECK(after == before + 1);
  subrosa_record_close(record);
}

int main(void) {
  open_store(&store);
  over();
  closed();
  two_devices();
  one_writer();
  two_threads();
  timeouts();
  if (getenv("SUBROSA_TESTS_SMALL") == NULL) too_large();
  close_store(&store);
  return report("misuse_transactions");
}
