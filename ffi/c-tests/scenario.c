/* Runs the scenarios of ffi/scenario through the C ABI: scenario-c SCENARIOS WORK. Its README says what each step means. */
#define _POSIX_C_SOURCE 200809L
#include "scenario.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- variables and answers ---- */

void die(const char *what, const char *which) {
  fprintf(stderr, "%s: %s\n", what, which);
  exit(1);
}

static void *must(void *memory) {
  if (memory == NULL) die("out of memory", "");
  return memory;
}

static char *copy(const char *text) { return must(strdup(text)); }

int32_t note_failure(struct world *w, int32_t status, subrosa_error *err) {
  snprintf(w->failure, sizeof w->failure, "%s: %s", subrosa_status_name(status), subrosa_error_message(err));
  if (subrosa_error_code(err) != status) die("status and error differ", w->failure);
  subrosa_error_free(err);
  return status;
}

void say_len(struct world *w, const void *text, size_t len) {
  if (w->answer_len + len + 1 > w->answer_cap) {
    w->answer_cap = 2 * (w->answer_len + len + 1);
    w->answer = must(realloc(w->answer, w->answer_cap));
  }
  if (len > 0) memcpy(w->answer + w->answer_len, text, len);
  w->answer_len += len;
  w->answer[w->answer_len] = '\0';
}

void say(struct world *w, const char *text) { say_len(w, text, strlen(text)); }

void say_hex(struct world *w, const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", data[i]);
    say(w, digits);
  }
}

void separate(struct world *w, char separator) {
  if (w->answer_len > 0) say_len(w, &separator, 1);
}

const char *text_of(const cJSON *step, const char *field) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(step, field));
  return text == NULL ? "" : text;
}

struct variable *variable(struct world *w, enum kind kind, const char *name, const char *of) {
  struct variable *v = w->variables;
  while (v != NULL && (v->kind != kind || strcmp(v->name, name) != 0 || strcmp(v->of, of) != 0)) v = v->next;
  return v;
}

void close_variable(struct variable *v) {
  void *handle = v->handle;
  v->handle = NULL;
  subrosa_buf_free(&v->message);
  if (handle == NULL) return;
  switch (v->kind) {
    case KEY: subrosa_key_close(handle); break;
    case DEVICE: subrosa_device_close(handle, NULL); break;
    case VAULT: subrosa_vault_close(handle); break;
    case TX: subrosa_tx_abort(handle); break;
    case EVENTS: subrosa_events_close(handle, NULL); break;
    case SESSION: subrosa_session_close(handle); break;
    case SYNC: subrosa_sync_stop(handle, NULL); break;
    case ALIAS: case MESSAGE: break;
  }
}

struct variable *set_variable(struct world *w, enum kind kind, const char *name, const char *of, void *handle) {
  struct variable *v = variable(w, kind, name, of);
  if (v == NULL) {
    v = must(calloc(1, sizeof *v));
    v->kind = kind;
    v->name = copy(name);
    v->of = copy(of);
    v->next = w->variables;
    w->variables = v;
  }
  close_variable(v);
  v->handle = handle;
  return v;
}

void *handle_of(struct world *w, enum kind kind, const char *name) {
  struct variable *v = variable(w, kind, name, "");
  if (v == NULL || v->handle == NULL) die("no such variable", name);
  return v->handle;
}

void at_step_end(struct world *w, void *handle, void (*close)(void *handle)) {
  if (w->temporaries_len == sizeof w->temporaries / sizeof *w->temporaries) die("too many temporaries", "");
  w->temporaries[w->temporaries_len].handle = handle;
  w->temporaries[w->temporaries_len++].close = close;
}

static void end_step(struct world *w) {
  while (w->temporaries_len > 0) {
    w->temporaries_len--;
    w->temporaries[w->temporaries_len].close(w->temporaries[w->temporaries_len].handle);
  }
  subrosa_buf_free(&w->buffers[0]);
  subrosa_buf_free(&w->buffers[1]);
  subrosa_secret_free(&w->secret);
}

