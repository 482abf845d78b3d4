/* Loading, and the threads of the engine that call into the VM. */
#include <pthread.h>

#include "glue.h"

upcalls up;

static JavaVM *vm;
static pthread_key_t attached_key;

static const JNINativeMethod natives[] = {SUBROSA_NATIVES};

/* Runs when a thread ends that `attached` has attached: ART aborts on one that is still attached. */
static void detach(void *env) {
  if (env != NULL && vm != NULL) (*vm)->DetachCurrentThread(vm);
}

JNIEnv *attached(void) {
  void *env = NULL;
  if (vm == NULL) return NULL;
  if ((*vm)->GetEnv(vm, &env, JNI_VERSION_1_6) == JNI_OK) return env;
  JavaVMAttachArgs args = {JNI_VERSION_1_6, (char *)"subrosa", NULL};
#ifdef __ANDROID__
  JNIEnv *result = NULL;
  if ((*vm)->AttachCurrentThreadAsDaemon(vm, &result, &args) != JNI_OK) return NULL;
  env = result;
#else
  if ((*vm)->AttachCurrentThreadAsDaemon(vm, &env, &args) != JNI_OK) return NULL;
#endif
  pthread_setspecific(attached_key, env);
  return env;
}

static bool look_up(JNIEnv *env) {
  jclass found = (*env)->FindClass(env, "dev/subrosa/Upcalls");
  if (found == NULL) return false;
  up.cls = (*env)->NewGlobalRef(env, found);
  (*env)->DeleteLocalRef(env, found);
  if (up.cls == NULL) return false;
  up.exception = (*env)->GetStaticMethodID(env, up.cls, "exception", "(I[B[[BZJ)Ljava/lang/Throwable;");
  if (up.exception == NULL) return false;
  up.agree = (*env)->GetStaticMethodID(env, up.cls, "agree", "(Ljava/lang/Object;[B[B)I");
  if (up.agree == NULL) return false;
  up.sign = (*env)->GetStaticMethodID(env, up.cls, "sign", "(Ljava/lang/Object;[B[B)I");
  if (up.sign == NULL) return false;
  up.log = (*env)->GetStaticMethodID(env, up.cls, "log", "(Ljava/lang/Object;I[B)V");
  return up.log != NULL;
}

/* By table: no symbol of the glue but these two is visible, and a shrinker that renamed a method fails here. */
static bool register_natives(JNIEnv *env) {
  jclass cls = (*env)->FindClass(env, "dev/subrosa/Native");
  if (cls == NULL) return false;
  jint result = (*env)->RegisterNatives(env, cls, natives, (jint)(sizeof natives / sizeof natives[0]));
  (*env)->DeleteLocalRef(env, cls);
  return result == JNI_OK;
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *java, void *reserved) {
  (void)reserved;
  void *env = NULL;
  if ((*java)->GetEnv(java, &env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
  if (pthread_key_create(&attached_key, detach) != 0) return JNI_ERR;
  vm = java;
  if (look_up(env) && register_natives(env)) return JNI_VERSION_1_6;
  vm = NULL;
  pthread_key_delete(attached_key);
  return JNI_ERR;
}

JNIEXPORT void JNICALL JNI_OnUnload(JavaVM *java, void *reserved) {
  (void)reserved;
  void *env = NULL;
  subrosa_log_set(0, NULL, NULL, NULL, NULL);
  vm = NULL;
  pthread_key_delete(attached_key);
  if ((*java)->GetEnv(java, &env, JNI_VERSION_1_6) == JNI_OK) {
    JNIEnv *here = env;
    (*here)->DeleteGlobalRef(here, up.cls);
  }
}
