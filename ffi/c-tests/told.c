/* What a host that starts later can ask, of what events say as it happens: whose edits are held for the clock and until when, and that the
   clock differs from the relay's. For a library with the feature fault-injection, whose clock can be wrong. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

void subrosa_fault_clock_ahead(int64_t ms);

#define HOUR_MS 3600000
#define MINUTE_MS 60000
#define PATIENCE_MS 30000

static struct store laptop;
static char phone_dir[256];
static subrosa_key *phone_key;

/* A second device, `phone`, of the same vault. */
static subrosa_device *pair(void) {
  struct heard coded, joined;
  subrosa_pair_offer *offer = NULL;
  subrosa_pair_join *join = NULL;
  subrosa_device *phone = NULL;
  subrosa_secret link;
  subrosa_device_options options = {.struct_size = sizeof options, .device_name = "phone", .device_name_len = 5};
  heard_new(&coded);
  heard_new(&joined);
  new_folder(phone_dir);
  GOOD(subrosa_key_generate(&phone_key, &err));
  GOOD(subrosa_pair_offer_start(laptop.device, test_relay(), strlen(test_relay()), &offer, &err));
  GOOD(subrosa_pair_offer_link(offer, &link, &err));
  GOOD(subrosa_pair_join_start(phone_dir, strlen(phone_dir), phone_key, &options, (const char *)link.data, link.len, &join, &err));
  GOOD(subrosa_pair_join_wait_code_async(join, PATIENCE_MS, NULL, on_done, &coded, on_free, &err));
  GOOD(subrosa_pair_offer_wait(offer, PATIENCE_MS, NULL, &err));
  gate_wait(coded.freed, 1);
  GOOD(subrosa_pair_join_wait_device_async(join, PATIENCE_MS, NULL, on_done, &joined, on_free, &err));
  GOOD(subrosa_pair_offer_confirm(offer, NULL, 0, NULL, &err));
  gate_wait(joined.freed, 1);
  CHECK(coded.status == SUBROSA_OK && joined.status == SUBROSA_OK);
  GOOD(subrosa_pair_join_device(join, &phone, &err));
  subrosa_pair_join_close(join);
  subrosa_pair_offer_close(offer);
  subrosa_secret_free(&link);
  heard_free(&coded);
  heard_free(&joined);
  return phone;
}

/* Where sync stands when both sides have everything. */
static subrosa_sync_status sync_once(subrosa_device *device) {
  subrosa_sync *sync = NULL;
  subrosa_list *vaults = NULL;
  subrosa_sync_status status = {.struct_size = sizeof status};
  GOOD(subrosa_sync_start(device, test_relay(), strlen(test_relay()), &sync, &err));
  GOOD(subrosa_sync_wait(sync, PATIENCE_MS, NULL, &err));
  GOOD(subrosa_sync_status_of(sync, &status, &err));
  GOOD(subrosa_sync_vaults(sync, &vaults, &err));
  CHECK(subrosa_list_len(vaults) == 0);
  subrosa_list_close(vaults);
  GOOD(subrosa_sync_stop(sync, &err));
  return status;
}

/* The phone writes an hour ahead, and is told that its clock is wrong. */
static void write_ahead(subrosa_device *phone) {
  subrosa_vault *vault = NULL;
  subrosa_collection *notes = NULL;
  subrosa_id id;
  subrosa_sync_status status;
  subrosa_fault_clock_ahead(HOUR_MS);
  GOOD(subrosa_vault_open(phone, SUBROSA_TEXT("personal"), &vault, &err));
  GOOD(subrosa_collection_open(vault, SUBROSA_TEXT("notes"), &notes, &err));
  GOOD(subrosa_insert_json(notes, NULL, SUBROSA_TEXT("{\"ahead\":true}"), &id, &err));
  status = sync_once(phone);
  CHECK(status.clock_ahead_ms > HOUR_MS - MINUTE_MS && status.clock_ahead_ms < HOUR_MS + MINUTE_MS);
  subrosa_collection_close(notes);
  subrosa_vault_close(vault);
  GOOD(subrosa_device_close(phone, &err));
  subrosa_fault_clock_ahead(0);
}

/* How many notes the laptop has, of how many devices something is held, and what of the first. */
static size_t look(uint64_t expected, subrosa_held_info *info) {
  subrosa_list *held = NULL;
  bool clock_is_late = true;
  uint64_t count = 0;
  size_t len = 0;
  GOOD(subrosa_count(laptop.collection, NULL, &count, &err));
  CHECK(count == expected);
  GOOD(subrosa_vault_held(laptop.vault, &held, &clock_is_late, &err));
  CHECK(!clock_is_late);
  len = subrosa_list_len(held);
  if (len > 0) {
    const char *name = NULL;
    size_t name_len = 0;
    subrosa_held_info none = {.struct_size = sizeof none};
    info->struct_size = sizeof *info;
    GOOD(subrosa_list_held(held, 0, info, &err));
    GOOD(subrosa_list_text_view(held, 0, &name, &name_len, &err));
    CHECK(name_len == 5 && memcmp(name, "phone", 5) == 0);
    IS(SUBROSA_INVALID_ARGUMENT, subrosa_list_held(held, 1, &none, &err));
  }
  subrosa_list_close(held);
  return len;
}

int main(void) {
  subrosa_sync_status status;
  subrosa_held_info info, later;
  subrosa_public_key phone;
  open_store(&laptop);
  CHECK(look(1, &info) == 0);
  status = sync_once(laptop.device);
  CHECK(status.clock_ahead_ms == 0 && status.held_until_ms == 0);
  write_ahead(pair());
  GOOD(subrosa_key_public(phone_key, &phone, &err));

  status = sync_once(laptop.device);
  CHECK(status.clock_ahead_ms == 0 && status.held_until_ms > 0);
  CHECK(look(1, &info) == 1);
  CHECK(info.groups == 1 && info.until_ms == status.held_until_ms && info.reserved == 0);
  CHECK(memcmp(phone.bytes, info.public_key.bytes, sizeof phone.bytes) == 0);
  /* A host that starts now, without sync, is told the same. */
  GOOD(subrosa_device_close(laptop.device, &err));
  reopen_store(&laptop);
  CHECK(look(1, &later) == 1 && later.groups == info.groups && later.until_ms == info.until_ms);
  /* When its time has come it is merged. */
  GOOD(subrosa_device_close(laptop.device, &err));
  subrosa_fault_clock_ahead(HOUR_MS);
  reopen_store(&laptop);
  CHECK(look(2, &info) == 0);

  close_store(&laptop);
  subrosa_key_close(phone_key);
  remove_folder(phone_dir);
  return report("told");
}
