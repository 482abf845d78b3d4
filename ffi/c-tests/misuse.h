/* What the misuse tests share. Each program does to the library what no program should, and expects a status for it. */
#ifndef MISUSE_H
#define MISUSE_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <subrosa.h>

/* Goes on after a failure, so that one run shows them all; main() ends with report(). */
#define CHECK(condition) check(__FILE__, __LINE__, #condition, (condition))
/* The call ends with this status, and passes &err. */
#define IS(status, call)                                             \
  do {                                                               \
    subrosa_error *err = SENTINEL;                                   \
    const int32_t got = (call);                                      \
    check_status(__FILE__, __LINE__, #call, (status), got, err);     \
  } while (0)
#define GOOD(call) IS(SUBROSA_OK, call)
/* What err holds before a call: every call must write over it. */
#define SENTINEL ((subrosa_error *)(uintptr_t)0x5a5a5a50)

void check(const char *file, int line, const char *what, bool good);
void check_status(const char *file, int line, const char *call, int32_t expected, int32_t got, subrosa_error *err);
int report(const char *program);
void forget_failures(void);              /* in a child, of its parent */

/* A device in a new folder, with a vault, a collection and a record in it. */
struct store {
  char dir[256];
  subrosa_key *key;
  subrosa_device *device;
  subrosa_vault *vault;
  subrosa_collection *collection;
  subrosa_id id;
};
void open_store(struct store *out);
void reopen_store(struct store *store);  /* after the device was closed */
void close_store(struct store *store);   /* checks that all is well, closes, removes the folder */
void new_folder(char out[256]);          /* removed by remove_folder */
void remove_folder(const char *dir);
const char *test_relay(void);            /* a relay that runs; ends the program without SUBROSA_TEST_RELAY */
/* A relay that nobody runs: sync with it goes on trying. */
#define NO_RELAY "subrosa://127.0.0.1:9/#gmcdq4y6k77guoqh7qcuz6caucmneonnngzc3wsufdmnxjiyu7qq"

/* Waits between threads, without sleeping. */
struct gate;
struct gate *gate_new(void);
void gate_open(struct gate *gate);              /* once more */
void gate_wait(struct gate *gate, int times);   /* until it was opened so many times; fails after a minute */
int gate_count(struct gate *gate);
void gate_free(struct gate *gate);

/* A `user` for callbacks: counts, and knows when it was freed. */
struct heard {
  struct gate *done, *freed;
  int32_t status;   /* of the last completion */
};
void heard_new(struct heard *out);
void heard_free(struct heard *heard);
void on_done(void *user, int32_t status, subrosa_error *error);
void on_free(void *user);
void on_event_ignored(void *user, const subrosa_event *event);

/* One of each type, alive. */
enum type { KEY, SESSION, CANCEL, DEVICE, LIST, VAULT, RECORD, COLLECTION, TX, EVENTS, SYNC, MOMENT, OFFER, JOIN, FAILURE, TYPES };
struct handles {
  struct store store;
  subrosa_secret link;
  char join_dir[256];
  void *of[TYPES];
};
void open_handles(struct handles *out);
void close_handles(struct handles *handles);
void close_any(enum type type, void *handle);
extern const char *const type_names[TYPES];

#endif
