/* Times calls of the C ABI: bench FOLDER makes a store there and prints one JSON object a line. Nanoseconds per call: the
   median of the samples, the least and the most. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <subrosa.h>
#include <time.h>

enum { RECORDS = 1000, SAMPLES = 31 };

static subrosa_collection *notes, *written;
static subrosa_id ids[RECORDS];
static uint8_t *rows;
static size_t rows_len, next;
static volatile uint64_t sink; /* keeps what a call returns */

static void must(int32_t status) {
  if (status == SUBROSA_OK) return;
  fprintf(stderr, "bench: %s\n", subrosa_status_name(status));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const subrosa_id *next_id(void) { return &ids[next++ % RECORDS]; }

static void no_op(void) { sink += subrosa_abi_version(); }

static subrosa_record *kept;

/* A handle is looked up, a lock taken, nothing else. */
static void len_of_record(void) {
  size_t len;
  must(subrosa_record_len(kept, &len, NULL));
  sink += len;
}

static void get_json(void) {
  subrosa_buf buf;
  bool found;
  must(subrosa_get_json(notes, NULL, next_id(), &buf, &found, NULL));
  sink += buf.len;
  subrosa_buf_free(&buf);
}

static void get_record(void) {
  subrosa_record *record;
  const char *text;
  size_t len;
  must(subrosa_get(notes, NULL, next_id(), &record, NULL));
  must(subrosa_record_get_text_view(record, SUBROSA_TEXT("text"), &text, &len, NULL));
  sink += len;
  subrosa_record_close(record);
}

static void get_many(int32_t format) {
  subrosa_buf buf;
  must(subrosa_get_many(notes, NULL, ids, RECORDS, format, &buf, NULL));
  sink += buf.len;
  subrosa_buf_free(&buf);
}

static void get_many_json(void) { get_many(SUBROSA_FORMAT_JSON); }
static void get_many_fields(void) { get_many(SUBROSA_FORMAT_FIELDS); }

static void write_many(void) {
  subrosa_buf made;
  must(subrosa_write_many(written, NULL, rows, rows_len, &made, NULL));
  sink += made.len;
  subrosa_buf_free(&made);
}

/* RECORDS inserts of JSON objects of 256 bytes. */
static void make_rows(void) {
  const uint32_t json_len = 256, len = 20 + json_len;
  uint8_t *at = rows = calloc(RECORDS, 4 + len);
  if (rows == NULL) exit(1);
  for (int i = 0; i < RECORDS; i++, at += 4 + len) {
    char json[512];
    int used = snprintf(json, sizeof json, "{\"done\":false,\"number\":%d,\"text\":\"", i);
    memset(json + used, 'x', json_len - (size_t)used);
    memcpy(json + json_len - 2, "\"}", 2);
    for (int byte = 0; byte < 4; byte++) at[byte] = (uint8_t)(len >> (8 * byte));
    at[4] = SUBROSA_ROW_INSERT;
    at[5] = SUBROSA_FORMAT_JSON;
    memcpy(at + 24, json, json_len);
  }
  rows_len = (size_t)RECORDS * (4 + len);
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void measure(const char *name, int calls, void (*call)(void)) {
  double samples[SAMPLES];
  for (int i = 0; i < calls; i++) call(); /* warm */
  for (int sample = 0; sample < SAMPLES; sample++) {
    const uint64_t start = now_ns();
    for (int i = 0; i < calls; i++) call();
    samples[sample] = (double)(now_ns() - start) / calls;
  }
  qsort(samples, SAMPLES, sizeof *samples, by_size);
  printf("{\"case\":\"%s\",\"ns\":%.1f,\"min\":%.1f,\"max\":%.1f}\n", name, samples[SAMPLES / 2], samples[0], samples[SAMPLES - 1]);
  fflush(stdout);
}

int main(int argc, char **argv) {
  subrosa_key *key;
  subrosa_device *device;
  subrosa_vault *vault;
  subrosa_buf made;
  if (argc != 2) {
    fprintf(stderr, "usage: bench FOLDER\n");
    return 2;
  }
  must(subrosa_key_generate(&key, NULL));
  must(subrosa_device_create(argv[1], strlen(argv[1]), key, NULL, &device, NULL));
  must(subrosa_vault_create(device, SUBROSA_TEXT("bench"), &vault, NULL));
  must(subrosa_collection_open(vault, SUBROSA_TEXT("notes"), &notes, NULL));
  must(subrosa_collection_open(vault, SUBROSA_TEXT("written"), &written, NULL));
  make_rows();
  must(subrosa_write_many(notes, NULL, rows, rows_len, &made, NULL));
  memcpy(ids, made.data, sizeof ids);
  subrosa_buf_free(&made);

  must(subrosa_record_new(&kept, NULL));
  measure("no-op", 1000000, no_op);
  measure("no-op on a handle", 200000, len_of_record);
  subrosa_record_close(kept);
  measure("get 256 B, JSON", 2000, get_json);
  measure("get 256 B, record", 2000, get_record);
  measure("get_many 1000, JSON", 5, get_many_json);
  measure("get_many 1000, fields", 5, get_many_fields);
  measure("write_many 1000 inserts", 1, write_many);

  free(rows);
  subrosa_collection_close(written);
  subrosa_collection_close(notes);
  subrosa_vault_close(vault);
  must(subrosa_device_close(device, NULL));
  subrosa_key_close(key);
  return 0;
}
