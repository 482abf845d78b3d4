/* What the two halves of the scenario runner in C share: the variables of a file, and the answer of a step. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <cjson/cJSON.h>
#include <subrosa.h>

#define PATIENCE_MS 30000

enum kind { KEY, DEVICE, VAULT, TX, EVENTS, SESSION, SYNC, ALIAS, MESSAGE };

/* A variable of the file. Owns its handle; `of` is a vault's device, `dir` and `key` are how to open a device again. */
struct variable {
  enum kind kind;
  char *name, *of, *dir, *key;
  void *handle;
  subrosa_id id;
  subrosa_buf message;
  struct variable *next;
};

/* Something that a step opened for itself. */
struct temporary {
  void *handle;
  void (*close)(void *handle);
};

struct world {
  char work[4096];
  struct variable *variables;
  struct temporary temporaries[8];
  size_t temporaries_len;
  subrosa_buf buffers[2];          /* freed after each step */
  subrosa_secret secret;
  char *answer;
  size_t answer_len, answer_cap;
  char failure[1024];              /* the error's text, for who reads the log */
};

typedef int32_t (*action)(struct world *w, const cJSON *step);
struct named_action {
  const char *name;
  action run;
};
extern const struct named_action data_actions[];

/* Returns from the step with the call's status when it failed. The call passes &err. */
#define TRY(call)                                                  \
  do {                                                             \
    subrosa_error *err = NULL;                                     \
    const int32_t status = (call);                                 \
    if (status != SUBROSA_OK) return note_failure(w, status, err); \
  } while (0)

int32_t note_failure(struct world *w, int32_t status, subrosa_error *err);
void die(const char *what, const char *which);
void say(struct world *w, const char *text);
void say_len(struct world *w, const void *text, size_t len);
void say_hex(struct world *w, const uint8_t *data, size_t len);
void separate(struct world *w, char separator); /* unless the answer is still empty */
const char *text_of(const cJSON *step, const char *field); /* "" when it is not there */
struct variable *variable(struct world *w, enum kind kind, const char *name, const char *of);      /* NULL if there is none */
struct variable *set_variable(struct world *w, enum kind kind, const char *name, const char *of, void *handle);
void *handle_of(struct world *w, enum kind kind, const char *name);                               /* ends the program if there is none */
void close_variable(struct variable *v);
void at_step_end(struct world *w, void *handle, void (*close)(void *handle));
uint8_t *unhex(const char *hex, size_t *len); /* to be freed */
int32_t vault_of(struct world *w, const cJSON *step, subrosa_vault **out);
int32_t find_id(struct world *w, const char *alias, subrosa_id *out);
void name_id(struct world *w, const char *alias, const subrosa_id *id);
void say_id(struct world *w, const subrosa_id *id);

#endif
