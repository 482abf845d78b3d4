/* Steps on records, transactions and events. */
#define _POSIX_C_SOURCE 200809L
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void close_collection(void *handle) { subrosa_collection_close(handle); }
static void close_record(void *handle) { subrosa_record_close(handle); }
static void close_events(void *handle) { subrosa_events_close(handle, NULL); }

static int32_t collection_of(struct world *w, const cJSON *step, subrosa_collection **out) {
  subrosa_vault *vault = NULL;
  const char *name = text_of(step, "collection");
  const int32_t opened = vault_of(w, step, &vault);
  if (opened != SUBROSA_OK) return opened;
  TRY(subrosa_collection_open(vault, name, strlen(name), out, &err));
  at_step_end(w, *out, close_collection);
  return SUBROSA_OK;
}

static subrosa_tx *tx_of(struct world *w, const cJSON *step) {
  return cJSON_HasObjectItem(step, "tx") ? handle_of(w, TX, text_of(step, "tx")) : NULL;
}

/* What every step on records needs. */
struct place {
  subrosa_collection *collection;
  subrosa_tx *tx;
  subrosa_id id;
  const char *json;
};

static int32_t place_of(struct world *w, const cJSON *step, struct place *out) {
  const int32_t status = collection_of(w, step, &out->collection);
  if (status != SUBROSA_OK) return status;
  out->tx = tx_of(w, step);
  out->json = text_of(step, "json");
  return cJSON_HasObjectItem(step, "id") ? find_id(w, text_of(step, "id"), &out->id) : SUBROSA_OK;
}
#define PLACE(p)                                       \
  struct place p = {0};                                \
  do {                                                 \
    const int32_t placed = place_of(w, step, &p);      \
    if (placed != SUBROSA_OK) return placed;           \
  } while (0)

static int32_t do_insert(struct world *w, const cJSON *step) {
  PLACE(p);
  TRY(subrosa_insert_json(p.collection, p.tx, p.json, strlen(p.json), &p.id, &err));
  name_id(w, text_of(step, "as"), &p.id);
  return SUBROSA_OK;
}

static int32_t do_put(struct world *w, const cJSON *step) {
  PLACE(p);
  TRY(subrosa_put_json(p.collection, p.tx, &p.id, p.json, strlen(p.json), &err));
  return SUBROSA_OK;
}

static int32_t do_replace(struct world *w, const cJSON *step) {
  PLACE(p);
  TRY(subrosa_replace_json(p.collection, p.tx, &p.id, p.json, strlen(p.json), &err));
  return SUBROSA_OK;
}

static int32_t get(struct world *w, const struct place *p) {
  bool found = false;
  subrosa_buf_free(&w->buffers[0]);
  TRY(subrosa_get_json(p->collection, p->tx, &p->id, &w->buffers[0], &found, &err));
  if (found) say_len(w, w->buffers[0].data, w->buffers[0].len);
  else say(w, "absent");
  return SUBROSA_OK;
}

static int32_t do_get(struct world *w, const cJSON *step) {
  PLACE(p);
  return get(w, &p);
}

static int64_t now_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int32_t do_await(struct world *w, const cJSON *step) {
  const int64_t deadline = now_ms(CLOCK_MONOTONIC) + PATIENCE_MS;
  subrosa_events *changes = NULL;
  PLACE(p);
  TRY(subrosa_events_new(&changes, &err));
  at_step_end(w, changes, close_events);
  TRY(subrosa_events_add_collection(changes, p.collection, 0, &err));
  for (;;) {
    const int64_t left = deadline - now_ms(CLOCK_MONOTONIC);
    const int32_t status = get(w, &p);
    subrosa_event event = {.struct_size = sizeof event};
    if (status != SUBROSA_OK || left <= 0 || strcmp(w->answer, text_of(step, "expect")) == 0) return status;
    w->answer_len = 0;
    w->answer[0] = '\0';
    TRY(subrosa_events_wait(changes, (int32_t)left, NULL, &event, &err));
    subrosa_event_free(&event);
  }
}

