/* Closing and freeing twice, at the same time, and while other threads are in the middle of calls. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

#include <pthread.h>
#include <stdatomic.h>

static void frees(void) {
  subrosa_key *key = NULL;
  subrosa_session *session = NULL;
  subrosa_secret secret;
  subrosa_buf buf;
  subrosa_event event = {.struct_size = sizeof event};
  subrosa_error *failed = NULL;
  GOOD(subrosa_key_generate(&key, &err));
  GOOD(subrosa_key_to_pkcs8(key, &secret, &err));
  CHECK(secret.len == 138 && secret.data != NULL);
  GOOD(subrosa_session_self(key, SUBROSA_PROFILE_SUBROSA_1, NULL, 0, &session, &err));
  GOOD(subrosa_session_seal(session, NULL, 0, (const uint8_t *)"x", 1, &buf, &err));
  for (int twice = 0; twice < 2; twice++) {
    subrosa_secret_free(&secret);
    CHECK(secret.data == NULL && secret.len == 0 && secret.cap == 0);
    subrosa_buf_free(&buf);
    CHECK(buf.data == NULL && buf.len == 0 && buf.cap == 0);
    subrosa_event_free(&event);
    subrosa_session_close(session);
    subrosa_key_close(key);
  }
  CHECK(subrosa_id_parse("", 0, &(subrosa_id){{0}}, &failed) == SUBROSA_NOT_AN_ID);
  subrosa_error_free(failed);
  subrosa_error_free(failed);
  CHECK(subrosa_error_code(failed) == 0);
}

static void every_type_twice(void) {
  struct handles all;
  open_handles(&all);
  for (int type = 0; type < TYPES; type++) {
    if (type == KEY || type == DEVICE || type == VAULT || type == COLLECTION) continue;
    close_any(type, all.of[type]);
    close_any(type, all.of[type]);
  }
  close_handles(&all); /* a third time; and close_store closes the rest */
  for (int type = 0; type < TYPES; type++) close_any(type, all.of[type]);
}

/* What is made from a handle goes on without it. */
static void parents_first(void) {
  struct store store;
  subrosa_list *list = NULL;
  const char *name;
  size_t len;
  uint64_t count = 0;
  open_store(&store);
  subrosa_key_close(store.key);
  GOOD(subrosa_vault_devices(store.vault, &list, &err));
  subrosa_vault_close(store.vault);
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  CHECK(count == 1);
  GOOD(subrosa_device_close(store.device, &err));
  GOOD(subrosa_list_text_view(list, 0, &name, &len, &err));
  subrosa_list_close(list);
  IS(SUBROSA_CLOSED, subrosa_count(store.collection, NULL, &count, &err));
  subrosa_collection_close(store.collection);
  remove_folder(store.dir);
}

/* ---- a device is closed under the hands of eight threads ---- */

enum { THREADS = 8 };

struct hands {
  struct store store;
  struct handles *all;
  struct gate *busy;      /* opened once by each thread when it is at work */
  subrosa_events *events;
  subrosa_sync *sync;
  subrosa_pair_offer *offer;
  atomic_int inserted;
  int32_t ended[THREADS];
};

struct hand {
  struct hands *hands;
  int number;
};

static int32_t work(struct hands *h, int number) {
  subrosa_collection *c = h->store.collection;
  subrosa_id id;
  subrosa_buf buf;
  bool truth;
  int32_t got;
  if (number == 0) {
    got = subrosa_insert_json(c, NULL, SUBROSA_TEXT("{\"n\":1}"), &id, NULL);
    if (got == SUBROSA_OK) h->inserted++;
  } else if (number == 1) {
    got = subrosa_get_json(c, NULL, &h->store.id, &buf, &truth, NULL);
    subrosa_buf_free(&buf);
  } else if (number == 2) {
    got = subrosa_page(c, NULL, NULL, 100, SUBROSA_FORMAT_FIELDS, &buf, &truth, NULL);
    subrosa_buf_free(&buf);
  } else if (number == 3) {
    subrosa_tx *tx = NULL;
    got = subrosa_tx_begin(h->store.vault, SUBROSA_TX_WRITE, 5, &tx, NULL);
    if (got == SUBROSA_BUSY) return SUBROSA_OK;
    if (got == SUBROSA_OK) got = subrosa_insert_json(c, tx, SUBROSA_TEXT("{\"n\":2}"), &id, NULL);
    subrosa_tx_abort(tx);
  } else {
    subrosa_list *list = NULL;
    got = subrosa_vault_devices(h->store.vault, &list, NULL);
    subrosa_list_close(list);
  }
  return got == SUBROSA_BUSY ? SUBROSA_OK : got;
}

static void *run_hand(void *user) {
  const struct hand *hand = user;
  struct hands *h = hand->hands;
  subrosa_event event = {.struct_size = sizeof event};
  int32_t got = SUBROSA_OK;
  if (hand->number < 5) {
    got = work(h, hand->number);
    gate_open(h->busy);
    while (got == SUBROSA_OK) got = work(h, hand->number);
  } else {
    gate_open(h->busy);
    if (hand->number == 5) got = subrosa_sync_wait(h->sync, -1, NULL, NULL);
    if (hand->number == 6) got = subrosa_pair_offer_wait(h->offer, -1, NULL, NULL);
    if (hand->number == 7) {
      /* The queue outlives the device: its last event says that the source is over. */
      do {
        subrosa_event_free(&event);
        got = subrosa_events_wait(h->events, -1, NULL, &event, NULL);
      } while (got == SUBROSA_OK && event.kind != SUBROSA_EVENT_OVER);
      subrosa_event_free(&event);
      if (got == SUBROSA_OK) got = SUBROSA_CLOSED;
    }
  }
  h->ended[hand->number] = got;
  return NULL;
}