uint8_t *unhex(const char *hex, size_t *len) {
  uint8_t *out = must(malloc(strlen(hex) / 2 + 1));
  unsigned byte;
  for (*len = 0; sscanf(hex + 2 * *len, "%2x", &byte) == 1; ++*len) out[*len] = (uint8_t)byte;
  return out;
}

int32_t vault_of(struct world *w, const cJSON *step, subrosa_vault **out) {
  const char *device = text_of(step, "device"), *name = text_of(step, "vault");
  struct variable *v = variable(w, VAULT, name, device);
  if (v == NULL || v->handle == NULL) {
    TRY(subrosa_vault_open(handle_of(w, DEVICE, device), name, strlen(name), out, &err));
    v = set_variable(w, VAULT, name, device, *out);
  }
  *out = v->handle;
  return SUBROSA_OK;
}

void name_id(struct world *w, const char *alias, const subrosa_id *id) { set_variable(w, ALIAS, alias, "", NULL)->id = *id; }

int32_t find_id(struct world *w, const char *alias, subrosa_id *out) {
  struct variable *v;
  if (strncmp(alias, "name:", 5) == 0) {
    TRY(subrosa_id_from_name(alias + 5, strlen(alias + 5), out, &err));
    name_id(w, alias, out);
    return SUBROSA_OK;
  }
  v = variable(w, ALIAS, alias, "");
  if (v == NULL) die("no such alias", alias);
  *out = v->id;
  return SUBROSA_OK;
}

void say_id(struct world *w, const subrosa_id *id) {
  char text[SUBROSA_ID_TEXT_LEN + 1];
  for (const struct variable *v = w->variables; v != NULL; v = v->next) {
    if (v->kind == ALIAS && memcmp(&v->id, id, sizeof *id) == 0) {
      say(w, v->name);
      return;
    }
  }
  subrosa_id_text(id, text);
  say(w, text);
}

/* ---- keys and sessions ---- */

static int32_t do_key(struct world *w, const cJSON *step) {
  subrosa_key *key = NULL;
  TRY(subrosa_key_generate(&key, &err));
  set_variable(w, KEY, text_of(step, "key"), "", key);
  return SUBROSA_OK;
}

static void free_memory(void *memory) { free(memory); }

static int32_t do_import_key(struct world *w, const cJSON *step) {
  size_t len = 0;
  uint8_t *der = unhex(text_of(step, "pkcs8"), &len);
  subrosa_key *key = NULL;
  at_step_end(w, der, free_memory);
  TRY(subrosa_key_from_pkcs8(der, len, &key, &err));
  set_variable(w, KEY, text_of(step, "key"), "", key);
  return SUBROSA_OK;
}

static int32_t do_session(struct world *w, const cJSON *step) {
  const bool ours = strcmp(text_of(step, "profile"), "subrosa/1") == 0;
  const int32_t profile = ours ? SUBROSA_PROFILE_SUBROSA_1 : SUBROSA_PROFILE_SUPABASE_E2EE_V1;
  const char *context = text_of(step, "context");
  const uint8_t *data = (const uint8_t *)context;
  subrosa_key *key = handle_of(w, KEY, text_of(step, "key"));
  subrosa_session *session = NULL;
  if (cJSON_HasObjectItem(step, "peer")) {
    subrosa_public_key peer;
    TRY(subrosa_key_public(handle_of(w, KEY, text_of(step, "peer")), &peer, &err));
    TRY(subrosa_session_peer(key, &peer, profile, data, strlen(context), &session, &err));
  } else {
    TRY(subrosa_session_self(key, profile, data, strlen(context), &session, &err));
  }
  set_variable(w, SESSION, text_of(step, "session"), "", session);
  return SUBROSA_OK;
}

static int32_t do_seal(struct world *w, const cJSON *step) {
  const char *aad = text_of(step, "aad"), *plain = text_of(step, "text");
  subrosa_session *session = handle_of(w, SESSION, text_of(step, "session"));
  subrosa_buf sealed;
  char digits[32];
  TRY(subrosa_session_seal(session, (const uint8_t *)aad, strlen(aad), (const uint8_t *)plain, strlen(plain), &sealed, &err));
  set_variable(w, MESSAGE, text_of(step, "as"), "", NULL)->message = sealed;
  snprintf(digits, sizeof digits, "%zu", sealed.len);
  say(w, digits);
  return SUBROSA_OK;
}

