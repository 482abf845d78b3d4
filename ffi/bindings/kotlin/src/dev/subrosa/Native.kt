package dev.subrosa

import java.nio.ByteBuffer

/**
 * The C ABI as the JNI glue offers it. Handles are tokens (0 is none), text is UTF-8, keys and ids are their bytes.
 * Every function throws [SubrosaException]; none keeps an array. `jni/natives.h` is made from this object.
 */
internal object Native {
    /** The ABI that this wrapper was written for. */
    const val ABI_VERSION: Int = 1

    init {
        val path = System.getProperty("dev.subrosa.jni")
        if (path == null) System.loadLibrary("subrosa_jni") else System.load(path)
        val found = abiVersion()
        if (found != ABI_VERSION) {
            throw UnsatisfiedLinkError("libsubrosa has ABI $found (version ${version()}), this wrapper needs $ABI_VERSION")
        }
    }

    @JvmStatic external fun abiVersion(): Int
    @JvmStatic external fun version(): String
    @JvmStatic external fun statusName(status: Int): String
    @JvmStatic external fun logSet(levelMax: Int, sink: Any?)

    @JvmStatic external fun idParse(text: ByteArray): ByteArray
    @JvmStatic external fun idFromName(name: ByteArray): ByteArray
    @JvmStatic external fun idText(high: Long, low: Long): String

    @JvmStatic external fun keyGenerate(): Long
    @JvmStatic external fun keyFromPkcs8(der: ByteArray): Long
    @JvmStatic external fun keyToPkcs8(key: Long): ByteArray
    @JvmStatic external fun keyPublic(key: Long): ByteArray
    @JvmStatic external fun keySign(key: Long, label: ByteArray, message: ByteArray): ByteArray
    @JvmStatic external fun keyFromProvider(publicKey: ByteArray, provider: Any): Long
    @JvmStatic external fun keyClose(key: Long)

    @JvmStatic external fun publicKeyCheck(publicKey: ByteArray)
    @JvmStatic external fun publicKeyFromSpki(der: ByteArray): ByteArray
    @JvmStatic external fun publicKeyToSpki(publicKey: ByteArray): ByteArray
    @JvmStatic external fun publicKeyVerify(publicKey: ByteArray, label: ByteArray, message: ByteArray, signature: ByteArray)

    @JvmStatic external fun sessionSelf(key: Long, profile: Int, context: ByteArray): Long
    @JvmStatic external fun sessionPeer(key: Long, peer: ByteArray, profile: Int, context: ByteArray): Long
    @JvmStatic external fun sessionSeal(session: Long, aad: ByteArray, plain: ByteArray): ByteArray
    @JvmStatic external fun sessionOpen(session: Long, aad: ByteArray, sealed: ByteArray): ByteArray
    @JvmStatic external fun sessionClose(session: Long)

    @JvmStatic external fun cancelNew(): Long
    @JvmStatic external fun cancelFire(cancel: Long)
    @JvmStatic external fun cancelClose(cancel: Long)

    @JvmStatic external fun deviceCreate(dir: ByteArray, key: Long, name: ByteArray, cacheBytes: Long, writeWaitMs: Int): Long
    @JvmStatic external fun deviceOpen(dir: ByteArray, key: Long, name: ByteArray, cacheBytes: Long, writeWaitMs: Int): Long
    @JvmStatic external fun deviceClose(device: Long)
    @JvmStatic external fun devicePublicKey(device: Long): ByteArray
    @JvmStatic external fun deviceName(device: Long): ByteArray
    @JvmStatic external fun deviceSetRelay(device: Long, url: ByteArray)
    @JvmStatic external fun deviceRelay(device: Long): ByteArray
    @JvmStatic external fun deviceSuspend(device: Long, deadlineMs: Int)
    @JvmStatic external fun deviceResume(device: Long)
    @JvmStatic external fun deviceNetworkChanged(device: Long)
    /** repaired, vaults, logs, segments, bad_segments, uncertified_logs, quarantined */
    @JvmStatic external fun deviceVerify(device: Long): LongArray
    @JvmStatic external fun deviceCompact(device: Long)
    /** file_bytes, live_bytes, dead_bytes */
    @JvmStatic external fun deviceSpace(device: Long): LongArray
    @JvmStatic external fun deviceVaults(device: Long): Long

