/* Cancelling at every moment, and completions: exactly once, never on the thread that starts, and user_free after them. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

#include <pthread.h>

static struct store store;
static subrosa_sync *sync_handle;
static pthread_t main_thread;

static void start_sync(void) {
  open_store(&store);
  GOOD(subrosa_sync_start(store.device, SUBROSA_TEXT(NO_RELAY), &sync_handle, &err));
}

static void stop_sync(void) {
  GOOD(subrosa_sync_stop(sync_handle, &err));
  close_store(&store);
}

static void on_done_elsewhere(void *user, int32_t status, subrosa_error *error) {
  CHECK(!pthread_equal(pthread_self(), main_thread));
  CHECK(gate_count(((struct heard *)user)->freed) == 0); /* it is freed after this */
  on_done(user, status, error);
}

static subrosa_cancel *token(void) {
  subrosa_cancel *cancel = NULL;
  GOOD(subrosa_cancel_new(&cancel, &err));
  return cancel;
}

static void *fire(void *cancel) {
  GOOD(subrosa_cancel_fire(cancel, &err));
  GOOD(subrosa_cancel_fire(cancel, &err));
  return NULL;
}

/* Fired before, during and after the start; by one thread and by two. */
static void cancel_races(void) {
  int cancelled = 0;
  for (int round = 0; round < 120; round++) {
    subrosa_cancel *cancel = token();
    struct heard heard;
    pthread_t first, second;
    heard_new(&heard);
    if (round % 4 == 0) fire(cancel);
    if (round % 4 == 1) CHECK(pthread_create(&first, NULL, fire, cancel) == 0);
    CHECK(pthread_create(&second, NULL, fire, cancel) == 0);
    GOOD(subrosa_sync_wait_async(sync_handle, -1, cancel, on_done_elsewhere, &heard, on_free, &err));
    if (round % 4 == 2) fire(cancel);
    gate_wait(heard.done, 1);
    gate_wait(heard.freed, 1);
    pthread_join(second, NULL);
    if (round % 4 == 1) pthread_join(first, NULL);
    if (round % 4 == 3) fire(cancel);
    cancelled += heard.status == SUBROSA_CANCELLED;
    CHECK(gate_count(heard.done) == 1 && gate_count(heard.freed) == 1);
    subrosa_cancel_close(cancel);
    heard_free(&heard);
  }
  CHECK(cancelled == 120);
}

/* One token ends many calls; the token's handle may go before they end. */
static void one_token_for_many(void) {
  subrosa_cancel *cancel = token();
  struct heard heard;
  heard_new(&heard);
  for (int i = 0; i < 20; i++) {
    GOOD(subrosa_sync_wait_async(sync_handle, -1, cancel, on_done_elsewhere, &heard, NULL, &err));
  }
  CHECK(gate_count(heard.done) == 0);
  fire(cancel);
  subrosa_cancel_close(cancel);
  gate_wait(heard.done, 20);
  CHECK(gate_count(heard.done) == 20 && heard.status == SUBROSA_CANCELLED);
  heard_free(&heard);
}

/* A timeout of its own, and an end by itself. */
static void other_ends(void) {
  struct heard heard;
  subrosa_pair_offer *offer = NULL;
  heard_new(&heard);
  GOOD(subrosa_sync_wait_async(sync_handle, 0, NULL, on_done_elsewhere, &heard, on_free, &err));
  gate_wait(heard.freed, 1);
  CHECK(heard.status == SUBROSA_NO_PROGRESS);
  heard_free(&heard);

  heard_new(&heard);
  GOOD(subrosa_pair_offer_start(store.device, test_relay(), strlen(test_relay()), &offer, &err));
  GOOD(subrosa_pair_offer_wait_async(offer, 0, NULL, on_done_elsewhere, &heard, on_free, &err));
  gate_wait(heard.freed, 1);
  CHECK(heard.status == SUBROSA_TIMEOUT);
  heard_free(&heard);

  heard_new(&heard);
  GOOD(subrosa_pair_offer_wait_async(offer, -1, NULL, on_done_elsewhere, &heard, on_free, &err));
  subrosa_pair_offer_close(offer);
  gate_wait(heard.freed, 1);
  CHECK(heard.status == SUBROSA_PAIR_OVER);
  CHECK(gate_count(heard.done) == 1 && gate_count(heard.freed) == 1);
  heard_free(&heard);
}

/* ---- blocking calls ---- */

struct blocked {
  int which;
  subrosa_cancel *cancel;
  subrosa_events *events;
  subrosa_pair_offer *offer;
  subrosa_moment *moment;
  struct gate *begun;
  int32_t ended;
};