static int32_t set_field(struct world *w, subrosa_record *record, const char *name, const char *kind, const char *value) {
  const size_t len = strlen(name), value_len = strlen(value);
  if (strcmp(kind, "null") == 0) TRY(subrosa_record_set_null(record, name, len, &err));
  else if (strcmp(kind, "bool") == 0) TRY(subrosa_record_set_bool(record, name, len, strcmp(value, "true") == 0, &err));
  else if (strcmp(kind, "i64") == 0) TRY(subrosa_record_set_i64(record, name, len, strtoll(value, NULL, 10), &err));
  else if (strcmp(kind, "f64") == 0) TRY(subrosa_record_set_f64(record, name, len, strtod(value, NULL), &err));
  else if (strcmp(kind, "text") == 0) TRY(subrosa_record_set_text(record, name, len, value, value_len, &err));
  else if (strcmp(kind, "json") == 0) TRY(subrosa_record_set_json(record, name, len, value, value_len, &err));
  else if (strcmp(kind, "bytes") == 0) {
    size_t data_len = 0;
    uint8_t *data = unhex(value, &data_len);
    subrosa_error *err = NULL;
    const int32_t status = subrosa_record_set_bytes(record, name, len, data, data_len, &err);
    free(data);
    if (status != SUBROSA_OK) return note_failure(w, status, err);
  } else die("no such kind", kind);
  return SUBROSA_OK;
}

static int32_t do_set(struct world *w, const cJSON *step) {
  subrosa_record *record = NULL;
  const cJSON *field;
  PLACE(p);
  TRY(subrosa_record_new(&record, &err));
  at_step_end(w, record, close_record);
  cJSON_ArrayForEach(field, cJSON_GetObjectItem(step, "fields")) {
    const char *kind = cJSON_GetStringValue(cJSON_GetArrayItem(field, 0));
    const int32_t status = set_field(w, record, field->string, kind, cJSON_GetStringValue(cJSON_GetArrayItem(field, 1)));
    if (status != SUBROSA_OK) return status;
  }
  TRY(subrosa_put(p.collection, p.tx, &p.id, record, &err));
  return SUBROSA_OK;
}

static int32_t say_field(struct world *w, subrosa_record *record, const char *field, int32_t kind) {
  static const char *const plain[] = {"absent", "null", "bool:", "i64:", "f64:", "text:", "bytes:", "list", "map"};
  const size_t len = strlen(field);
  const char *text = NULL;
  const uint8_t *data = NULL;
  size_t value_len = 0;
  int64_t integer = 0;
  bool truth = false;
  say(w, kind >= SUBROSA_KIND_ABSENT && kind <= SUBROSA_KIND_MAP ? plain[kind] : "?");
  switch (kind) {
    case SUBROSA_KIND_BOOL:
      TRY(subrosa_record_get_bool(record, field, len, &truth, &err));
      say(w, truth ? "true" : "false");
      break;
    case SUBROSA_KIND_I64: {
      char digits[32];
      TRY(subrosa_record_get_i64(record, field, len, &integer, &err));
      snprintf(digits, sizeof digits, "%lld", (long long)integer);
      say(w, digits);
      break;
    }
    case SUBROSA_KIND_F64:
      TRY(subrosa_record_get_json(record, field, len, &w->buffers[0], &err));
      say_len(w, w->buffers[0].data, w->buffers[0].len);
      break;
    case SUBROSA_KIND_TEXT:
      TRY(subrosa_record_get_text_view(record, field, len, &text, &value_len, &err));
      say_len(w, text, value_len);
      break;
    case SUBROSA_KIND_BYTES:
      TRY(subrosa_record_get_bytes_view(record, field, len, &data, &value_len, &err));
      say_hex(w, data, value_len);
      break;
    default: break;
  }
  return SUBROSA_OK;
}

static int32_t do_field(struct world *w, const cJSON *step) {
  const char *field = text_of(step, "field");
  subrosa_record *record = NULL;
  int32_t kind = SUBROSA_KIND_ABSENT;
  PLACE(p);
  TRY(subrosa_get(p.collection, p.tx, &p.id, &record, &err));
  if (record != NULL) {
    at_step_end(w, record, close_record);
    TRY(subrosa_record_kind(record, field, strlen(field), &kind, &err));
  }
  return say_field(w, record, field, kind);
}

