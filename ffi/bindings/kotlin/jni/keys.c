/* The library, ids, keys and their providers, sessions, cancel tokens. */
#include <stdlib.h>

#include "glue.h"

jint jni_abiVersion(JNI_ARGS) {
  (void)env;
  return (jint)subrosa_abi_version();
}

jstring jni_version(JNI_ARGS) { return (*env)->NewStringUTF(env, subrosa_version()); }

jstring jni_statusName(JNI_ARGS, jint status) { return (*env)->NewStringUTF(env, subrosa_status_name(status)); }

/* ---- log ---- */

static void release(void *user) {
  JNIEnv *env = attached();
  if (env != NULL) (*env)->DeleteGlobalRef(env, user);
}

static void log_line(void *user, int32_t level, const char *message) {
  JNIEnv *env = attached();
  if (env == NULL || (*env)->ExceptionCheck(env) || (*env)->PushLocalFrame(env, 4) != 0) return;
  jbyteArray text = out_bytes(env, message, strlen(message));
  if (text != NULL) (*env)->CallStaticVoidMethod(env, up.cls, up.log, (jobject)user, (jint)level, text);
  if ((*env)->ExceptionCheck(env)) (*env)->ExceptionClear(env);
  (*env)->PopLocalFrame(env, NULL);
}

void jni_logSet(JNI_ARGS, jint level_max, jobject sink) {
  subrosa_error *err = NULL;
  if (sink == NULL) {
    failed(env, subrosa_log_set(level_max, NULL, NULL, NULL, &err), &err);
    return;
  }
  jobject kept = (*env)->NewGlobalRef(env, sink);
  if (kept == NULL) return;
  failed(env, subrosa_log_set(level_max, log_line, kept, release, &err), &err);
}

/* ---- ids ---- */

jbyteArray jni_idParse(JNI_ARGS, jbyteArray text) {
  in_bytes in;
  if (!in_take(env, text, &in)) return NULL;
  subrosa_id id;
  subrosa_error *err = NULL;
  int32_t status = subrosa_id_parse(TEXT_OF(in), &id, &err);
  in_drop(&in);
  return failed(env, status, &err) ? NULL : out_bytes(env, id.bytes, sizeof id.bytes);
}

jbyteArray jni_idFromName(JNI_ARGS, jbyteArray name) {
  in_bytes in;
  if (!in_take(env, name, &in)) return NULL;
  subrosa_id id;
  subrosa_error *err = NULL;
  int32_t status = subrosa_id_from_name(TEXT_OF(in), &id, &err);
  in_drop(&in);
  return failed(env, status, &err) ? NULL : out_bytes(env, id.bytes, sizeof id.bytes);
}

jstring jni_idText(JNI_ARGS, jlong high, jlong low) {
  subrosa_id id = id_of(high, low);
  char text[SUBROSA_ID_TEXT_LEN + 1] = {0};
  subrosa_id_text(&id, text);
  return (*env)->NewStringUTF(env, text);
}

/* ---- keys ---- */

jlong jni_keyGenerate(JNI_ARGS) {
  subrosa_key *key = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_key_generate(&key, &err), &err) ? 0 : TOKEN(key);
}

jlong jni_keyFromPkcs8(JNI_ARGS, jbyteArray der) {
  in_bytes in;
  if (!in_take(env, der, &in)) return 0;
  subrosa_key *key = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_key_from_pkcs8(BYTES_OF(in), &key, &err);
  in_drop_secret(&in);
  return failed(env, status, &err) ? 0 : TOKEN(key);
}

jbyteArray jni_keyToPkcs8(JNI_ARGS, jlong key) {
  subrosa_secret out = {0};
  subrosa_error *err = NULL;
  return failed(env, subrosa_key_to_pkcs8(HANDLE(key, key), &out, &err), &err) ? NULL : out_secret(env, &out);
}

jbyteArray jni_keyPublic(JNI_ARGS, jlong key) {
  subrosa_public_key out;
  subrosa_error *err = NULL;
  if (failed(env, subrosa_key_public(HANDLE(key, key), &out, &err), &err)) return NULL;
  return out_bytes(env, out.bytes, sizeof out.bytes);
}

