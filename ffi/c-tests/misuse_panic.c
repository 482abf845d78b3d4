/* A panic inside the engine: one handle is spoilt, everything else goes on, nothing is lost. For a library with the feature
   fault-injection, whose next look at the clock panics. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

void subrosa_fault_panic_next(void);

static struct store store;

static void expect_count(uint64_t expected) {
  uint64_t count = 0;
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  CHECK(count == expected);
}

static void reopen_collection(void) {
  subrosa_collection_close(store.collection);
  GOOD(subrosa_collection_open(store.vault, SUBROSA_TEXT("notes"), &store.collection, &err));
}

static void in_a_write(void) {
  subrosa_id id;
  uint64_t count;
  bool truth;
  subrosa_collection *other = NULL;
  GOOD(subrosa_collection_open(store.vault, SUBROSA_TEXT("other"), &other, &err));
  memset(&id, 0xa5, sizeof id);
  subrosa_fault_panic_next();
  IS(SUBROSA_PANIC, subrosa_insert_json(store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  for (size_t i = 0; i < sizeof id; i++) CHECK(id.bytes[i] == 0);
  IS(SUBROSA_POISONED, subrosa_insert_json(store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  IS(SUBROSA_POISONED, subrosa_count(store.collection, NULL, &count, &err));
  /* Other handles of the same store go on. */
  GOOD(subrosa_insert_json(other, NULL, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_delete(other, NULL, &id, &truth, &err));
  reopen_collection();
  expect_count(1);
  subrosa_collection_close(other);
}

static void in_a_transaction(void) {
  subrosa_id id;
  subrosa_tx *tx = NULL;
  subrosa_error *error = NULL;
  int32_t got;
  GOOD(subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, 0, &tx, &err));
  GOOD(subrosa_insert_json(store.collection, tx, SUBROSA_TEXT("{\"half\":1}"), &id, &err));
  subrosa_fault_panic_next();
  got = subrosa_insert_json(store.collection, tx, SUBROSA_TEXT("{\"half\":2}"), &id, &error);
  subrosa_error_free(error);
  if (got == SUBROSA_OK) {
    /* The engine looks at its clock when it commits. */
    IS(SUBROSA_PANIC, subrosa_tx_commit(tx, &err));
  } else {
    CHECK(got == SUBROSA_PANIC);
    IS(SUBROSA_POISONED, subrosa_tx_commit(tx, &err));
    reopen_collection();
  }
  /* Gone, whatever the commit said. */
  IS(SUBROSA_INVALID_HANDLE, subrosa_tx_commit(tx, &err));
  /* All or nothing, and the next writer is not kept out. */
  expect_count(1);
  GOOD(subrosa_tx_begin(store.vault, SUBROSA_TX_WRITE, 0, &tx, &err));
  GOOD(subrosa_insert_json(store.collection, tx, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_delete(store.collection, tx, &id, &(bool){false}, &err));
  GOOD(subrosa_tx_commit(tx, &err));
  expect_count(1);
}

static void in_a_device(void) {
  subrosa_vault *vault = (subrosa_vault *)16, *kept = NULL;
  subrosa_buf name;
  subrosa_error *error = NULL;
  int32_t got;
  subrosa_fault_panic_next();
  got = subrosa_vault_create(store.device, SUBROSA_TEXT("second"), &vault, &error);
  subrosa_error_free(error);
  CHECK(got == SUBROSA_PANIC && vault == NULL);
  IS(SUBROSA_POISONED, subrosa_device_name(store.device, &name, &err));
  IS(SUBROSA_POISONED, subrosa_vault_open(store.device, SUBROSA_TEXT("personal"), &kept, &err));
  /* Its vault was opened before. */
  GOOD(subrosa_vault_name(store.vault, &name, &err));
  subrosa_buf_free(&name);
  expect_count(1);
  /* A spoilt handle can be closed; the store opens again and is whole. */
  GOOD(subrosa_device_close(store.device, &err));
  reopen_store(&store);
  expect_count(1);
}

static void in_another_device(void) {
  struct store other;
  subrosa_id id;
  open_store(&other);
  subrosa_fault_panic_next();
  IS(SUBROSA_PANIC, subrosa_insert_json(other.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  expect_count(1);
  GOOD(subrosa_insert_json(store.collection, NULL, SUBROSA_TEXT("{}"), &id, &err));
  GOOD(subrosa_delete(store.collection, NULL, &id, &(bool){false}, &err));
  GOOD(subrosa_device_close(other.device, &err));
  reopen_store(&other);
  close_store(&other);
}

int main(void) {
  open_store(&store);
  for (int round = 0; round < 5; round++) {
    in_a_write();
    in_a_transaction();
    in_a_device();
  }
  in_another_device();
  close_store(&store);
  return report("misuse_panic");
}
