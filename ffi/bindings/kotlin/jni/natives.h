/* Made by natives.py from dev.subrosa.Native: do not edit. */
jint jni_abiVersion(JNIEnv *, jclass);
jstring jni_version(JNIEnv *, jclass);
jstring jni_statusName(JNIEnv *, jclass, jint);
void jni_logSet(JNIEnv *, jclass, jint, jobject);
jbyteArray jni_idParse(JNIEnv *, jclass, jbyteArray);
jbyteArray jni_idFromName(JNIEnv *, jclass, jbyteArray);
jstring jni_idText(JNIEnv *, jclass, jlong, jlong);
jlong jni_keyGenerate(JNIEnv *, jclass);
jlong jni_keyFromPkcs8(JNIEnv *, jclass, jbyteArray);
jbyteArray jni_keyToPkcs8(JNIEnv *, jclass, jlong);
jbyteArray jni_keyPublic(JNIEnv *, jclass, jlong);
jbyteArray jni_keySign(JNIEnv *, jclass, jlong, jbyteArray, jbyteArray);
jlong jni_keyFromProvider(JNIEnv *, jclass, jbyteArray, jobject);
void jni_keyClose(JNIEnv *, jclass, jlong);
void jni_publicKeyCheck(JNIEnv *, jclass, jbyteArray);
jbyteArray jni_publicKeyFromSpki(JNIEnv *, jclass, jbyteArray);
jbyteArray jni_publicKeyToSpki(JNIEnv *, jclass, jbyteArray);
void jni_publicKeyVerify(JNIEnv *, jclass, jbyteArray, jbyteArray, jbyteArray, jbyteArray);
jlong jni_sessionSelf(JNIEnv *, jclass, jlong, jint, jbyteArray);
jlong jni_sessionPeer(JNIEnv *, jclass, jlong, jbyteArray, jint, jbyteArray);
jbyteArray jni_sessionSeal(JNIEnv *, jclass, jlong, jbyteArray, jbyteArray);
jbyteArray jni_sessionOpen(JNIEnv *, jclass, jlong, jbyteArray, jbyteArray);
void jni_sessionClose(JNIEnv *, jclass, jlong);
jlong jni_cancelNew(JNIEnv *, jclass);
void jni_cancelFire(JNIEnv *, jclass, jlong);
void jni_cancelClose(JNIEnv *, jclass, jlong);
jlong jni_deviceCreate(JNIEnv *, jclass, jbyteArray, jlong, jbyteArray, jlong, jint);
jlong jni_deviceOpen(JNIEnv *, jclass, jbyteArray, jlong, jbyteArray, jlong, jint);
void jni_deviceClose(JNIEnv *, jclass, jlong);
jbyteArray jni_devicePublicKey(JNIEnv *, jclass, jlong);
jbyteArray jni_deviceName(JNIEnv *, jclass, jlong);
void jni_deviceSetRelay(JNIEnv *, jclass, jlong, jbyteArray);
jbyteArray jni_deviceRelay(JNIEnv *, jclass, jlong);
void jni_deviceSuspend(JNIEnv *, jclass, jlong, jint);
void jni_deviceResume(JNIEnv *, jclass, jlong);
void jni_deviceNetworkChanged(JNIEnv *, jclass, jlong);
jlongArray jni_deviceVerify(JNIEnv *, jclass, jlong);
void jni_deviceCompact(JNIEnv *, jclass, jlong);
jlongArray jni_deviceSpace(JNIEnv *, jclass, jlong);
jlong jni_deviceVaults(JNIEnv *, jclass, jlong);
jint jni_listLen(JNIEnv *, jclass, jlong);
jbyteArray jni_listText(JNIEnv *, jclass, jlong, jint);
jbyteArray jni_listVaultId(JNIEnv *, jclass, jlong, jint);
jbyteArray jni_listDevice(JNIEnv *, jclass, jlong, jint);
jbyteArray jni_listForks(JNIEnv *, jclass, jlong, jint);
jbyteArray jni_listHeld(JNIEnv *, jclass, jlong, jint);
jbyteArray jni_listSyncVault(JNIEnv *, jclass, jlong, jint);
void jni_listClose(JNIEnv *, jclass, jlong);
jlong jni_vaultCreate(JNIEnv *, jclass, jlong, jbyteArray);
jlong jni_vaultOpen(JNIEnv *, jclass, jlong, jbyteArray);
jlong jni_vaultOpenById(JNIEnv *, jclass, jlong, jbyteArray);
void jni_vaultClose(JNIEnv *, jclass, jlong);
jbyteArray jni_vaultId(JNIEnv *, jclass, jlong);
jbyteArray jni_vaultName(JNIEnv *, jclass, jlong);
jlong jni_vaultCollections(JNIEnv *, jclass, jlong);
jlong jni_vaultDevices(JNIEnv *, jclass, jlong);
jlong jni_vaultForks(JNIEnv *, jclass, jlong);
jlong jni_vaultHeld(JNIEnv *, jclass, jlong, jbooleanArray);
jboolean jni_vaultIsUpdateNeeded(JNIEnv *, jclass, jlong);
jlong jni_vaultPending(JNIEnv *, jclass, jlong);
jlongArray jni_vaultDelivery(JNIEnv *, jclass, jlong, jbyteArray);
jlong jni_recordNew(JNIEnv *, jclass);
jlong jni_recordFromJson(JNIEnv *, jclass, jbyteArray);
jbyteArray jni_recordToJson(JNIEnv *, jclass, jlong);
void jni_recordClose(JNIEnv *, jclass, jlong);
void jni_recordSetNull(JNIEnv *, jclass, jlong, jbyteArray);
void jni_recordSetBool(JNIEnv *, jclass, jlong, jbyteArray, jboolean);
void jni_recordSetI64(JNIEnv *, jclass, jlong, jbyteArray, jlong);
void jni_recordSetF64(JNIEnv *, jclass, jlong, jbyteArray, jdouble);
void jni_recordSetText(JNIEnv *, jclass, jlong, jbyteArray, jbyteArray);
void jni_recordSetBytes(JNIEnv *, jclass, jlong, jbyteArray, jbyteArray);
void jni_recordSetJson(JNIEnv *, jclass, jlong, jbyteArray, jbyteArray);
jboolean jni_recordRemove(JNIEnv *, jclass, jlong, jbyteArray);
jint jni_recordLen(JNIEnv *, jclass, jlong);
jbyteArray jni_recordFieldName(JNIEnv *, jclass, jlong, jint);
jint jni_recordKind(JNIEnv *, jclass, jlong, jbyteArray);
jboolean jni_recordGetBool(JNIEnv *, jclass, jlong, jbyteArray);
jlong jni_recordGetI64(JNIEnv *, jclass, jlong, jbyteArray);
jdouble jni_recordGetF64(JNIEnv *, jclass, jlong, jbyteArray);
jbyteArray jni_recordGetText(JNIEnv *, jclass, jlong, jbyteArray);
jbyteArray jni_recordGetBytes(JNIEnv *, jclass, jlong, jbyteArray);
jbyteArray jni_recordGetJson(JNIEnv *, jclass, jlong, jbyteArray);
jlong jni_collectionOpen(JNIEnv *, jclass, jlong, jbyteArray);
void jni_collectionClose(JNIEnv *, jclass, jlong);
jbyteArray jni_insert(JNIEnv *, jclass, jlong, jlong, jlong);
void jni_put(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jlong);
void jni_replace(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jlong);
jlong jni_get(JNIEnv *, jclass, jlong, jlong, jlong, jlong);
jbyteArray jni_insertJson(JNIEnv *, jclass, jlong, jlong, jbyteArray);
void jni_putJson(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jbyteArray);
void jni_replaceJson(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jbyteArray);
jbyteArray jni_getJson(JNIEnv *, jclass, jlong, jlong, jlong, jlong);
jboolean jni_delete(JNIEnv *, jclass, jlong, jlong, jlong, jlong);
jlong jni_count(JNIEnv *, jclass, jlong, jlong);
jlong jni_fieldNames(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jbyteArray, jint);
jlong jni_getField(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jbyteArray);
jbyteArray jni_getFieldJson(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jbyteArray);
jboolean jni_deleteField(JNIEnv *, jclass, jlong, jlong, jlong, jlong, jbyteArray);
jbyteArray jni_page(JNIEnv *, jclass, jlong, jlong, jbyteArray, jint, jint, jbooleanArray);
jbyteArray jni_getMany(JNIEnv *, jclass, jlong, jlong, jbyteArray, jint, jint);
jbyteArray jni_writeMany(JNIEnv *, jclass, jlong, jlong, jbyteArray, jint);
jbyteArray jni_writeManyDirect(JNIEnv *, jclass, jlong, jlong, jobject, jint, jint);
jlong jni_txBegin(JNIEnv *, jclass, jlong, jint, jint);
void jni_txCommit(JNIEnv *, jclass, jlong);
void jni_txAbort(JNIEnv *, jclass, jlong);
jlong jni_eventsNew(JNIEnv *, jclass);
void jni_eventsAddVault(JNIEnv *, jclass, jlong, jlong, jlong);
void jni_eventsAddCollection(JNIEnv *, jclass, jlong, jlong, jlong);
void jni_eventsAddSync(JNIEnv *, jclass, jlong, jlong, jlong);
void jni_eventsRemove(JNIEnv *, jclass, jlong, jlong);
jbyteArray jni_eventsWait(JNIEnv *, jclass, jlong, jint, jlong);
void jni_eventsClose(JNIEnv *, jclass, jlong);
jlong jni_syncStart(JNIEnv *, jclass, jlong, jbyteArray);
void jni_syncStop(JNIEnv *, jclass, jlong);
jlongArray jni_syncStatus(JNIEnv *, jclass, jlong);
jbyteArray jni_syncReason(JNIEnv *, jclass, jlong);
jlong jni_syncVaults(JNIEnv *, jclass, jlong);
void jni_syncWait(JNIEnv *, jclass, jlong, jint, jlong);
jlong jni_pairOfferStart(JNIEnv *, jclass, jlong, jbyteArray);
jbyteArray jni_pairOfferLink(JNIEnv *, jclass, jlong);
void jni_pairOfferWait(JNIEnv *, jclass, jlong, jint, jlong);
jbyteArray jni_pairOfferRequest(JNIEnv *, jclass, jlong);
jbyteArray jni_pairOfferConfirm(JNIEnv *, jclass, jlong, jbyteArray);
void jni_pairOfferDecline(JNIEnv *, jclass, jlong);
void jni_pairOfferClose(JNIEnv *, jclass, jlong);
jlong jni_pairJoinStart(JNIEnv *, jclass, jbyteArray, jlong, jbyteArray, jlong, jint, jbyteArray);
jbyteArray jni_pairJoinWaitCode(JNIEnv *, jclass, jlong, jint, jlong);
jlong jni_pairJoinWaitDevice(JNIEnv *, jclass, jlong, jint, jlong);
jbyteArray jni_pairJoinCode(JNIEnv *, jclass, jlong);
jlong jni_pairJoinDevice(JNIEnv *, jclass, jlong);
void jni_pairJoinClose(JNIEnv *, jclass, jlong);