static int32_t do_unseal(struct world *w, const cJSON *step) {
  const char *aad = text_of(step, "aad");
  subrosa_session *session = handle_of(w, SESSION, text_of(step, "session"));
  const struct variable *message = variable(w, MESSAGE, text_of(step, "message"), "");
  const uint8_t *sealed;
  size_t len = 0;
  if (cJSON_HasObjectItem(step, "hex")) {
    uint8_t *data = unhex(text_of(step, "hex"), &len);
    at_step_end(w, data, free_memory);
    sealed = data;
  } else {
    if (message == NULL) die("no such message", text_of(step, "message"));
    sealed = message->message.data;
    len = message->message.len;
  }
  TRY(subrosa_session_open(session, (const uint8_t *)aad, strlen(aad), sealed, len, &w->secret, &err));
  say_len(w, w->secret.data, w->secret.len);
  return SUBROSA_OK;
}

/* ---- devices and vaults ---- */

static void *device_of(struct world *w, const cJSON *step) { return handle_of(w, DEVICE, text_of(step, "device")); }

static void path_of(struct world *w, const char *dir, char out[8192]) { snprintf(out, 8192, "%s/%s", w->work, dir); }

static void keep_device(struct world *w, const char *name, const char *dir, const char *key, subrosa_device *device) {
  struct variable *v = set_variable(w, DEVICE, name, "", device);
  char *dir_copy = copy(dir), *key_copy = copy(key);
  free(v->dir);
  free(v->key);
  v->dir = dir_copy;
  v->key = key_copy;
}

static subrosa_device_options named(const char *name) {
  subrosa_device_options options = {0};
  options.struct_size = sizeof options;
  options.device_name = name;
  options.device_name_len = strlen(name);
  return options;
}

static int32_t do_create(struct world *w, const cJSON *step) {
  const char *dir = text_of(step, "dir"), *key = text_of(step, "key");
  const subrosa_device_options options = named(text_of(step, "name"));
  subrosa_device *device = NULL;
  char path[8192];
  path_of(w, dir, path);
  TRY(subrosa_device_create(path, strlen(path), handle_of(w, KEY, key), &options, &device, &err));
  keep_device(w, text_of(step, "device"), dir, key, device);
  return SUBROSA_OK;
}

static int32_t open_device(struct world *w, const char *name, const char *dir, const char *key) {
  subrosa_device *device = NULL;
  char path[8192];
  path_of(w, dir, path);
  TRY(subrosa_device_open(path, strlen(path), handle_of(w, KEY, key), NULL, &device, &err));
  keep_device(w, name, dir, key, device);
  return SUBROSA_OK;
}

static int32_t do_open(struct world *w, const cJSON *step) {
  return open_device(w, text_of(step, "device"), text_of(step, "dir"), text_of(step, "key"));
}

static int32_t do_close(struct world *w, const cJSON *step) {
  const char *device = text_of(step, "device");
  TRY(subrosa_device_close(device_of(w, step), &err));
  variable(w, DEVICE, device, "")->handle = NULL;
  for (struct variable *v = w->variables; v != NULL; v = v->next) {
    if ((v->kind == VAULT && strcmp(v->of, device) == 0) || (v->kind == SYNC && strcmp(v->name, device) == 0)) close_variable(v);
  }
  return SUBROSA_OK;
}

static int32_t do_restart(struct world *w, const cJSON *step) {
  const int32_t closed = do_close(w, step);
  const struct variable *v = variable(w, DEVICE, text_of(step, "device"), "");
  return closed != SUBROSA_OK ? closed : open_device(w, v->name, v->dir, v->key);
}

static int32_t do_suspend(struct world *w, const cJSON *step) {
  TRY(subrosa_suspend(device_of(w, step), 5000, &err));
  return SUBROSA_OK;
}

static int32_t do_resume(struct world *w, const cJSON *step) {
  TRY(subrosa_resume(device_of(w, step), &err));
  return SUBROSA_OK;
}

