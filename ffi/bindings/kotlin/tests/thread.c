/* A thread that the VM does not know, as the engine has them: it signs with the key, and so asks the key's provider. */
#include <jni.h>
#include <pthread.h>

#include "subrosa.h"

static void *sign(void *key) {
  uint8_t signature[64];
  return (void *)(intptr_t)subrosa_key_sign(key, NULL, 0, NULL, 0, signature, NULL);
}

JNIEXPORT jint JNICALL Java_dev_subrosa_tests_NativeThread_sign(JNIEnv *env, jclass cls, jlong key) {
  (void)env;
  (void)cls;
  pthread_t thread;
  void *status = NULL;
  if (pthread_create(&thread, NULL, sign, (void *)(uintptr_t)key) != 0) return -1;
  pthread_join(thread, &status);
  return (jint)(intptr_t)status;
}
