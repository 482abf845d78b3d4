/* A notebook: notes FOLDER [TEXT [RELAY]] writes the text down, lists all notes, and syncs with the relay. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <subrosa.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every call that can fail returns a status and takes &err; here a failure ends the program. */
#define TRY(call)                                                                   \
  do {                                                                              \
    subrosa_error *err = NULL;                                                      \
    if ((call) != SUBROSA_OK) {                                                     \
      fprintf(stderr, "%s: %s\n", subrosa_status_name(subrosa_error_code(err)), subrosa_error_message(err)); \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

/* The key that opens the store, in a file that only its owner can read. Keep it in the system's keystore if there is one. */
static subrosa_key *load_key(const char *path) {
  uint8_t der[256];
  subrosa_key *key = NULL;
  ssize_t len;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    subrosa_secret made;
    TRY(subrosa_key_generate(&key, &err));
    TRY(subrosa_key_to_pkcs8(key, &made, &err));
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || write(file, made.data, made.len) != (ssize_t)made.len || fsync(file) != 0) perror(path), exit(1);
    close(file);
    subrosa_secret_free(&made); /* wiped */
    return key;
  }
  len = read(file, der, sizeof der);
  close(file);
  TRY(subrosa_key_from_pkcs8(der, len < 0 ? 0 : (size_t)len, &key, &err));
  explicit_bzero(der, sizeof der);
  return key;
}

static void list_notes(subrosa_collection *notes) {
  subrosa_buf rows;
  subrosa_row row;
  subrosa_id last;
  const subrosa_id *after = NULL;
  bool more = true;
  while (more) {
    size_t offset = 0;
    TRY(subrosa_page(notes, NULL, after, 100, SUBROSA_FORMAT_JSON, &rows, &more, &err));
    while (subrosa_rows_next(rows.data, rows.len, &offset, &row)) {
      printf("%.*s\n", (int)row.payload_len, (const char *)row.payload);
      last = row.id;
      after = &last;
    }
    subrosa_buf_free(&rows);
  }
}

int main(int argc, char **argv) {
  char store[4096], key_file[4096];
  subrosa_device *device = NULL;
  subrosa_vault *vault = NULL;
  subrosa_collection *notes = NULL;
  subrosa_key *key;
  bool first;
  if (argc < 2 || argc > 4 || subrosa_abi_version() != SUBROSA_ABI_VERSION) {
    fprintf(stderr, "usage: notes FOLDER [TEXT [RELAY]], with the library of this header\n");
    return 2;
  }
  mkdir(argv[1], 0700);
  snprintf(store, sizeof store, "%s/store", argv[1]);
  snprintf(key_file, sizeof key_file, "%s/key", argv[1]);
  key = load_key(key_file);
  first = access(store, F_OK) != 0;
  TRY((first ? subrosa_device_create : subrosa_device_open)(store, strlen(store), key, NULL, &device, &err));
  TRY((first ? subrosa_vault_create : subrosa_vault_open)(device, SUBROSA_TEXT("personal"), &vault, &err));
  TRY(subrosa_collection_open(vault, SUBROSA_TEXT("notes"), &notes, &err));
  if (argc > 2) {
    subrosa_record *note = NULL;
    subrosa_id id;
    TRY(subrosa_record_new(&note, &err));
    TRY(subrosa_record_set_text(note, SUBROSA_TEXT("text"), argv[2], strlen(argv[2]), &err));
    TRY(subrosa_insert(notes, NULL, note, &id, &err));
    subrosa_record_close(note);
  }
  if (argc > 3) {
    subrosa_sync *sync = NULL;
    TRY(subrosa_sync_start(device, argv[3], strlen(argv[3]), &sync, &err));
    TRY(subrosa_sync_wait(sync, 30000, NULL, &err));
    TRY(subrosa_sync_stop(sync, &err));
  }
  list_notes(notes);
  subrosa_collection_close(notes);
  subrosa_vault_close(vault);
  TRY(subrosa_device_close(device, &err));
  subrosa_key_close(key);
  return 0;
}