jbyteArray jni_keySign(JNI_ARGS, jlong key, jbyteArray label, jbyteArray message) {
  in_bytes label_in, message_in;
  if (!in_take(env, label, &label_in)) return NULL;
  if (!in_take(env, message, &message_in)) {
    in_drop(&label_in);
    return NULL;
  }
  uint8_t signature[64];
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_key_sign(HANDLE(key, key), BYTES_OF(label_in), BYTES_OF(message_in), signature, &err);
  in_drop(&label_in);
  in_drop(&message_in);
  return failed(env, status, &err) ? NULL : out_bytes(env, signature, sizeof signature);
}

void jni_keyClose(JNI_ARGS, jlong key) {
  (void)env;
  subrosa_key_close(HANDLE(key, key));
}

/* ---- keys that live elsewhere ----
   Upcalls.agree and sign catch all that the provider throws and return its code; what is left is the heap being full. */

enum { PROVIDER_UNAVAILABLE = -1, ANSWER_MAX = 64 };

static int32_t ask(jobject provider, jmethodID method, const uint8_t *given, size_t given_len, uint8_t *answer,
                   jsize answer_len) {
  JNIEnv *env = attached();
  if (env == NULL || (*env)->ExceptionCheck(env) || (*env)->PushLocalFrame(env, 8) != 0) return PROVIDER_UNAVAILABLE;
  jint code = PROVIDER_UNAVAILABLE;
  jbyteArray in = out_bytes(env, given, given_len);
  jbyteArray out = in == NULL ? NULL : (*env)->NewByteArray(env, answer_len);
  if (out != NULL) {
    code = (*env)->CallStaticIntMethod(env, up.cls, method, provider, in, out);
    if ((*env)->ExceptionCheck(env)) code = PROVIDER_UNAVAILABLE;
    if (code == 0) {
      static const jbyte zeros[ANSWER_MAX];
      (*env)->GetByteArrayRegion(env, out, 0, answer_len, (jbyte *)answer);
      (*env)->SetByteArrayRegion(env, out, 0, answer_len, zeros); /* what was agreed on is a secret */
    }
  }
  if ((*env)->ExceptionCheck(env)) (*env)->ExceptionClear(env);
  (*env)->PopLocalFrame(env, NULL);
  return code;
}

static int32_t provider_agree(void *user, const subrosa_public_key *peer, uint8_t shared_x[32]) {
  return ask(user, up.agree, peer->bytes, sizeof peer->bytes, shared_x, 32);
}

static int32_t provider_sign(void *user, const uint8_t *message, size_t len, uint8_t signature[64]) {
  return ask(user, up.sign, message, len, signature, 64);
}

jlong jni_keyFromProvider(JNI_ARGS, jbyteArray public_key, jobject provider) {
  subrosa_key_provider given = {.struct_size = sizeof given,
                                .user_free = release,
                                .agree = provider_agree,
                                .sign = provider_sign};
  if (!in_fixed(env, public_key, given.public_key.bytes, sizeof given.public_key.bytes)) return 0;
  given.user = (*env)->NewGlobalRef(env, provider);
  if (given.user == NULL) return 0;
  subrosa_key *key = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_key_from_provider(&given, &key, &err), &err) ? 0 : TOKEN(key);
}

/* ---- public keys ---- */

void jni_publicKeyCheck(JNI_ARGS, jbyteArray public_key) {
  subrosa_public_key key;
  subrosa_error *err = NULL;
  if (in_fixed(env, public_key, key.bytes, sizeof key.bytes)) failed(env, subrosa_public_key_check(&key, &err), &err);
}

jbyteArray jni_publicKeyFromSpki(JNI_ARGS, jbyteArray der) {
  in_bytes in;
  if (!in_take(env, der, &in)) return NULL;
  subrosa_public_key key;
  subrosa_error *err = NULL;
  int32_t status = subrosa_public_key_from_spki(BYTES_OF(in), &key, &err);
  in_drop(&in);
  return failed(env, status, &err) ? NULL : out_bytes(env, key.bytes, sizeof key.bytes);
}

jbyteArray jni_publicKeyToSpki(JNI_ARGS, jbyteArray public_key) {
  subrosa_public_key key;
  uint8_t der[91];
  subrosa_error *err = NULL;
  if (!in_fixed(env, public_key, key.bytes, sizeof key.bytes)) return NULL;
  if (failed(env, subrosa_public_key_to_spki(&key, der, &err), &err)) return NULL;
  return out_bytes(env, der, sizeof der);
}

