/* Collections, many rows in one call, transactions. A tx of 0 is none: the call is one of its own. */
#include "glue.h"

jlong jni_collectionOpen(JNI_ARGS, jlong vault, jbyteArray name) {
  in_bytes in;
  if (!in_take(env, name, &in)) return 0;
  subrosa_collection *collection = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_collection_open(HANDLE(vault, vault), TEXT_OF(in), &collection, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(collection);
}

void jni_collectionClose(JNI_ARGS, jlong collection) {
  (void)env;
  subrosa_collection_close(HANDLE(collection, collection));
}

jbyteArray jni_insert(JNI_ARGS, jlong collection, jlong tx, jlong record) {
  subrosa_id id;
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_insert(HANDLE(collection, collection), HANDLE(tx, tx), HANDLE(record, record), &id, &err);
  return failed(env, status, &err) ? NULL : out_bytes(env, id.bytes, sizeof id.bytes);
}

void jni_put(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jlong record) {
  subrosa_id id = id_of(high, low);
  subrosa_error *err = NULL;
  failed(env, subrosa_put(HANDLE(collection, collection), HANDLE(tx, tx), &id, HANDLE(record, record), &err), &err);
}

void jni_replace(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jlong record) {
  subrosa_id id = id_of(high, low);
  subrosa_error *err = NULL;
  failed(env, subrosa_replace(HANDLE(collection, collection), HANDLE(tx, tx), &id, HANDLE(record, record), &err), &err);
}

jlong jni_get(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low) {
  subrosa_id id = id_of(high, low);
  subrosa_record *record = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_get(HANDLE(collection, collection), HANDLE(tx, tx), &id, &record, &err);
  return failed(env, status, &err) ? 0 : TOKEN(record);
}

jbyteArray jni_insertJson(JNI_ARGS, jlong collection, jlong tx, jbyteArray json) {
  in_bytes in;
  if (!in_take(env, json, &in)) return NULL;
  subrosa_id id;
  subrosa_error *err = NULL;
  int32_t status = subrosa_insert_json(HANDLE(collection, collection), HANDLE(tx, tx), TEXT_OF(in), &id, &err);
  in_drop(&in);
  return failed(env, status, &err) ? NULL : out_bytes(env, id.bytes, sizeof id.bytes);
}

void jni_putJson(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jbyteArray json) {
  in_bytes in;
  if (!in_take(env, json, &in)) return;
  subrosa_id id = id_of(high, low);
  subrosa_error *err = NULL;
  int32_t status = subrosa_put_json(HANDLE(collection, collection), HANDLE(tx, tx), &id, TEXT_OF(in), &err);
  in_drop(&in);
  failed(env, status, &err);
}

void jni_replaceJson(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jbyteArray json) {
  in_bytes in;
  if (!in_take(env, json, &in)) return;
  subrosa_id id = id_of(high, low);
  subrosa_error *err = NULL;
  int32_t status = subrosa_replace_json(HANDLE(collection, collection), HANDLE(tx, tx), &id, TEXT_OF(in), &err);
  in_drop(&in);
  failed(env, status, &err);
}

jbyteArray jni_getJson(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low) {
  subrosa_id id = id_of(high, low);
  subrosa_buf out = {0};
  bool found = false;
  subrosa_error *err = NULL;
  int32_t status = subrosa_get_json(HANDLE(collection, collection), HANDLE(tx, tx), &id, &out, &found, &err);
  return failed(env, status, &err) || !found ? NULL : out_buf(env, &out);
}

jboolean jni_delete(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low) {
  subrosa_id id = id_of(high, low);
  bool existed = false;
  subrosa_error *err = NULL;
  int32_t status = subrosa_delete(HANDLE(collection, collection), HANDLE(tx, tx), &id, &existed, &err);
  return failed(env, status, &err) || !existed ? JNI_FALSE : JNI_TRUE;
}

jlong jni_count(JNI_ARGS, jlong collection, jlong tx) {
  uint64_t count = 0;
  subrosa_error *err = NULL;
  int32_t status = subrosa_count(HANDLE(collection, collection), HANDLE(tx, tx), &count, &err);
  return failed(env, status, &err) ? 0 : (jlong)count;
}

jlong jni_fieldNames(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jbyteArray after, jint limit) {
  in_bytes in = {0};
  if (after != NULL && !in_take(env, after, &in)) return 0;
  subrosa_id id = id_of(high, low);
  subrosa_list *list = NULL;
  subrosa_error *err = NULL;
  /* A name of no bytes is a name: not NULL. */
  const char *from = after == NULL ? NULL : in.data == NULL ? "" : (const char *)in.data;
  int32_t status = subrosa_field_names(HANDLE(collection, collection), HANDLE(tx, tx), &id, from,
                                       after == NULL ? 0 : (size_t)in.len, (size_t)limit, &list, &err);
  if (after != NULL) in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(list);
}

jlong jni_getField(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jbyteArray field) {
  in_bytes in;
  if (!in_take(env, field, &in)) return 0;
  subrosa_id id = id_of(high, low);
  subrosa_record *record = NULL;
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_get_field(HANDLE(collection, collection), HANDLE(tx, tx), &id, TEXT_OF(in), &record, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(record);
}

jbyteArray jni_getFieldJson(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jbyteArray field) {
  in_bytes in;
  if (!in_take(env, field, &in)) return NULL;
  subrosa_id id = id_of(high, low);
  subrosa_buf out = {0};
  bool found = false;
  subrosa_error *err = NULL;
  int32_t status = subrosa_get_field_json(HANDLE(collection, collection), HANDLE(tx, tx), &id, TEXT_OF(in), &out,
                                          &found, &err);
  in_drop(&in);
  return failed(env, status, &err) || !found ? NULL : out_buf(env, &out);
}

jboolean jni_deleteField(JNI_ARGS, jlong collection, jlong tx, jlong high, jlong low, jbyteArray field) {
  in_bytes in;
  if (!in_take(env, field, &in)) return JNI_FALSE;
  subrosa_id id = id_of(high, low);
  bool existed = false;
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_delete_field(HANDLE(collection, collection), HANDLE(tx, tx), &id, TEXT_OF(in), &existed, &err);
  in_drop(&in);
  return failed(env, status, &err) || !existed ? JNI_FALSE : JNI_TRUE;
}

/* ---- many rows ---- */

jbyteArray jni_page(JNI_ARGS, jlong collection, jlong tx, jbyteArray after, jint limit, jint format,
                    jbooleanArray more) {
  subrosa_id from;
  bool begin = (*env)->GetArrayLength(env, after) == 0;
  if (!begin && !in_fixed(env, after, from.bytes, sizeof from.bytes)) return NULL;
  subrosa_buf rows = {0};
  bool follows = false;
  subrosa_error *err = NULL;
  int32_t status = subrosa_page(HANDLE(collection, collection), HANDLE(tx, tx), begin ? NULL : &from, (size_t)limit,
                                format, &rows, &follows, &err);
  if (failed(env, status, &err)) return NULL;
  jboolean answer = follows ? JNI_TRUE : JNI_FALSE;
  (*env)->SetBooleanArrayRegion(env, more, 0, 1, &answer);
  if ((*env)->ExceptionCheck(env)) {
    subrosa_buf_free(&rows);
    return NULL;
  }
  return out_buf(env, &rows);
}

jbyteArray jni_getMany(JNI_ARGS, jlong collection, jlong tx, jbyteArray ids, jint count, jint format) {
  in_bytes in;
  if (!in_take_part(env, ids, count * (jint)sizeof(subrosa_id), &in)) return NULL;
  subrosa_buf rows = {0};
  subrosa_error *err = NULL;
  int32_t status = subrosa_get_many(HANDLE(collection, collection), HANDLE(tx, tx), (const subrosa_id *)in.data,
                                    (size_t)count, format, &rows, &err);
  in_drop(&in);
  return failed(env, status, &err) ? NULL : out_buf(env, &rows);
}

static jbyteArray write_rows(JNIEnv *env, jlong collection, jlong tx, const uint8_t *rows, size_t len) {
  subrosa_buf ids = {0};
  subrosa_error *err = NULL;
  int32_t status = subrosa_write_many(HANDLE(collection, collection), HANDLE(tx, tx), rows, len, &ids, &err);
  return failed(env, status, &err) ? NULL : out_buf(env, &ids);
}

jbyteArray jni_writeMany(JNI_ARGS, jlong collection, jlong tx, jbyteArray rows, jint len) {
  in_bytes in;
  if (!in_take_part(env, rows, len, &in)) return NULL;
  jbyteArray ids = write_rows(env, collection, tx, BYTES_OF(in));
  in_drop(&in);
  return ids;
}

jbyteArray jni_writeManyDirect(JNI_ARGS, jlong collection, jlong tx, jobject rows, jint offset, jint len) {
  const uint8_t *from = (*env)->GetDirectBufferAddress(env, rows);
  return write_rows(env, collection, tx, from == NULL || len == 0 ? NULL : from + offset, (size_t)len);
}

/* ---- transactions ---- */

jlong jni_txBegin(JNI_ARGS, jlong vault, jint mode, jint timeout_ms) {
  subrosa_tx *tx = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_tx_begin(HANDLE(vault, vault), mode, timeout_ms, &tx, &err), &err) ? 0 : TOKEN(tx);
}

void jni_txCommit(JNI_ARGS, jlong tx) {
  subrosa_error *err = NULL;
  failed(env, subrosa_tx_commit(HANDLE(tx, tx), &err), &err);
}

void jni_txAbort(JNI_ARGS, jlong tx) {
  (void)env;
  subrosa_tx_abort(HANDLE(tx, tx));
}
