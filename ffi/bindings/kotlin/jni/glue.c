#include "glue.h"

#include <stdlib.h>

void wipe(void *data, size_t len) {
  volatile uint8_t *byte = data; /* volatile: a compiler may drop a memset of memory that is freed next */
  while (len-- > 0) *byte++ = 0;
}

static void throw_plain(JNIEnv *env, const char *name, const char *message) {
  jclass cls = (*env)->FindClass(env, name);
  if (cls == NULL) return; /* an exception is pending already */
  (*env)->ThrowNew(env, cls, message);
  (*env)->DeleteLocalRef(env, cls);
}

bool in_take_part(JNIEnv *env, jbyteArray array, jint len, in_bytes *in) {
  in->data = NULL;
  in->heap = NULL;
  in->len = (size_t)len;
  if (len == 0) return true;
  uint8_t *to = in->here;
  if (in->len > sizeof in->here) {
    to = in->heap = malloc(in->len);
    if (to == NULL) {
      throw_plain(env, "java/lang/OutOfMemoryError", "no memory for the bytes of a call");
      return false;
    }
  }
  (*env)->GetByteArrayRegion(env, array, 0, len, (jbyte *)to);
  if ((*env)->ExceptionCheck(env)) {
    free(in->heap);
    return false;
  }
  in->data = to;
  return true;
}

bool in_take(JNIEnv *env, jbyteArray array, in_bytes *in) {
  return in_take_part(env, array, array == NULL ? 0 : (*env)->GetArrayLength(env, array), in);
}

void in_drop(in_bytes *in) { free(in->heap); }

void in_drop_secret(in_bytes *in) {
  if (in->len > 0) wipe(in->heap != NULL ? in->heap : in->here, in->len);
  free(in->heap);
}

bool in_fixed(JNIEnv *env, jbyteArray array, void *out, size_t len) {
  if ((size_t)(*env)->GetArrayLength(env, array) != len) {
    throw_plain(env, "java/lang/IllegalArgumentException", "an array of the wrong length");
    return false;
  }
  (*env)->GetByteArrayRegion(env, array, 0, (jsize)len, out);
  return true;
}

jbyteArray out_bytes(JNIEnv *env, const void *data, size_t len) {
  if (len > INT32_MAX) {
    throw_plain(env, "java/lang/OutOfMemoryError", "more bytes than an array holds");
    return NULL;
  }
  jbyteArray array = (*env)->NewByteArray(env, (jsize)len);
  if (array != NULL && len > 0) (*env)->SetByteArrayRegion(env, array, 0, (jsize)len, data);
  return array;
}

jbyteArray out_buf(JNIEnv *env, subrosa_buf *buf) {
  jbyteArray array = out_bytes(env, buf->data, buf->len);
  subrosa_buf_free(buf);
  return array;
}

jbyteArray out_secret(JNIEnv *env, subrosa_secret *secret) {
  jbyteArray array = out_bytes(env, secret->data, secret->len);
  subrosa_secret_free(secret);
  return array;
}

jlongArray out_longs(JNIEnv *env, const jlong *values, jsize count) {
  jlongArray array = (*env)->NewLongArray(env, count);
  if (array != NULL) (*env)->SetLongArrayRegion(env, array, 0, count, values);
  return array;
}

/* role | is this device | has added_by | public key | added_by */
jbyteArray out_device_info(JNIEnv *env, const subrosa_device_info *info) {
  uint8_t packed[3 + 2 * sizeof info->public_key.bytes];
  packed[0] = (uint8_t)info->role;
  packed[1] = info->is_this != 0;
  packed[2] = info->has_added_by != 0;
  memcpy(packed + 3, info->public_key.bytes, sizeof info->public_key.bytes);
  memcpy(packed + 3 + sizeof info->public_key.bytes, info->added_by.bytes, sizeof info->added_by.bytes);
  return out_bytes(env, packed, sizeof packed);
}

static jobjectArray causes_of(JNIEnv *env, const subrosa_error *err) {
  jclass bytes = (*env)->FindClass(env, "[B");
  if (bytes == NULL) return NULL;
  size_t count = subrosa_error_causes(err);
  jobjectArray causes = (*env)->NewObjectArray(env, (jsize)count, bytes, NULL);
  (*env)->DeleteLocalRef(env, bytes);
  for (size_t i = 0; causes != NULL && i < count; i++) {
    const char *text = subrosa_error_cause(err, i);
    jbyteArray cause = out_bytes(env, text, strlen(text));
    if (cause == NULL) return NULL;
    (*env)->SetObjectArrayElement(env, causes, (jsize)i, cause);
    (*env)->DeleteLocalRef(env, cause);
  }
  return causes;
}

bool failed(JNIEnv *env, int32_t status, subrosa_error **err) {
  if (status == SUBROSA_OK) return false;
  if (!(*env)->ExceptionCheck(env) && (*env)->PushLocalFrame(env, 8) == 0) {
    const char *text = subrosa_error_message(*err);
    jobjectArray causes = causes_of(env, *err);
    jbyteArray message = causes == NULL ? NULL : out_bytes(env, text, strlen(text));
    if (message != NULL) {
      jobject thrown = (*env)->CallStaticObjectMethod(
          env, up.cls, up.exception, (jint)status, message, causes,
          (jboolean)(subrosa_error_retryable(*err) ? JNI_TRUE : JNI_FALSE), (jlong)subrosa_error_number(*err));
      if (!(*env)->ExceptionCheck(env)) (*env)->Throw(env, thrown);
    }
    (*env)->PopLocalFrame(env, NULL);
  }
  subrosa_error_free(*err);
  return true;
}

subrosa_id id_of(jlong high, jlong low) {
  subrosa_id id;
  for (int i = 0; i < 8; i++) {
    id.bytes[i] = (uint8_t)((uint64_t)high >> (56 - 8 * i));
    id.bytes[8 + i] = (uint8_t)((uint64_t)low >> (56 - 8 * i));
  }
  return id;
}