#define SUBROSA_NATIVES \
  {(char *)"abiVersion", (char *)"()I", (void *)jni_abiVersion}, \
  {(char *)"version", (char *)"()Ljava/lang/String;", (void *)jni_version}, \
  {(char *)"statusName", (char *)"(I)Ljava/lang/String;", (void *)jni_statusName}, \
  {(char *)"logSet", (char *)"(ILjava/lang/Object;)V", (void *)jni_logSet}, \
  {(char *)"idParse", (char *)"([B)[B", (void *)jni_idParse}, \
  {(char *)"idFromName", (char *)"([B)[B", (void *)jni_idFromName}, \
  {(char *)"idText", (char *)"(JJ)Ljava/lang/String;", (void *)jni_idText}, \
  {(char *)"keyGenerate", (char *)"()J", (void *)jni_keyGenerate}, \
  {(char *)"keyFromPkcs8", (char *)"([B)J", (void *)jni_keyFromPkcs8}, \
  {(char *)"keyToPkcs8", (char *)"(J)[B", (void *)jni_keyToPkcs8}, \
  {(char *)"keyPublic", (char *)"(J)[B", (void *)jni_keyPublic}, \
  {(char *)"keySign", (char *)"(J[B[B)[B", (void *)jni_keySign}, \
  {(char *)"keyFromProvider", (char *)"([BLjava/lang/Object;)J", (void *)jni_keyFromProvider}, \
  {(char *)"keyClose", (char *)"(J)V", (void *)jni_keyClose}, \
  {(char *)"publicKeyCheck", (char *)"([B)V", (void *)jni_publicKeyCheck}, \
  {(char *)"publicKeyFromSpki", (char *)"([B)[B", (void *)jni_publicKeyFromSpki}, \
  {(char *)"publicKeyToSpki", (char *)"([B)[B", (void *)jni_publicKeyToSpki}, \
  {(char *)"publicKeyVerify", (char *)"([B[B[B[B)V", (void *)jni_publicKeyVerify}, \
  {(char *)"sessionSelf", (char *)"(JI[B)J", (void *)jni_sessionSelf}, \
  {(char *)"sessionPeer", (char *)"(J[BI[B)J", (void *)jni_sessionPeer}, \
  {(char *)"sessionSeal", (char *)"(J[B[B)[B", (void *)jni_sessionSeal}, \
  {(char *)"sessionOpen", (char *)"(J[B[B)[B", (void *)jni_sessionOpen}, \
  {(char *)"sessionClose", (char *)"(J)V", (void *)jni_sessionClose}, \
  {(char *)"cancelNew", (char *)"()J", (void *)jni_cancelNew}, \
  {(char *)"cancelFire", (char *)"(J)V", (void *)jni_cancelFire}, \
  {(char *)"cancelClose", (char *)"(J)V", (void *)jni_cancelClose}, \
  {(char *)"deviceCreate", (char *)"([BJ[BJI)J", (void *)jni_deviceCreate}, \
  {(char *)"deviceOpen", (char *)"([BJ[BJI)J", (void *)jni_deviceOpen}, \
  {(char *)"deviceClose", (char *)"(J)V", (void *)jni_deviceClose}, \
  {(char *)"devicePublicKey", (char *)"(J)[B", (void *)jni_devicePublicKey}, \
  {(char *)"deviceName", (char *)"(J)[B", (void *)jni_deviceName}, \
  {(char *)"deviceSetRelay", (char *)"(J[B)V", (void *)jni_deviceSetRelay}, \
  {(char *)"deviceRelay", (char *)"(J)[B", (void *)jni_deviceRelay}, \
  {(char *)"deviceSuspend", (char *)"(JI)V", (void *)jni_deviceSuspend}, \
  {(char *)"deviceResume", (char *)"(J)V", (void *)jni_deviceResume}, \
  {(char *)"deviceNetworkChanged", (char *)"(J)V", (void *)jni_deviceNetworkChanged}, \
  {(char *)"deviceVerify", (char *)"(J)[J", (void *)jni_deviceVerify}, \
  {(char *)"deviceCompact", (char *)"(J)V", (void *)jni_deviceCompact}, \
  {(char *)"deviceSpace", (char *)"(J)[J", (void *)jni_deviceSpace}, \
  {(char *)"deviceVaults", (char *)"(J)J", (void *)jni_deviceVaults}, \
  {(char *)"listLen", (char *)"(J)I", (void *)jni_listLen}, \
  {(char *)"listText", (char *)"(JI)[B", (void *)jni_listText}, \
  {(char *)"listVaultId", (char *)"(JI)[B", (void *)jni_listVaultId}, \
  {(char *)"listDevice", (char *)"(JI)[B", (void *)jni_listDevice}, \
  {(char *)"listForks", (char *)"(JI)[B", (void *)jni_listForks}, \
  {(char *)"listHeld", (char *)"(JI)[B", (void *)jni_listHeld}, \
  {(char *)"listSyncVault", (char *)"(JI)[B", (void *)jni_listSyncVault}, \
  {(char *)"listClose", (char *)"(J)V", (void *)jni_listClose}, \
  {(char *)"vaultCreate", (char *)"(J[B)J", (void *)jni_vaultCreate}, \
  {(char *)"vaultOpen", (char *)"(J[B)J", (void *)jni_vaultOpen}, \
  {(char *)"vaultOpenById", (char *)"(J[B)J", (void *)jni_vaultOpenById}, \
  {(char *)"vaultClose", (char *)"(J)V", (void *)jni_vaultClose}, \
  {(char *)"vaultId", (char *)"(J)[B", (void *)jni_vaultId}, \
  {(char *)"vaultName", (char *)"(J)[B", (void *)jni_vaultName}, \
  {(char *)"vaultCollections", (char *)"(J)J", (void *)jni_vaultCollections}, \
  {(char *)"vaultDevices", (char *)"(J)J", (void *)jni_vaultDevices}, \
  {(char *)"vaultForks", (char *)"(J)J", (void *)jni_vaultForks}, \
  {(char *)"vaultHeld", (char *)"(J[Z)J", (void *)jni_vaultHeld}, \
  {(char *)"vaultIsUpdateNeeded", (char *)"(J)Z", (void *)jni_vaultIsUpdateNeeded}, \
  {(char *)"vaultPending", (char *)"(J)J", (void *)jni_vaultPending}, \
  {(char *)"vaultDelivery", (char *)"(J[B)[J", (void *)jni_vaultDelivery}, \
  {(char *)"recordNew", (char *)"()J", (void *)jni_recordNew}, \
  {(char *)"recordFromJson", (char *)"([B)J", (void *)jni_recordFromJson}, \
  {(char *)"recordToJson", (char *)"(J)[B", (void *)jni_recordToJson}, \
  {(char *)"recordClose", (char *)"(J)V", (void *)jni_recordClose}, \
  {(char *)"recordSetNull", (char *)"(J[B)V", (void *)jni_recordSetNull}, \
  {(char *)"recordSetBool", (char *)"(J[BZ)V", (void *)jni_recordSetBool}, \
  {(char *)"recordSetI64", (char *)"(J[BJ)V", (void *)jni_recordSetI64}, \
  {(char *)"recordSetF64", (char *)"(J[BD)V", (void *)jni_recordSetF64}, \
  {(char *)"recordSetText", (char *)"(J[B[B)V", (void *)jni_recordSetText}, \
  {(char *)"recordSetBytes", (char *)"(J[B[B)V", (void *)jni_recordSetBytes}, \
  {(char *)"recordSetJson", (char *)"(J[B[B)V", (void *)jni_recordSetJson}, \
  {(char *)"recordRemove", (char *)"(J[B)Z", (void *)jni_recordRemove}, \
  {(char *)"recordLen", (char *)"(J)I", (void *)jni_recordLen}, \
  {(char *)"recordFieldName", (char *)"(JI)[B", (void *)jni_recordFieldName}, \
  {(char *)"recordKind", (char *)"(J[B)I", (void *)jni_recordKind}, \
  {(char *)"recordGetBool", (char *)"(J[B)Z", (void *)jni_recordGetBool}, \
  {(char *)"recordGetI64", (char *)"(J[B)J", (void *)jni_recordGetI64}, \
  {(char *)"recordGetF64", (char *)"(J[B)D", (void *)jni_recordGetF64}, \
  {(char *)"recordGetText", (char *)"(J[B)[B", (void *)jni_recordGetText}, \
  {(char *)"recordGetBytes", (char *)"(J[B)[B", (void *)jni_recordGetBytes}, \
  {(char *)"recordGetJson", (char *)"(J[B)[B", (void *)jni_recordGetJson}, \
  {(char *)"collectionOpen", (char *)"(J[B)J", (void *)jni_collectionOpen}, \
  {(char *)"collectionClose", (char *)"(J)V", (void *)jni_collectionClose}, \
  {(char *)"insert", (char *)"(JJJ)[B", (void *)jni_insert}, \
  {(char *)"put", (char *)"(JJJJJ)V", (void *)jni_put}, \
  {(char *)"replace", (char *)"(JJJJJ)V", (void *)jni_replace}, \
  {(char *)"get", (char *)"(JJJJ)J", (void *)jni_get}, \
  {(char *)"insertJson", (char *)"(JJ[B)[B", (void *)jni_insertJson}, \
  {(char *)"putJson", (char *)"(JJJJ[B)V", (void *)jni_putJson}, \
  {(char *)"replaceJson", (char *)"(JJJJ[B)V", (void *)jni_replaceJson}, \
  {(char *)"getJson", (char *)"(JJJJ)[B", (void *)jni_getJson}, \
  {(char *)"delete", (char *)"(JJJJ)Z", (void *)jni_delete}, \
  {(char *)"count", (char *)"(JJ)J", (void *)jni_count}, \
  {(char *)"fieldNames", (char *)"(JJJJ[BI)J", (void *)jni_fieldNames}, \
  {(char *)"getField", (char *)"(JJJJ[B)J", (void *)jni_getField}, \
  {(char *)"getFieldJson", (char *)"(JJJJ[B)[B", (void *)jni_getFieldJson}, \
  {(char *)"deleteField", (char *)"(JJJJ[B)Z", (void *)jni_deleteField}, \
  {(char *)"page", (char *)"(JJ[BII[Z)[B", (void *)jni_page}, \
  {(char *)"getMany", (char *)"(JJ[BII)[B", (void *)jni_getMany}, \
  {(char *)"writeMany", (char *)"(JJ[BI)[B", (void *)jni_writeMany}, \
  {(char *)"writeManyDirect", (char *)"(JJLjava/nio/ByteBuffer;II)[B", (void *)jni_writeManyDirect}, \
  {(char *)"txBegin", (char *)"(JII)J", (void *)jni_txBegin}, \
  {(char *)"txCommit", (char *)"(J)V", (void *)jni_txCommit}, \
  {(char *)"txAbort", (char *)"(J)V", (void *)jni_txAbort}, \
  {(char *)"eventsNew", (char *)"()J", (void *)jni_eventsNew}, \
  {(char *)"eventsAddVault", (char *)"(JJJ)V", (void *)jni_eventsAddVault}, \
  {(char *)"eventsAddCollection", (char *)"(JJJ)V", (void *)jni_eventsAddCollection}, \
  {(char *)"eventsAddSync", (char *)"(JJJ)V", (void *)jni_eventsAddSync}, \
  {(char *)"eventsRemove", (char *)"(JJ)V", (void *)jni_eventsRemove}, \
  {(char *)"eventsWait", (char *)"(JIJ)[B", (void *)jni_eventsWait}, \
  {(char *)"eventsClose", (char *)"(J)V", (void *)jni_eventsClose}, \
  {(char *)"syncStart", (char *)"(J[B)J", (void *)jni_syncStart}, \
  {(char *)"syncStop", (char *)"(J)V", (void *)jni_syncStop}, \
  {(char *)"syncStatus", (char *)"(J)[J", (void *)jni_syncStatus}, \
  {(char *)"syncReason", (char *)"(J)[B", (void *)jni_syncReason}, \
  {(char *)"syncVaults", (char *)"(J)J", (void *)jni_syncVaults}, \
  {(char *)"syncWait", (char *)"(JIJ)V", (void *)jni_syncWait}, \
  {(char *)"pairOfferStart", (char *)"(J[B)J", (void *)jni_pairOfferStart}, \
  {(char *)"pairOfferLink", (char *)"(J)[B", (void *)jni_pairOfferLink}, \
  {(char *)"pairOfferWait", (char *)"(JIJ)V", (void *)jni_pairOfferWait}, \
  {(char *)"pairOfferRequest", (char *)"(J)[B", (void *)jni_pairOfferRequest}, \
  {(char *)"pairOfferConfirm", (char *)"(J[B)[B", (void *)jni_pairOfferConfirm}, \
  {(char *)"pairOfferDecline", (char *)"(J)V", (void *)jni_pairOfferDecline}, \
  {(char *)"pairOfferClose", (char *)"(J)V", (void *)jni_pairOfferClose}, \
  {(char *)"pairJoinStart", (char *)"([BJ[BJI[B)J", (void *)jni_pairJoinStart}, \
  {(char *)"pairJoinWaitCode", (char *)"(JIJ)[B", (void *)jni_pairJoinWaitCode}, \
  {(char *)"pairJoinWaitDevice", (char *)"(JIJ)J", (void *)jni_pairJoinWaitDevice}, \
  {(char *)"pairJoinCode", (char *)"(J)[B", (void *)jni_pairJoinCode}, \
  {(char *)"pairJoinDevice", (char *)"(J)J", (void *)jni_pairJoinDevice}, \
  {(char *)"pairJoinClose", (char *)"(J)V", (void *)jni_pairJoinClose}