    @JvmStatic external fun listLen(list: Long): Int
    @JvmStatic external fun listText(list: Long, index: Int): ByteArray
    @JvmStatic external fun listVaultId(list: Long, index: Int): ByteArray
    /** role u8, is_this u8, has_added_by u8, public key, added_by */
    @JvmStatic external fun listDevice(list: Long, index: Int): ByteArray
    /** is_this u8, public key, logs i64, futures i64; integers with the highest byte first */
    @JvmStatic external fun listForks(list: Long, index: Int): ByteArray
    /** public key, groups i64, until_ms i64 */
    @JvmStatic external fun listHeld(list: Long, index: Int): ByteArray
    /** vault id, disagrees u8, disputed u8, update_needed u8, refused i64 */
    @JvmStatic external fun listSyncVault(list: Long, index: Int): ByteArray
    @JvmStatic external fun listClose(list: Long)

    @JvmStatic external fun vaultCreate(device: Long, name: ByteArray): Long
    @JvmStatic external fun vaultOpen(device: Long, name: ByteArray): Long
    @JvmStatic external fun vaultOpenById(device: Long, id: ByteArray): Long
    @JvmStatic external fun vaultClose(vault: Long)
    @JvmStatic external fun vaultId(vault: Long): ByteArray
    @JvmStatic external fun vaultName(vault: Long): ByteArray
    @JvmStatic external fun vaultCollections(vault: Long): Long
    @JvmStatic external fun vaultDevices(vault: Long): Long
    @JvmStatic external fun vaultForks(vault: Long): Long
    @JvmStatic external fun vaultHeld(vault: Long, clockIsLate: BooleanArray): Long
    @JvmStatic external fun vaultIsUpdateNeeded(vault: Long): Boolean
    @JvmStatic external fun vaultPending(vault: Long): Long
    /** held, acknowledged */
    @JvmStatic external fun vaultDelivery(vault: Long, relay: ByteArray): LongArray

    @JvmStatic external fun recordNew(): Long
    @JvmStatic external fun recordFromJson(json: ByteArray): Long
    @JvmStatic external fun recordToJson(record: Long): ByteArray
    @JvmStatic external fun recordClose(record: Long)
    @JvmStatic external fun recordSetNull(record: Long, field: ByteArray)
    @JvmStatic external fun recordSetBool(record: Long, field: ByteArray, value: Boolean)
    @JvmStatic external fun recordSetI64(record: Long, field: ByteArray, value: Long)
    @JvmStatic external fun recordSetF64(record: Long, field: ByteArray, value: Double)
    @JvmStatic external fun recordSetText(record: Long, field: ByteArray, value: ByteArray)
    @JvmStatic external fun recordSetBytes(record: Long, field: ByteArray, value: ByteArray)
    @JvmStatic external fun recordSetJson(record: Long, field: ByteArray, json: ByteArray)
    @JvmStatic external fun recordRemove(record: Long, field: ByteArray): Boolean
    @JvmStatic external fun recordLen(record: Long): Int
    @JvmStatic external fun recordFieldName(record: Long, index: Int): ByteArray
    @JvmStatic external fun recordKind(record: Long, field: ByteArray): Int
    @JvmStatic external fun recordGetBool(record: Long, field: ByteArray): Boolean
    @JvmStatic external fun recordGetI64(record: Long, field: ByteArray): Long
    @JvmStatic external fun recordGetF64(record: Long, field: ByteArray): Double
    @JvmStatic external fun recordGetText(record: Long, field: ByteArray): ByteArray
    @JvmStatic external fun recordGetBytes(record: Long, field: ByteArray): ByteArray
    @JvmStatic external fun recordGetJson(record: Long, field: ByteArray): ByteArray

    @JvmStatic external fun collectionOpen(vault: Long, name: ByteArray): Long
    @JvmStatic external fun collectionClose(collection: Long)
    @JvmStatic external fun insert(collection: Long, tx: Long, record: Long): ByteArray
    @JvmStatic external fun put(collection: Long, tx: Long, high: Long, low: Long, record: Long)
    @JvmStatic external fun replace(collection: Long, tx: Long, high: Long, low: Long, record: Long)
    /** 0 when there is none. */
    @JvmStatic external fun get(collection: Long, tx: Long, high: Long, low: Long): Long
    @JvmStatic external fun insertJson(collection: Long, tx: Long, json: ByteArray): ByteArray
    @JvmStatic external fun putJson(collection: Long, tx: Long, high: Long, low: Long, json: ByteArray)
    @JvmStatic external fun replaceJson(collection: Long, tx: Long, high: Long, low: Long, json: ByteArray)
    @JvmStatic external fun getJson(collection: Long, tx: Long, high: Long, low: Long): ByteArray?
    @JvmStatic external fun delete(collection: Long, tx: Long, high: Long, low: Long): Boolean
    @JvmStatic external fun count(collection: Long, tx: Long): Long