static int32_t do_delete(struct world *w, const cJSON *step) {
  bool existed = false;
  PLACE(p);
  TRY(subrosa_delete(p.collection, p.tx, &p.id, &existed, &err));
  say(w, existed ? "existed" : "absent");
  return SUBROSA_OK;
}

static int32_t do_names(struct world *w, const cJSON *step) {
  const size_t limit = (size_t)cJSON_GetNumberValue(cJSON_GetObjectItem(step, "limit"));
  char after[129] = "";
  size_t after_len = 0, found = limit;
  PLACE(p);
  for (bool first = true; found == limit; first = false) {
    subrosa_list *names = NULL;
    TRY(subrosa_field_names(p.collection, p.tx, &p.id, first ? NULL : after, after_len, limit, &names, &err));
    if (names == NULL) say(w, "absent");
    found = subrosa_list_len(names);
    for (size_t i = 0; i < found; i++) {
      const char *name = NULL;
      TRY(subrosa_list_text_view(names, i, &name, &after_len, &err));
      separate(w, ',');
      say_len(w, name, after_len);
      if (after_len > 0) memcpy(after, name, after_len);
    }
    subrosa_list_close(names);
  }
  return SUBROSA_OK;
}

static int32_t do_get_field(struct world *w, const cJSON *step) {
  const char *field = text_of(step, "field");
  bool found = false;
  PLACE(p);
  TRY(subrosa_get_field_json(p.collection, p.tx, &p.id, field, strlen(field), &w->buffers[0], &found, &err));
  if (found) say_len(w, w->buffers[0].data, w->buffers[0].len);
  else say(w, "absent");
  return SUBROSA_OK;
}

static int32_t do_delete_field(struct world *w, const cJSON *step) {
  const char *field = text_of(step, "field");
  bool existed = false;
  PLACE(p);
  TRY(subrosa_delete_field(p.collection, p.tx, &p.id, field, strlen(field), &existed, &err));
  say(w, existed ? "existed" : "absent");
  return SUBROSA_OK;
}

static int32_t do_count(struct world *w, const cJSON *step) {
  uint64_t count = 0;
  char digits[32];
  PLACE(p);
  TRY(subrosa_count(p.collection, p.tx, &count, &err));
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
  say(w, digits);
  return SUBROSA_OK;
}

static int32_t do_scan(struct world *w, const cJSON *step) {
  const size_t limit = (size_t)cJSON_GetNumberValue(cJSON_GetObjectItem(step, "limit"));
  subrosa_id last;
  const subrosa_id *after = NULL;
  bool more = true;
  PLACE(p);
  while (more) {
    size_t offset = 0;
    subrosa_row row;
    subrosa_buf_free(&w->buffers[0]);
    TRY(subrosa_page(p.collection, p.tx, after, limit, SUBROSA_FORMAT_FIELDS, &w->buffers[0], &more, &err));
    while (subrosa_rows_next(w->buffers[0].data, w->buffers[0].len, &offset, &row)) {
      separate(w, ',');
      say_id(w, &row.id);
      last = row.id;
      after = &last;
    }
  }
  return SUBROSA_OK;
}

static int32_t do_get_many(struct world *w, const cJSON *step) {
  const cJSON *aliases = cJSON_GetObjectItem(step, "ids"), *alias;
  subrosa_id ids[64];
  size_t count = 0, offset = 0;
  subrosa_row row;
  PLACE(p);
  if (cJSON_GetArraySize(aliases) > 64) die("too many ids", text_of(step, "do"));
  cJSON_ArrayForEach(alias, aliases) {
    const int32_t status = find_id(w, cJSON_GetStringValue(alias), &ids[count++]);
    if (status != SUBROSA_OK) return status;
  }
  TRY(subrosa_get_many(p.collection, p.tx, ids, count, SUBROSA_FORMAT_JSON, &w->buffers[0], &err));
  while (subrosa_rows_next(w->buffers[0].data, w->buffers[0].len, &offset, &row)) {
    separate(w, '|');
    if (row.op == SUBROSA_ROW_RECORD) say_len(w, row.payload, row.payload_len);
    else say(w, "absent");
  }
  return SUBROSA_OK;
}

