/* Records as objects. */
#include "glue.h"

jlong jni_recordNew(JNI_ARGS) {
  subrosa_record *record = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_record_new(&record, &err), &err) ? 0 : TOKEN(record);
}

jlong jni_recordFromJson(JNI_ARGS, jbyteArray json) {
  in_bytes in;
  if (!in_take(env, json, &in)) return 0;
  subrosa_record *record = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_record_from_json(TEXT_OF(in), &record, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(record);
}

jbyteArray jni_recordToJson(JNI_ARGS, jlong record) {
  subrosa_buf out = {0};
  subrosa_error *err = NULL;
  return failed(env, subrosa_record_to_json(HANDLE(record, record), &out, &err), &err) ? NULL : out_buf(env, &out);
}

void jni_recordClose(JNI_ARGS, jlong record) {
  (void)env;
  subrosa_record_close(HANDLE(record, record));
}

/* The body of a function with one field name and an expression that calls with it. */
#define WITH_FIELD(failure, call)                        \
  in_bytes name;                                         \
  if (!in_take(env, field, &name)) return failure;       \
  subrosa_error *err = NULL;                             \
  int32_t status = call;                                 \
  in_drop(&name)

#define NOTHING

void jni_recordSetNull(JNI_ARGS, jlong record, jbyteArray field) {
  WITH_FIELD(NOTHING, subrosa_record_set_null(HANDLE(record, record), TEXT_OF(name), &err));
  failed(env, status, &err);
}

void jni_recordSetBool(JNI_ARGS, jlong record, jbyteArray field, jboolean value) {
  WITH_FIELD(NOTHING, subrosa_record_set_bool(HANDLE(record, record), TEXT_OF(name), value == JNI_TRUE, &err));
  failed(env, status, &err);
}

void jni_recordSetI64(JNI_ARGS, jlong record, jbyteArray field, jlong value) {
  WITH_FIELD(NOTHING, subrosa_record_set_i64(HANDLE(record, record), TEXT_OF(name), value, &err));
  failed(env, status, &err);
}

void jni_recordSetF64(JNI_ARGS, jlong record, jbyteArray field, jdouble value) {
  WITH_FIELD(NOTHING, subrosa_record_set_f64(HANDLE(record, record), TEXT_OF(name), value, &err));
  failed(env, status, &err);
}

void jni_recordSetText(JNI_ARGS, jlong record, jbyteArray field, jbyteArray value) {
  in_bytes in;
  if (!in_take(env, value, &in)) return;
  in_bytes name;
  if (!in_take(env, field, &name)) {
    in_drop(&in);
    return;
  }
  subrosa_error *err = NULL;
  int32_t status = subrosa_record_set_text(HANDLE(record, record), TEXT_OF(name), TEXT_OF(in), &err);
  in_drop(&name);
  in_drop(&in);
  failed(env, status, &err);
}

void jni_recordSetBytes(JNI_ARGS, jlong record, jbyteArray field, jbyteArray value) {
  in_bytes in;
  if (!in_take(env, value, &in)) return;
  in_bytes name;
  if (!in_take(env, field, &name)) {
    in_drop(&in);
    return;
  }
  subrosa_error *err = NULL;
  int32_t status = subrosa_record_set_bytes(HANDLE(record, record), TEXT_OF(name), BYTES_OF(in), &err);
  in_drop(&name);
  in_drop(&in);
  failed(env, status, &err);
}

void jni_recordSetJson(JNI_ARGS, jlong record, jbyteArray field, jbyteArray json) {
  in_bytes in;
  if (!in_take(env, json, &in)) return;
  in_bytes name;
  if (!in_take(env, field, &name)) {
    in_drop(&in);
    return;
  }
  subrosa_error *err = NULL;
  int32_t status = subrosa_record_set_json(HANDLE(record, record), TEXT_OF(name), TEXT_OF(in), &err);
  in_drop(&name);
  in_drop(&in);
  failed(env, status, &err);
}

jboolean jni_recordRemove(JNI_ARGS, jlong record, jbyteArray field) {
  bool existed = false;
  WITH_FIELD(JNI_FALSE, subrosa_record_remove(HANDLE(record, record), TEXT_OF(name), &existed, &err));
  return failed(env, status, &err) || !existed ? JNI_FALSE : JNI_TRUE;
}

jint jni_recordLen(JNI_ARGS, jlong record) {
  size_t len = 0;
  subrosa_error *err = NULL;
  return failed(env, subrosa_record_len(HANDLE(record, record), &len, &err), &err) ? 0 : (jint)len;
}

jbyteArray jni_recordFieldName(JNI_ARGS, jlong record, jint index) {
  const char *text = NULL;
  size_t len = 0;
  int32_t kind = 0;
  subrosa_error *err = NULL;
  int32_t status = subrosa_record_field_view(HANDLE(record, record), (size_t)index, &text, &len, &kind, &err);
  return failed(env, status, &err) ? NULL : out_bytes(env, text, len);
}

jint jni_recordKind(JNI_ARGS, jlong record, jbyteArray field) {
  int32_t kind = SUBROSA_KIND_ABSENT;
  WITH_FIELD(0, subrosa_record_kind(HANDLE(record, record), TEXT_OF(name), &kind, &err));
  return failed(env, status, &err) ? 0 : kind;
}

jboolean jni_recordGetBool(JNI_ARGS, jlong record, jbyteArray field) {
  bool value = false;
  WITH_FIELD(JNI_FALSE, subrosa_record_get_bool(HANDLE(record, record), TEXT_OF(name), &value, &err));
  return failed(env, status, &err) || !value ? JNI_FALSE : JNI_TRUE;
}

jlong jni_recordGetI64(JNI_ARGS, jlong record, jbyteArray field) {
  int64_t value = 0;
  WITH_FIELD(0, subrosa_record_get_i64(HANDLE(record, record), TEXT_OF(name), &value, &err));
  return failed(env, status, &err) ? 0 : value;
}

jdouble jni_recordGetF64(JNI_ARGS, jlong record, jbyteArray field) {
  double value = 0;
  WITH_FIELD(0, subrosa_record_get_f64(HANDLE(record, record), TEXT_OF(name), &value, &err));
  return failed(env, status, &err) ? 0 : value;
}

jbyteArray jni_recordGetText(JNI_ARGS, jlong record, jbyteArray field) {
  const char *text = NULL;
  size_t len = 0;
  WITH_FIELD(NULL, subrosa_record_get_text_view(HANDLE(record, record), TEXT_OF(name), &text, &len, &err));
  return failed(env, status, &err) ? NULL : out_bytes(env, text, len);
}

jbyteArray jni_recordGetBytes(JNI_ARGS, jlong record, jbyteArray field) {
  const uint8_t *data = NULL;
  size_t len = 0;
  WITH_FIELD(NULL, subrosa_record_get_bytes_view(HANDLE(record, record), TEXT_OF(name), &data, &len, &err));
  return failed(env, status, &err) ? NULL : out_bytes(env, data, len);
}

jbyteArray jni_recordGetJson(JNI_ARGS, jlong record, jbyteArray field) {
  subrosa_buf out = {0};
  WITH_FIELD(NULL, subrosa_record_get_json(HANDLE(record, record), TEXT_OF(name), &out, &err));
  return failed(env, status, &err) ? NULL : out_buf(env, &out);
}