    @JvmStatic external fun fieldNames(collection: Long, tx: Long, high: Long, low: Long, after: ByteArray?, limit: Int): Long
    @JvmStatic external fun getField(collection: Long, tx: Long, high: Long, low: Long, field: ByteArray): Long
    @JvmStatic external fun getFieldJson(collection: Long, tx: Long, high: Long, low: Long, field: ByteArray): ByteArray?
    @JvmStatic external fun deleteField(collection: Long, tx: Long, high: Long, low: Long, field: ByteArray): Boolean
    /** [after] has 16 bytes, or none to begin; [more] has one element, which is written. */
    @JvmStatic external fun page(collection: Long, tx: Long, after: ByteArray, limit: Int, format: Int, more: BooleanArray): ByteArray
    /** The first [count] ids of [ids], 16 bytes each. */
    @JvmStatic external fun getMany(collection: Long, tx: Long, ids: ByteArray, count: Int, format: Int): ByteArray
    /** The first [len] bytes of [rows]; the ids, 16 bytes each. */
    @JvmStatic external fun writeMany(collection: Long, tx: Long, rows: ByteArray, len: Int): ByteArray
    /** The same for a direct buffer, which is not copied. */
    @JvmStatic external fun writeManyDirect(collection: Long, tx: Long, rows: ByteBuffer, offset: Int, len: Int): ByteArray

    @JvmStatic external fun txBegin(vault: Long, mode: Int, timeoutMs: Int): Long
    @JvmStatic external fun txCommit(tx: Long)
    @JvmStatic external fun txAbort(tx: Long)

    @JvmStatic external fun eventsNew(): Long
    @JvmStatic external fun eventsAddVault(events: Long, vault: Long, tag: Long)
    @JvmStatic external fun eventsAddCollection(events: Long, collection: Long, tag: Long)
    @JvmStatic external fun eventsAddSync(events: Long, sync: Long, tag: Long)
    @JvmStatic external fun eventsRemove(events: Long, tag: Long)
    /** kind i32, detail i32, tag i64, number i64, record, vault, text; little endian. Null when the time is over. */
    @JvmStatic external fun eventsWait(events: Long, timeoutMs: Int, cancel: Long): ByteArray?
    @JvmStatic external fun eventsClose(events: Long)

    @JvmStatic external fun syncStart(device: Long, relay: ByteArray): Long
    @JvmStatic external fun syncStop(sync: Long)
    /** state, refused, failure, segments_done, segments_known, bytes_done, bytes_known */
    @JvmStatic external fun syncStatus(sync: Long): LongArray
    @JvmStatic external fun syncReason(sync: Long): ByteArray
    @JvmStatic external fun syncVaults(sync: Long): Long
    @JvmStatic external fun syncWait(sync: Long, idleMs: Int, cancel: Long)

    @JvmStatic external fun pairOfferStart(device: Long, relay: ByteArray): Long
    @JvmStatic external fun pairOfferLink(offer: Long): ByteArray
    @JvmStatic external fun pairOfferWait(offer: Long, timeoutMs: Int, cancel: Long)
    /** The six digits, then the name. */
    @JvmStatic external fun pairOfferRequest(offer: Long): ByteArray
    /** Null: the codes are equal. */
    @JvmStatic external fun pairOfferConfirm(offer: Long, typed: ByteArray?): ByteArray
    @JvmStatic external fun pairOfferDecline(offer: Long)
    @JvmStatic external fun pairOfferClose(offer: Long)

    @JvmStatic external fun pairJoinStart(
        dir: ByteArray,
        key: Long,
        name: ByteArray,
        cacheBytes: Long,
        writeWaitMs: Int,
        link: ByteArray,
    ): Long
    @JvmStatic external fun pairJoinWaitCode(join: Long, timeoutMs: Int, cancel: Long): ByteArray
    @JvmStatic external fun pairJoinWaitDevice(join: Long, timeoutMs: Int, cancel: Long): Long
    @JvmStatic external fun pairJoinCode(join: Long): ByteArray
    @JvmStatic external fun pairJoinDevice(join: Long): Long
    @JvmStatic external fun pairJoinClose(join: Long)
}