static uint8_t op_of(const char *op) {
  static const char *const ops[] = {"insert", "put", "replace", "delete"};
  for (uint8_t i = 0; i < 4; i++) {
    if (strcmp(op, ops[i]) == 0) return (uint8_t)(SUBROSA_ROW_INSERT + i);
  }
  if (strcmp(op, "import") == 0) return SUBROSA_ROW_IMPORT;
  die("no such op", op);
  return 0;
}

/* One packed row, as the header draws it. */
static size_t pack(uint8_t *to, uint8_t op, const subrosa_id *id, const char *json) {
  const uint32_t payload = op == SUBROSA_ROW_DELETE ? 0 : (uint32_t)strlen(json), len = 20 + payload;
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(len >> (8 * i));
  to[4] = op;
  to[5] = op == SUBROSA_ROW_DELETE ? 0 : SUBROSA_FORMAT_JSON;
  to[6] = to[7] = 0;
  memcpy(to + 8, id->bytes, 16);
  memcpy(to + 24, json, payload);
  return 4 + (size_t)len;
}

static int32_t do_write_many(struct world *w, const cJSON *step) {
  uint8_t rows[4096];
  size_t len = 0, index = 0;
  const cJSON *row;
  PLACE(p);
  cJSON_ArrayForEach(row, cJSON_GetObjectItem(step, "rows")) {
    subrosa_id id = {{0}};
    const char *json = text_of(row, "json");
    if (len + 24 + strlen(json) > sizeof rows) die("too many rows", json);
    if (cJSON_HasObjectItem(row, "id")) {
      const int32_t status = find_id(w, text_of(row, "id"), &id);
      if (status != SUBROSA_OK) return status;
    }
    len += pack(rows + len, op_of(text_of(row, "op")), &id, json);
  }
  TRY(subrosa_write_many(p.collection, p.tx, rows, len, &w->buffers[0], &err));
  cJSON_ArrayForEach(row, cJSON_GetObjectItem(step, "rows")) {
    if (cJSON_HasObjectItem(row, "as")) name_id(w, text_of(row, "as"), (const subrosa_id *)(w->buffers[0].data + 16 * index));
    index++;
  }
  return SUBROSA_OK;
}

static int32_t do_begin(struct world *w, const cJSON *step) {
  subrosa_vault *vault = NULL;
  subrosa_tx *tx = NULL;
  const int32_t mode = strcmp(text_of(step, "mode"), "read") == 0 ? SUBROSA_TX_READ : SUBROSA_TX_WRITE;
  const int32_t status = vault_of(w, step, &vault);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_tx_begin(vault, mode, 0, &tx, &err));
  set_variable(w, TX, text_of(step, "tx"), "", tx);
  return SUBROSA_OK;
}

static int32_t do_commit(struct world *w, const cJSON *step) {
  struct variable *tx = variable(w, TX, text_of(step, "tx"), "");
  subrosa_tx *handle = handle_of(w, TX, text_of(step, "tx"));
  tx->handle = NULL;
  TRY(subrosa_tx_commit(handle, &err));
  return SUBROSA_OK;
}

static int32_t do_abort(struct world *w, const cJSON *step) {
  close_variable(variable(w, TX, text_of(step, "tx"), ""));
  return SUBROSA_OK;
}

static int32_t do_watch(struct world *w, const cJSON *step) {
  subrosa_events *events = NULL;
  subrosa_vault *vault = NULL;
  subrosa_collection *collection = NULL;
  const bool whole = !cJSON_HasObjectItem(step, "collection");
  const int32_t status = whole ? vault_of(w, step, &vault) : collection_of(w, step, &collection);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_events_new(&events, &err));
  set_variable(w, EVENTS, text_of(step, "events"), "", events);
  if (whole) TRY(subrosa_events_add_vault(events, vault, 1, &err));
  else TRY(subrosa_events_add_collection(events, collection, 1, &err));
  return SUBROSA_OK;
}

static void say_event(struct world *w, const subrosa_event *event) {
  static const char *const changes[] = {"? ", "inserted ", "updated ", "removed "};
  separate(w, ',');
  if (event->kind == SUBROSA_EVENT_RECORD && event->detail >= 1 && event->detail <= SUBROSA_CHANGE_REMOVED) {
    say(w, changes[event->detail]);
    say_id(w, &event->record);
  } else {
    char kind[32];
    snprintf(kind, sizeof kind, "kind %d", (int)event->kind);
    say(w, kind);
  }
}

