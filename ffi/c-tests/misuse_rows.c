/* Packed rows that are none: truncated, overlong, counts and depths that would not fit into any memory. */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"

static struct store store;

/* Rows under construction. */
struct rows {
  uint8_t *bytes;
  size_t len, cap;
};

static void push(struct rows *rows, const void *data, size_t len) {
  if (rows->len + len > rows->cap) {
    rows->cap = 2 * (rows->len + len);
    rows->bytes = realloc(rows->bytes, rows->cap);
    if (rows->bytes == NULL) abort();
  }
  if (len > 0) memcpy(rows->bytes + rows->len, data, len);
  rows->len += len;
}

static void push_number(struct rows *rows, uint64_t value, int width) {
  for (int i = 0; i < width; i++) push(rows, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

/* A row whose length field says `claimed`. */
static void push_row(struct rows *rows, uint32_t claimed, uint8_t op, uint8_t format, const void *payload, size_t len) {
  static const uint8_t no_id[16];
  push_number(rows, claimed, 4);
  push_number(rows, op, 1);
  push_number(rows, format, 1);
  push_number(rows, 0, 2);
  push(rows, op == SUBROSA_ROW_INSERT ? no_id : store.id.bytes, 16);
  push(rows, payload, len);
}

static void write_many(const struct rows *rows, int32_t expected, const char *what) {
  /* At the end of an allocation of just this size, so that a sanitizer sees any byte too many. */
  uint8_t *exact = malloc(rows->len == 0 ? 1 : rows->len);
  subrosa_buf ids = {(uint8_t *)what, 1, 1};
  uint64_t count = 0;
  subrosa_error *err = SENTINEL;
  int32_t got;
  if (exact == NULL) abort();
  if (rows->len > 0) memcpy(exact, rows->bytes, rows->len);
  got = subrosa_write_many(store.collection, NULL, exact, rows->len, &ids, &err);
  check_status(__FILE__, __LINE__, what, expected, got, err);
  CHECK(ids.data == NULL && ids.len == 0 && ids.cap == 0);
  GOOD(subrosa_count(store.collection, NULL, &count, &err));
  check(__FILE__, __LINE__, what, count == 1);
  free(exact);
}

static void one_row(uint32_t claimed, uint8_t op, uint8_t format, const void *payload, size_t len, int32_t expected, const char *what) {
  struct rows rows = {NULL, 0, 0};
  push_row(&rows, claimed, op, format, payload, len);
  write_many(&rows, expected, what);
  free(rows.bytes);
}

static void fields(const struct rows *payload, int32_t expected, const char *what) {
  one_row((uint32_t)(20 + payload->len), SUBROSA_ROW_INSERT, SUBROSA_FORMAT_FIELDS, payload->bytes, payload->len, expected, what);
}

static void headers(void) {
  const uint32_t claims[] = {0, 1, 19, 23, 1 << 20, INT32_MAX, UINT32_MAX, UINT32_MAX - 3};
  for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
    one_row(claims[i], SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, "{}", 2, SUBROSA_BAD_ROWS, "a length that is not there");
  }
  for (int op = 0; op < 256; op++) {
    if ((op >= SUBROSA_ROW_INSERT && op <= SUBROSA_ROW_DELETE) || op == SUBROSA_ROW_IMPORT) continue;
    one_row(22, (uint8_t)op, SUBROSA_FORMAT_JSON, "{}", 2, SUBROSA_BAD_ROWS, "an op that is none");
  }
  for (int format = 3; format < 256; format++) {
    one_row(22, SUBROSA_ROW_INSERT, (uint8_t)format, "{}", 2, SUBROSA_BAD_ROWS, "a format that is none");
  }
  one_row(22, SUBROSA_ROW_INSERT, 0, "{}", 2, SUBROSA_BAD_ROWS, "a write without a format");
  one_row(22, SUBROSA_ROW_DELETE, SUBROSA_FORMAT_JSON, "{}", 2, SUBROSA_BAD_ROWS, "a delete with a payload");
  one_row(20, SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, "", 0, SUBROSA_NOT_JSON, "JSON of nothing");
  one_row(22, SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, "\xff\xff", 2, SUBROSA_INVALID_UTF8, "JSON that is no UTF-8");
}

static void zeros(void) {
  struct rows rows = {NULL, 0, 0};
  push_row(&rows, 22, SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, "{}", 2);
  for (int at = 6; at < 8; at++) {
    rows.bytes[at] = 1;
    write_many(&rows, SUBROSA_BAD_ROWS, "a reserved byte");
    rows.bytes[at] = 0;
  }
  rows.bytes[8] = 1;
  write_many(&rows, SUBROSA_BAD_ROWS, "an insert with an id");
  free(rows.bytes);
}

/* Every prefix of good rows but the whole ones, and the first row's good work is undone. */
static void truncated(void) {
  struct rows rows = {NULL, 0, 0}, payload = {NULL, 0, 0}, part;
  size_t first;
  push_number(&payload, 2, 4);
  push_number(&payload, 1, 2);
  push(&payload, "a", 1);
  push_number(&payload, SUBROSA_KIND_LIST, 1);
  push_number(&payload, 2, 4);
  push_number(&payload, SUBROSA_KIND_I64, 1);
  push_number(&payload, 7, 8);
  push_number(&payload, SUBROSA_KIND_TEXT, 1);
  push_number(&payload, 3, 4);
  push(&payload, "abc", 3);
  push_number(&payload, 1, 2);
  push(&payload, "b", 1);
  push_number(&payload, SUBROSA_KIND_NULL, 1);
  push_row(&rows, 22, SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, "{}", 2);
  first = rows.len;
  push_row(&rows, (uint32_t)(20 + payload.len), SUBROSA_ROW_PUT, SUBROSA_FORMAT_FIELDS, payload.bytes, payload.len);
  for (size_t len = first + 1; len < rows.len; len++) {
    part = rows;
    part.len = len;
    write_many(&part, SUBROSA_BAD_ROWS, "cut off");
  }
  for (size_t len = 0; len < payload.len; len++) {
    part = payload;
    part.len = len;
    fields(&part, SUBROSA_BAD_ROWS, "fields that are cut off");
  }
  push(&payload, "", 1);
  fields(&payload, SUBROSA_BAD_ROWS, "a byte behind the fields");
  free(payload.bytes);
  free(rows.bytes);
}

/* { "f": value }, with whatever value. */
static void value(const char *what, int32_t expected, const void *bytes, size_t len) {
  struct rows payload = {NULL, 0, 0};
  push_number(&payload, 1, 4);
  push_number(&payload, 1, 2);
  push(&payload, "f", 1);
  push(&payload, bytes, len);
  fields(&payload, expected, what);
  free(payload.bytes);
}
#define VALUE(what, expected, literal) value(what, expected, literal, sizeof(literal) - 1)

static void values(void) {
  VALUE("a count of fields in a map", SUBROSA_BAD_ROWS, "\x08\xff\xff\xff\xff");
  VALUE("a count of values in a list", SUBROSA_BAD_ROWS, "\x07\xff\xff\xff\x7f\x01");
  VALUE("a length of text", SUBROSA_BAD_ROWS, "\x05\xff\xff\xff\xff" "abc");
  VALUE("a length of bytes", SUBROSA_BAD_ROWS, "\x06\xf0\xff\xff\x7f" "abc");
  VALUE("a bool of 2", SUBROSA_BAD_ROWS, "\x02\x02");
  VALUE("kind 0", SUBROSA_BAD_ROWS, "\x00");
  VALUE("kind 9", SUBROSA_BAD_ROWS, "\x09");
  VALUE("kind 255", SUBROSA_BAD_ROWS, "\xff");
  VALUE("text that is no UTF-8", SUBROSA_INVALID_UTF8, "\x05\x02\x00\x00\x00\xc0\xaf");
  VALUE("infinity", SUBROSA_NOT_FINITE, "\x04\x00\x00\x00\x00\x00\x00\xf0\x7f");
}

static void bombs(void) {
  struct rows payload = {NULL, 0, 0}, rows = {NULL, 0, 0};
  push_number(&payload, UINT32_MAX, 4);
  fields(&payload, SUBROSA_BAD_ROWS, "a count of fields");
  payload.len = 0;
  push_number(&payload, 2, 4);
  for (int i = 0; i < 2; i++) {
    push_number(&payload, 1, 2);
    push(&payload, "a", 1);
    push_number(&payload, SUBROSA_KIND_NULL, 1);
  }
  fields(&payload, SUBROSA_BAD_ROWS, "a field twice");
  /* Lists in lists: five bytes a level, far deeper than any stack. */
  payload.len = 0;
  push_number(&payload, 1, 4);
  push_number(&payload, 1, 2);
  push(&payload, "a", 1);
  for (int depth = 0; depth < 1000000; depth++) push(&payload, "\x07\x01\x00\x00\x00", 5);
  push_number(&payload, SUBROSA_KIND_NULL, 1);
  fields(&payload, SUBROSA_TOO_DEEP, "lists in lists");
  /* Maps in maps. */
  payload.len = 0;
  for (int depth = 0; depth < 1000000; depth++) push(&payload, "\x01\x00\x00\x00\x01\x00" "a\x08", 8);
  push_number(&payload, 0, 4);
  fields(&payload, SUBROSA_TOO_DEEP, "maps in maps");
  payload.len = 0;
  for (int depth = 0; depth < 100000; depth++) push(&payload, "[", 1);
  one_row((uint32_t)(20 + payload.len), SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, payload.bytes, payload.len, SUBROSA_TOO_DEEP,
          "JSON in JSON");
  for (int i = 0; i <= SUBROSA_ROWS_MAX; i++) push_row(&rows, 22, SUBROSA_ROW_PUT, SUBROSA_FORMAT_JSON, "{}", 2);
  write_many(&rows, SUBROSA_TOO_LARGE, "too many rows");
  free(payload.bytes);
  free(rows.bytes);
}

/* The reader for results meets the same bytes. */
static void reader(void) {
  struct rows rows = {NULL, 0, 0};
  subrosa_row row;
  size_t offset;
  push_row(&rows, 22, SUBROSA_ROW_RECORD, SUBROSA_FORMAT_JSON, "{}", 2);
  for (size_t len = 0; len < rows.len; len++) {
    uint8_t *exact = malloc(len + 1);
    if (exact == NULL) abort();
    memcpy(exact, rows.bytes, len);
    offset = 0;
    CHECK(!subrosa_rows_next(exact, len, &offset, &row));
    free(exact);
  }
  offset = 0;
  CHECK(subrosa_rows_next(rows.bytes, rows.len, &offset, &row));
  CHECK(offset == rows.len && row.op == SUBROSA_ROW_RECORD && row.payload_len == 2);
  CHECK(!subrosa_rows_next(rows.bytes, rows.len, &offset, &row));
  memset(rows.bytes, 0xff, 4);
  offset = 0;
  CHECK(!subrosa_rows_next(rows.bytes, rows.len, &offset, &row));
  free(rows.bytes);
}

int main(void) {
  open_store(&store);
  headers();
  zeros();
  truncated();
  values();
  bombs();
  reader();
  close_store(&store);
  return report("misuse_rows");
}