static int32_t do_network_changed(struct world *w, const cJSON *step) {
  TRY(subrosa_network_changed(device_of(w, step), &err));
  return SUBROSA_OK;
}

static int32_t do_verify(struct world *w, const cJSON *step) {
  subrosa_verify_report report = {.struct_size = sizeof report};
  TRY(subrosa_device_verify(device_of(w, step), &report, &err));
  say(w, report.bad_segments == 0 ? "good" : "bad");
  return SUBROSA_OK;
}

static int32_t do_create_vault(struct world *w, const cJSON *step) {
  const char *name = text_of(step, "vault");
  subrosa_vault *vault = NULL;
  TRY(subrosa_vault_create(device_of(w, step), name, strlen(name), &vault, &err));
  set_variable(w, VAULT, name, text_of(step, "device"), vault);
  return SUBROSA_OK;
}

static int32_t do_open_vault(struct world *w, const cJSON *step) {
  const char *name = text_of(step, "vault");
  subrosa_vault *vault = NULL;
  TRY(subrosa_vault_open(device_of(w, step), name, strlen(name), &vault, &err));
  set_variable(w, VAULT, name, text_of(step, "device"), vault);
  return SUBROSA_OK;
}

static void close_list(void *handle) { subrosa_list_close(handle); }

static int32_t say_list(struct world *w, subrosa_list *list, bool devices) {
  static const char *const roles[] = {":?", ":admin", ":writer", ":reader"};
  at_step_end(w, list, close_list);
  for (size_t i = 0; i < subrosa_list_len(list); i++) {
    subrosa_device_info info = {.struct_size = sizeof info};
    const char *text = NULL;
    size_t len = 0;
    TRY(subrosa_list_text_view(list, i, &text, &len, &err));
    separate(w, ',');
    say_len(w, text, len);
    if (!devices) continue;
    TRY(subrosa_list_device(list, i, &info, &err));
    say(w, roles[info.role >= 1 && info.role <= SUBROSA_ROLE_READER ? info.role : 0]);
    if (info.is_this) say(w, ":this");
  }
  return SUBROSA_OK;
}

static int32_t do_vaults(struct world *w, const cJSON *step) {
  subrosa_list *list = NULL;
  TRY(subrosa_device_vaults(device_of(w, step), &list, &err));
  return say_list(w, list, false);
}

static int32_t do_devices(struct world *w, const cJSON *step) {
  subrosa_list *list = NULL;
  subrosa_vault *vault = NULL;
  const int32_t status = vault_of(w, step, &vault);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_vault_devices(vault, &list, &err));
  return say_list(w, list, true);
}

static int32_t do_collections(struct world *w, const cJSON *step) {
  subrosa_list *list = NULL;
  subrosa_vault *vault = NULL;
  const int32_t status = vault_of(w, step, &vault);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_vault_collections(vault, &list, &err));
  return say_list(w, list, false);
}

/* ---- sync and pairing ---- */

static const char *relay(void) {
  const char *url = getenv("SUBROSA_TEST_RELAY");
  return url == NULL ? "" : url;
}

static int32_t do_sync(struct world *w, const cJSON *step) {
  subrosa_sync *sync = NULL;
  TRY(subrosa_sync_start(device_of(w, step), relay(), strlen(relay()), &sync, &err));
  set_variable(w, SYNC, text_of(step, "device"), "", sync);
  return SUBROSA_OK;
}

static int32_t do_wait_synced(struct world *w, const cJSON *step) {
  TRY(subrosa_sync_wait(handle_of(w, SYNC, text_of(step, "device")), PATIENCE_MS, NULL, &err));
  return SUBROSA_OK;
}

static int32_t do_stop_sync(struct world *w, const cJSON *step) {
  TRY(subrosa_sync_stop(handle_of(w, SYNC, text_of(step, "device")), &err));
  variable(w, SYNC, text_of(step, "device"), "")->handle = NULL;
  return SUBROSA_OK;
}

static void close_offer(void *handle) { subrosa_pair_offer_close(handle); }
static void close_join(void *handle) { subrosa_pair_join_close(handle); }