/* Whoever closes it at the same time is told when it is done, not before: the store can be opened at once. */
static void *close_too(void *user) {
  const struct store *store = user;
  subrosa_device *again = NULL;
  CHECK(subrosa_device_close(store->device, NULL) == SUBROSA_OK);
  CHECK(subrosa_device_open(store->dir, strlen(store->dir), store->key, NULL, &again, NULL) == SUBROSA_OK);
  CHECK(subrosa_device_close(again, NULL) == SUBROSA_OK);
  return NULL;
}

static void under_eight_hands(void) {
  struct hands h;
  struct hand hand[THREADS];
  pthread_t threads[THREADS], other;
  uint64_t count = 0;
  memset(&h, 0, sizeof h);
  open_store(&h.store);
  h.busy = gate_new();
  GOOD(subrosa_events_new(&h.events, &err));
  GOOD(subrosa_events_add_vault(h.events, h.store.vault, 1, &err));
  GOOD(subrosa_sync_start(h.store.device, SUBROSA_TEXT(NO_RELAY), &h.sync, &err));
  GOOD(subrosa_pair_offer_start(h.store.device, test_relay(), strlen(test_relay()), &h.offer, &err));
  for (int i = 0; i < THREADS; i++) {
    hand[i].hands = &h;
    hand[i].number = i;
    CHECK(pthread_create(&threads[i], NULL, run_hand, &hand[i]) == 0);
  }
  gate_wait(h.busy, THREADS);
  CHECK(pthread_create(&other, NULL, close_too, &h.store) == 0);
  GOOD(subrosa_device_close(h.store.device, &err));
  pthread_join(other, NULL);
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    if (h.ended[i] != SUBROSA_CLOSED) fprintf(stderr, "thread %d ended with %s\n", i, subrosa_status_name(h.ended[i]));
    CHECK(h.ended[i] == SUBROSA_CLOSED);
  }
  GOOD(subrosa_events_close(h.events, &err));
  subrosa_pair_offer_close(h.offer);
  GOOD(subrosa_sync_stop(h.sync, &err));
  reopen_store(&h.store);
  GOOD(subrosa_count(h.store.collection, NULL, &count, &err));
  CHECK(count == 1 + (uint64_t)h.inserted);
  close_store(&h.store);
  gate_free(h.busy);
}

/* ---- other handles closed under a wait ---- */

struct waiter {
  struct handles *all;
  enum type type;
  struct gate *begun;
  int32_t ended;
};

static void *wait_on(void *user) {
  struct waiter *w = user;
  subrosa_event event = {.struct_size = sizeof event};
  gate_open(w->begun);
  if (w->type == EVENTS) w->ended = subrosa_events_wait(w->all->of[EVENTS], -1, NULL, &event, NULL);
  if (w->type == SYNC) {
    do w->ended = subrosa_sync_wait(w->all->of[SYNC], -1, NULL, NULL);
    while (w->ended == SUBROSA_OK);
  }
  if (w->type == MOMENT) {
    /* Closed under its wait, it is waited for to the end all the same; from then on it is no handle. */
    do w->ended = subrosa_moment_wait(w->all->of[MOMENT], -1, NULL, NULL);
    while (w->ended == SUBROSA_OK);
  }
  if (w->type == OFFER) {
    do w->ended = subrosa_pair_offer_wait(w->all->of[OFFER], -1, NULL, NULL);
    while (w->ended == SUBROSA_OK);
  }
  return NULL;
}

static void under_a_wait(void) {
  static const struct {
    enum type type;
    int32_t ended;
  } cases[] = {{EVENTS, SUBROSA_CLOSED}, {SYNC, SUBROSA_SYNC_STOPPED}, {MOMENT, SUBROSA_INVALID_HANDLE}, {OFFER, SUBROSA_PAIR_OVER}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct handles all;
    struct waiter waiter = {&all, cases[i].type, gate_new(), 0};
    pthread_t thread;
    open_handles(&all);
    CHECK(pthread_create(&thread, NULL, wait_on, &waiter) == 0);
    gate_wait(waiter.begun, 1);
    close_any(cases[i].type, all.of[cases[i].type]);
    pthread_join(thread, NULL);
    /* It may not have got to waiting yet. */
    if (waiter.ended != SUBROSA_INVALID_HANDLE && waiter.ended != cases[i].ended) {
      fprintf(stderr, "%s: %s\n", type_names[cases[i].type], subrosa_status_name(waiter.ended));
    }
    CHECK(waiter.ended == cases[i].ended || waiter.ended == SUBROSA_INVALID_HANDLE);
    close_handles(&all);
    gate_free(waiter.begun);
  }
}

int main(void) {
  frees();
  every_type_twice();
  parents_first();
  for (int round = 0; round < 3; round++) under_eight_hands();
  under_a_wait();
  return report("misuse_closing");
}