static void *block(void *user) {
  struct blocked *b = user;
  subrosa_event event = {.struct_size = sizeof event};
  gate_open(b->begun);
  if (b->which == 0) b->ended = subrosa_events_wait(b->events, -1, b->cancel, &event, NULL);
  if (b->which == 1) b->ended = subrosa_sync_wait(sync_handle, -1, b->cancel, NULL);
  if (b->which == 2) b->ended = subrosa_pair_offer_wait(b->offer, -1, b->cancel, NULL);
  if (b->which == 3) b->ended = subrosa_moment_wait(b->moment, -1, b->cancel, NULL);
  return NULL;
}

static void blocking_twins(void) {
  struct blocked b = {0};
  GOOD(subrosa_events_new(&b.events, &err));
  GOOD(subrosa_pair_offer_start(store.device, test_relay(), strlen(test_relay()), &b.offer, &err));
  GOOD(subrosa_sync_moment(sync_handle, &b.moment, &err));
  for (b.which = 0; b.which < 4; b.which++) {
    for (int before = 0; before < 2; before++) {
      pthread_t thread;
      b.cancel = token();
      b.begun = gate_new();
      if (before) fire(b.cancel);
      CHECK(pthread_create(&thread, NULL, block, &b) == 0);
      gate_wait(b.begun, 1);
      fire(b.cancel);
      pthread_join(thread, NULL);
      CHECK(b.ended == SUBROSA_CANCELLED);
      subrosa_cancel_close(b.cancel);
      gate_free(b.begun);
    }
  }
  subrosa_pair_offer_close(b.offer);
  subrosa_moment_close(b.moment);
  GOOD(subrosa_events_close(b.events, &err));
}

/* ---- closing ---- */

/* Completions call the library, and try to close what would wait for them. */
static void on_done_closing(void *user, int32_t status, subrosa_error *error) {
  uint64_t count;
  CHECK(status == SUBROSA_CANCELLED);
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  IS(SUBROSA_WOULD_DEADLOCK, subrosa_device_close(store.device, &err));
  on_done(user, status, error);
}

static void completion_calls_back(void) {
  subrosa_cancel *cancel = token();
  struct heard heard;
  heard_new(&heard);
  GOOD(subrosa_sync_wait_async(sync_handle, -1, cancel, on_done_closing, &heard, on_free, &err));
  fire(cancel);
  gate_wait(heard.freed, 1);
  subrosa_cancel_close(cancel);
  heard_free(&heard);
}

static void device_closes_under_completions(void) {
  struct heard heard;
  subrosa_moment *moment = NULL;
  heard_new(&heard);
  GOOD(subrosa_sync_moment(sync_handle, &moment, &err));
  for (int i = 0; i < 8; i++) {
    GOOD(subrosa_sync_wait_async(sync_handle, -1, NULL, on_done_elsewhere, &heard, NULL, &err));
  }
  GOOD(subrosa_device_close(store.device, &err));
  /* Closing has waited for them. */
  CHECK(gate_count(heard.done) == 8 && heard.status == SUBROSA_CLOSED);
  IS(SUBROSA_CLOSED, subrosa_sync_wait(sync_handle, -1, NULL, &err));
  IS(SUBROSA_CLOSED, subrosa_moment_wait(moment, -1, NULL, &err));
  subrosa_moment_close(moment);
  GOOD(subrosa_sync_stop(sync_handle, &err));
  reopen_store(&store);
  GOOD(subrosa_sync_start(store.device, SUBROSA_TEXT(NO_RELAY), &sync_handle, &err));
  heard_free(&heard);
}

/* More at once than there are threads for: some starts fail, and each of those frees its user. */
static void too_many(void) {
  enum { MANY = 300 };
  subrosa_cancel *cancel = token();
  struct heard heard;
  int started = 0;
  heard_new(&heard);
  for (int i = 0; i < MANY; i++) {
    const int before = gate_count(heard.freed);
    subrosa_error *err = NULL;
    const int32_t got = subrosa_sync_wait_async(sync_handle, -1, cancel, on_done, &heard, i < MANY / 2 ? NULL : on_free, &err);
    if (got == SUBROSA_OK) {
      started++;
      continue;
    }
    CHECK(got == SUBROSA_NO_RESOURCES && subrosa_error_retryable(err));
    CHECK(gate_count(heard.freed) == before + 1);
    subrosa_error_free(err);
    break;
  }
  CHECK(started > 8 && started < MANY);
  gate_free(heard.freed);
  heard.freed = gate_new();
  fire(cancel);
  subrosa_cancel_close(cancel);
  gate_wait(heard.done, started);
  gate_wait(heard.freed, started - MANY / 2);
  heard_free(&heard);
}

int main(void) {
  main_thread = pthread_self();
  start_sync();
  cancel_races();
  one_token_for_many();
  other_ends();
  blocking_twins();
  completion_calls_back();
  device_closes_under_completions();
  too_many();
  stop_sync();
  return report("misuse_async");
}