/* The new device's side runs on a thread of the library while the old one's runs here. */
struct completion {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool is_over;
  int32_t status;
  subrosa_error *error;
};

static void on_done(void *user, int32_t status, subrosa_error *error) {
  struct completion *there = user;
  pthread_mutex_lock(&there->lock);
  there->status = status;
  there->error = error;
  there->is_over = true;
  pthread_cond_signal(&there->changed);
  pthread_mutex_unlock(&there->lock);
}

/* How both sides ended. If this one failed, the other one is ended. */
static int32_t both(struct world *w, int32_t here, subrosa_error *err, struct completion *there, subrosa_pair_join *join) {
  if (here != SUBROSA_OK) subrosa_pair_join_close(join);
  pthread_mutex_lock(&there->lock);
  while (!there->is_over) pthread_cond_wait(&there->changed, &there->lock);
  there->is_over = false;
  pthread_mutex_unlock(&there->lock);
  if (here == SUBROSA_OK) return there->status == SUBROSA_OK ? SUBROSA_OK : note_failure(w, there->status, there->error);
  subrosa_error_free(there->error);
  return note_failure(w, here, err);
}

static int32_t pair_between(struct world *w, subrosa_pair_offer *offer, subrosa_pair_join *join, bool typed_wrong) {
  struct completion there = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, NULL};
  subrosa_pair_code seen, shown;
  subrosa_error *here = NULL;
  int32_t status;
  TRY(subrosa_pair_join_wait_code_async(join, PATIENCE_MS, NULL, on_done, &there, NULL, &err));
  status = subrosa_pair_offer_wait(offer, PATIENCE_MS, NULL, &here);
  status = both(w, status, here, &there, join);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_pair_offer_request(offer, &seen, &w->buffers[0], &err));
  TRY(subrosa_pair_join_code(join, &shown, &err));
  if (strcmp(seen.text, shown.text) != 0) die("the codes differ", seen.text);
  if (typed_wrong) shown.text[5] = shown.text[5] == '9' ? '0' : (char)(shown.text[5] + 1);
  TRY(subrosa_pair_join_wait_device_async(join, PATIENCE_MS, NULL, on_done, &there, NULL, &err));
  status = subrosa_pair_offer_confirm(offer, shown.text, 6, NULL, &here);
  return both(w, status, here, &there, join);
}

static int32_t pair(struct world *w, const cJSON *step, bool typed_wrong) {
  const char *dir = text_of(step, "dir"), *key = text_of(step, "key");
  const subrosa_device_options options = named(text_of(step, "name"));
  subrosa_pair_offer *offer = NULL;
  subrosa_pair_join *join = NULL;
  subrosa_device *device = NULL;
  char path[8192];
  int32_t status;
  path_of(w, dir, path);
  TRY(subrosa_pair_offer_start(device_of(w, step), relay(), strlen(relay()), &offer, &err));
  at_step_end(w, offer, close_offer);
  TRY(subrosa_pair_offer_link(offer, &w->secret, &err));
  TRY(subrosa_pair_join_start(path, strlen(path), handle_of(w, KEY, key), &options, (const char *)w->secret.data, w->secret.len,
                              &join, &err));
  at_step_end(w, join, close_join);
  status = pair_between(w, offer, join, typed_wrong);
  if (status != SUBROSA_OK) return status;
  TRY(subrosa_pair_join_device(join, &device, &err));
  keep_device(w, text_of(step, "new"), dir, key, device);
  say_len(w, w->buffers[0].data, w->buffers[0].len);
  return SUBROSA_OK;
}

static int32_t do_pair(struct world *w, const cJSON *step) { return pair(w, step, false); }
static int32_t do_pair_wrong_code(struct world *w, const cJSON *step) { return pair(w, step, true); }

static const struct named_action own_actions[] = {
    {"key", do_key}, {"import_key", do_import_key}, {"session", do_session}, {"seal", do_seal}, {"unseal", do_unseal},
    {"create", do_create}, {"open", do_open}, {"close", do_close}, {"restart", do_restart}, {"suspend", do_suspend},
    {"resume", do_resume}, {"network_changed", do_network_changed}, {"verify", do_verify}, {"create_vault", do_create_vault},
    {"open_vault", do_open_vault}, {"vaults", do_vaults}, {"devices", do_devices}, {"collections", do_collections},
    {"sync", do_sync}, {"wait_synced", do_wait_synced}, {"stop_sync", do_stop_sync}, {"pair", do_pair},
    {"pair_wrong_code", do_pair_wrong_code}, {NULL, NULL}};