static int32_t do_events(struct world *w, const cJSON *step) {
  subrosa_events *events = handle_of(w, EVENTS, text_of(step, "events"));
  const char *expected = text_of(step, "expect");
  size_t awaited = *expected == '\0' ? 0 : 1;
  for (; *expected != '\0'; expected++) awaited += *expected == ',';
  for (;;) {
    subrosa_event event = {.struct_size = sizeof event};
    TRY(subrosa_events_wait(events, awaited == 0 ? 0 : 10000, NULL, &event, &err));
    if (event.kind == SUBROSA_EVENT_NONE) return SUBROSA_OK;
    say_event(w, &event);
    subrosa_event_free(&event);
    if (awaited > 0) awaited--;
  }
}

static int32_t do_tick(struct world *w, const cJSON *step) {
  const int64_t start = now_ms(CLOCK_REALTIME);
  (void)w, (void)step;
  while (now_ms(CLOCK_REALTIME) == start) {
  }
  return SUBROSA_OK;
}

/* ---- stores that are copied, and what is told of it ---- */

static int32_t do_copy(struct world *w, const cJSON *step) {
  const char *from = text_of(step, "dir"), *to = text_of(step, "to");
  char command[3 * 8192];
  snprintf(command, sizeof command, "cp -r '%s/%s' '%s/%s'", w->work, from, w->work, to);
  if (system(command) != 0) say(w, "not copied");
  return SUBROSA_OK;
}

static void close_told(void *handle) { subrosa_list_close(handle); }

static int32_t do_forks(struct world *w, const cJSON *step) {
  subrosa_list *list = NULL;
  subrosa_vault *vault = NULL;
  const int32_t status = vault_of(w, step, &vault);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_vault_forks(vault, &list, &err));
  at_step_end(w, list, close_told);
  for (size_t i = 0; i < subrosa_list_len(list); i++) {
    subrosa_fork_info info = {.struct_size = sizeof info};
    const char *name = NULL;
    char counts[64];
    size_t len = 0;
    TRY(subrosa_list_text_view(list, i, &name, &len, &err));
    TRY(subrosa_list_forks(list, i, &info, &err));
    separate(w, ',');
    say_len(w, name, len);
    snprintf(counts, sizeof counts, ":%llu:%llu", (unsigned long long)info.logs, (unsigned long long)info.futures);
    say(w, counts);
    if (info.is_this) say(w, ":this");
  }
  return SUBROSA_OK;
}

static int32_t do_held(struct world *w, const cJSON *step) {
  subrosa_list *list = NULL;
  subrosa_vault *vault = NULL;
  bool late = false;
  const int32_t status = vault_of(w, step, &vault);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_vault_held(vault, &list, &late, &err));
  at_step_end(w, list, close_told);
  for (size_t i = 0; i < subrosa_list_len(list); i++) {
    subrosa_held_info info = {.struct_size = sizeof info};
    const char *name = NULL;
    char groups[32];
    size_t len = 0;
    TRY(subrosa_list_text_view(list, i, &name, &len, &err));
    TRY(subrosa_list_held(list, i, &info, &err));
    separate(w, ',');
    say_len(w, name, len);
    snprintf(groups, sizeof groups, ":%llu", (unsigned long long)info.groups);
    say(w, groups);
  }
  if (late) {
    separate(w, ',');
    say(w, "late");
  }
  return SUBROSA_OK;
}

const struct named_action data_actions[] = {
    {"insert", do_insert}, {"put", do_put},           {"replace", do_replace},   {"get", do_get},
    {"await", do_await},   {"set", do_set},           {"field", do_field},       {"delete", do_delete},
    {"count", do_count},   {"scan", do_scan},         {"get_many", do_get_many}, {"write_many", do_write_many},
    {"begin", do_begin},   {"commit", do_commit},     {"abort", do_abort},       {"watch", do_watch},
    {"events", do_events}, {"tick", do_tick},         {"names", do_names},       {"get_field", do_get_field},
    {"delete_field", do_delete_field}, {"copy", do_copy}, {"forks", do_forks}, {"held", do_held}, {NULL, NULL}};