void jni_publicKeyVerify(JNI_ARGS, jbyteArray public_key, jbyteArray label, jbyteArray message, jbyteArray signature) {
  subrosa_public_key key;
  uint8_t signature_in[64];
  in_bytes label_in, message_in;
  if (!in_fixed(env, public_key, key.bytes, sizeof key.bytes)) return;
  if (!in_fixed(env, signature, signature_in, sizeof signature_in)) return;
  if (!in_take(env, label, &label_in)) return;
  if (!in_take(env, message, &message_in)) {
    in_drop(&label_in);
    return;
  }
  subrosa_error *err = NULL;
  int32_t status = subrosa_public_key_verify(&key, BYTES_OF(label_in), BYTES_OF(message_in), signature_in, &err);
  in_drop(&label_in);
  in_drop(&message_in);
  failed(env, status, &err);
}

/* ---- sessions ---- */

jlong jni_sessionSelf(JNI_ARGS, jlong key, jint profile, jbyteArray context) {
  in_bytes in;
  if (!in_take(env, context, &in)) return 0;
  subrosa_session *session = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_session_self(HANDLE(key, key), profile, BYTES_OF(in), &session, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(session);
}

jlong jni_sessionPeer(JNI_ARGS, jlong key, jbyteArray peer, jint profile, jbyteArray context) {
  subrosa_public_key other;
  in_bytes in;
  if (!in_fixed(env, peer, other.bytes, sizeof other.bytes)) return 0;
  if (!in_take(env, context, &in)) return 0;
  subrosa_session *session = NULL;
  subrosa_error *err = NULL;
  int32_t status = subrosa_session_peer(HANDLE(key, key), &other, profile, BYTES_OF(in), &session, &err);
  in_drop(&in);
  return failed(env, status, &err) ? 0 : TOKEN(session);
}

jbyteArray jni_sessionSeal(JNI_ARGS, jlong session, jbyteArray aad, jbyteArray plain) {
  in_bytes aad_in, plain_in;
  if (!in_take(env, aad, &aad_in)) return NULL;
  if (!in_take(env, plain, &plain_in)) {
    in_drop(&aad_in);
    return NULL;
  }
  subrosa_buf out = {0};
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_session_seal(HANDLE(session, session), BYTES_OF(aad_in), BYTES_OF(plain_in), &out, &err);
  in_drop(&aad_in);
  in_drop_secret(&plain_in);
  return failed(env, status, &err) ? NULL : out_buf(env, &out);
}

jbyteArray jni_sessionOpen(JNI_ARGS, jlong session, jbyteArray aad, jbyteArray sealed) {
  in_bytes aad_in, sealed_in;
  if (!in_take(env, aad, &aad_in)) return NULL;
  if (!in_take(env, sealed, &sealed_in)) {
    in_drop(&aad_in);
    return NULL;
  }
  subrosa_secret out = {0};
  subrosa_error *err = NULL;
  int32_t status =
      subrosa_session_open(HANDLE(session, session), BYTES_OF(aad_in), BYTES_OF(sealed_in), &out, &err);
  in_drop(&aad_in);
  in_drop(&sealed_in);
  return failed(env, status, &err) ? NULL : out_secret(env, &out);
}

void jni_sessionClose(JNI_ARGS, jlong session) {
  (void)env;
  subrosa_session_close(HANDLE(session, session));
}

/* ---- cancel tokens ---- */

jlong jni_cancelNew(JNI_ARGS) {
  subrosa_cancel *cancel = NULL;
  subrosa_error *err = NULL;
  return failed(env, subrosa_cancel_new(&cancel, &err), &err) ? 0 : TOKEN(cancel);
}

void jni_cancelFire(JNI_ARGS, jlong cancel) {
  subrosa_error *err = NULL;
  failed(env, subrosa_cancel_fire(HANDLE(cancel, cancel), &err), &err);
}

void jni_cancelClose(JNI_ARGS, jlong cancel) {
  (void)env;
  subrosa_cancel_close(HANDLE(cancel, cancel));
}