/* ---- files ---- */

static action find_action(const struct named_action *all, const char *name) {
  while (all->name != NULL && strcmp(all->name, name) != 0) all++;
  return all->run;
}

/* Steps that answer even where the answer is empty. */
static bool answers(const cJSON *step) { return cJSON_HasObjectItem(step, "expect"); }

static bool run_step(struct world *w, const char *place, const cJSON *step) {
  const char *name = text_of(step, "do"), *error = text_of(step, "error");
  action run = find_action(own_actions, name);
  int32_t status;
  if (run == NULL) run = find_action(data_actions, name);
  if (run == NULL) die("no such step", name);
  w->answer_len = 0;
  say(w, "");
  status = run(w, step);
  end_step(w);
  if (status == SUBROSA_OK && w->answer_len == 0 && !answers(step)) say(w, "ok");
  if (strcmp(status == SUBROSA_OK ? "" : subrosa_status_name(status), error) != 0) {
    fprintf(stderr, "%s: expected %s, got %s\n", place, *error == '\0' ? "no error" : error, status == SUBROSA_OK ? w->answer : w->failure);
    return false;
  }
  if (status != SUBROSA_OK) {
    printf("%s error %s\n", place, error);
    return true;
  }
  if (answers(step) && strcmp(text_of(step, "expect"), w->answer) != 0) {
    fprintf(stderr, "%s: expected %s, got %s\n", place, text_of(step, "expect"), w->answer);
    return false;
  }
  printf("%s %s\n", place, w->answer);
  return true;
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  char *text = must(calloc(1, 1 << 20));
  if (file == NULL || fread(text, 1, (1 << 20) - 1, file) == 0) die("cannot read", path);
  fclose(file);
  return text;
}

/* In the order opposite to opening: the list has the youngest first. */
static void end_file(struct world *w) {
  while (w->variables != NULL) {
    struct variable *v = w->variables;
    w->variables = v->next;
    close_variable(v);
    free(v->name), free(v->of), free(v->dir), free(v->key), free(v);
  }
  free(w->answer);
}

static bool run_file(const char *folder, const char *name, const char *work) {
  struct world w = {0};
  char path[8192];
  char *text;
  cJSON *file;
  const cJSON *step;
  int number = 0;
  bool good = true;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  text = read_file(path);
  file = cJSON_Parse(text);
  if (file == NULL) die("no JSON", path);
  snprintf(w.work, sizeof w.work, "%s/%.*s", work, (int)(strlen(name) - strlen(".json")), name);
  if (mkdir(w.work, 0700) != 0) die("cannot make", w.work);
  if (cJSON_IsTrue(cJSON_GetObjectItem(file, "relay")) && *relay() == '\0') die("needs SUBROSA_TEST_RELAY", name);
  cJSON_ArrayForEach(step, cJSON_GetObjectItem(file, "steps")) {
    char place[512];
    snprintf(place, sizeof place, "%s %d %s", name, ++number, text_of(step, "do"));
    good = good && run_step(&w, place, step);
  }
  end_file(&w);
  cJSON_Delete(file);
  free(text);
  return good;
}

static int is_scenario(const struct dirent *entry) {
  const size_t len = strlen(entry->d_name);
  return len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

int main(int argc, char **argv) {
  struct dirent **names = NULL;
  int count;
  bool good = true;
  if (argc != 3) {
    fprintf(stderr, "usage: scenario-c SCENARIOS WORK\n");
    return 2;
  }
  count = scandir(argv[1], &names, is_scenario, alphasort);
  if (count <= 0) die("no scenarios in", argv[1]);
  for (int i = 0; i < count; i++) {
    good = good && run_file(argv[1], names[i]->d_name, argv[2]);
    free(names[i]);
  }
  free(names);
  return good ? 0 : 1;
}
