/* What every file of the glue needs. The glue converts between JNI and the C ABI and decides nothing.
 *
 * Text crosses as UTF-8 bytes: JNI's own strings are "modified UTF-8", which is not what the engine reads.
 * Handles cross as jlong: they are tokens, and a stale one is a status. */
#ifndef SUBROSA_JNI_GLUE_H
#define SUBROSA_JNI_GLUE_H

#include <jni.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "subrosa.h"

#define JNI_ARGS JNIEnv *env, jclass cls __attribute__((unused))
#define HANDLE(type, token) ((struct subrosa_##type *)(uintptr_t)(token))
#define TOKEN(pointer) ((jlong)(uintptr_t)(pointer))

#include "natives.h"

/* The bytes of a Java array for the length of one call. */
typedef struct {
  const uint8_t *data; /* NULL when empty */
  size_t len;
  uint8_t *heap;
  uint8_t here[512];
} in_bytes;

/* False: an exception is pending and nothing has to be dropped. A null array is empty. */
bool in_take(JNIEnv *env, jbyteArray array, in_bytes *in);
bool in_take_part(JNIEnv *env, jbyteArray array, jint len, in_bytes *in);
void in_drop(in_bytes *in);
void in_drop_secret(in_bytes *in); /* wipes first */
/* Copies an array that must have exactly this length. */
bool in_fixed(JNIEnv *env, jbyteArray array, void *out, size_t len);

#define TEXT_OF(in) ((const char *)(in).data), ((in).len)
#define BYTES_OF(in) ((in).data), ((in).len)

/* Results. NULL with a pending exception when the heap is full. */
jbyteArray out_bytes(JNIEnv *env, const void *data, size_t len);
jbyteArray out_buf(JNIEnv *env, subrosa_buf *buf);          /* frees it */
jbyteArray out_secret(JNIEnv *env, subrosa_secret *secret); /* wipes it */
jlongArray out_longs(JNIEnv *env, const jlong *values, jsize count);
jbyteArray out_device_info(JNIEnv *env, const subrosa_device_info *info);

/* Borrows the name. */
subrosa_device_options device_options(const in_bytes *name, jlong cache_bytes, jint write_wait_ms);

/* True when the call failed: then its exception is pending and the error is freed. Takes the address, so that the call may stand
 * between the parentheses: C evaluates arguments in any order, and the pointer itself might be read before the call sets it. */
bool failed(JNIEnv *env, int32_t status, subrosa_error **err);

subrosa_id id_of(jlong high, jlong low);

void wipe(void *data, size_t len);

/* The environment of this thread, attached as a daemon if need be and detached when it ends. NULL: the VM is gone. */
JNIEnv *attached(void);

/* dev.subrosa.Upcalls, looked up once. */
typedef struct {
  jclass cls;
  jmethodID exception, agree, sign, log;
} upcalls;
extern upcalls up;

#endif
