package dev.subrosa

/**
 * A call that failed. [code] is one of the stable numbers of the C ABI and [name] its name there ("WRONG_KEY"); a code that
 * this wrapper does not know is kept as it came.
 *
 * Messages and causes hold ids and numbers only, never keys or what a record says: they may be logged.
 */
public class SubrosaException internal constructor(
    /** The status of the C ABI. */
    public val code: Int,
    message: String,
    /** Why, from the outside in; may be empty. */
    public val causes: List<String> = emptyList(),
    /** The same call may succeed later without any other action. */
    public val retryable: Boolean = false,
    /** What the code says about it: a byte offset for [NOT_JSON], the provider's code for [KEY_PROVIDER]; else 0. */
    public val number: Long = 0,
    /** The record that a reading of many was ended by. */
    public val record: RecordId? = null,
) : RuntimeException(message) {
    /** The name of [code] in the C ABI, "UNKNOWN" for a code of a newer library. */
    public val name: String get() = Native.statusName(code)

    override fun toString(): String {
        val why = causes.joinToString("") { "; $it" }
        return "SubrosaException($name $code): $message$why"
    }

    /** The statuses of the C ABI, as in `subrosa.h`. */
    public companion object {
        /** An argument that no call takes. */
        public const val INVALID_ARGUMENT: Int = 1
        /** A handle that is closed or was never open. */
        public const val INVALID_HANDLE: Int = 2
        /** A handle of another type. */
        public const val WRONG_HANDLE: Int = 3
        /** Text that is not Unicode, such as half of a surrogate pair. */
        public const val INVALID_UTF8: Int = 4
        /** Over a documented limit. */
        public const val TOO_LARGE: Int = 5
        /** An option that the library does not know. */
        public const val UNKNOWN_OPTION: Int = 6
        /** A bug inside of the library; the object is unusable from now on, everything else goes on. */
        public const val PANIC: Int = 7
        /** The object had a [PANIC] before. */
        public const val POISONED: Int = 8
        /** The wait was cancelled. */
        public const val CANCELLED: Int = 9
        /** The time was over first. */
        public const val TIMEOUT: Int = 10
        /** Closing an object from its own callback. */
        public const val WOULD_DEADLOCK: Int = 11
        /** The object or its device is closed. */
        public const val CLOSED: Int = 12
        /** The device is suspended. */
        public const val SUSPENDED: Int = 13
        /** The process was forked after the device was opened. */
        public const val FORKED: Int = 14
        /** Another write transaction is open, or another thread uses the object. */
        public const val BUSY: Int = 15
        /** No thread or no handle is left. */
        public const val NO_RESOURCES: Int = 16
        /** The transaction has ended. */
        public const val TX_OVER: Int = 17
        /** A write in a read transaction. */
        public const val READ_ONLY: Int = 18
        /** Objects of different devices or vaults in one call. */
        public const val WRONG_DEVICE: Int = 19
        /** The result is not there yet. */
        public const val NOT_READY: Int = 20
        /** No store in this folder. */
        public const val STORE_MISSING: Int = 100
        /** A store is there already. */
        public const val STORE_EXISTS: Int = 101
        /** Another process has the store open. */
        public const val STORE_LOCKED: Int = 102
        /** The file is no store. */
        public const val NOT_A_STORE: Int = 103
        /** The key is not the one of this store. */
        public const val WRONG_KEY: Int = 104
        /** A newer version wrote the store. */
        public const val NEWER_FORMAT: Int = 105
        /** The store is damaged. */
        public const val DAMAGED: Int = 106
        /** The disk is full. */
        public const val DISK_FULL: Int = 107
        /** The system refused to read or write. */
        public const val IO: Int = 108
        /** The store stopped after a failed write; open it again. */
        public const val STORE_STOPPED: Int = 109
        /** The store contradicts itself. */
        public const val STORE_INTERNAL: Int = 110
        /** The bytes are no key in this encoding. */
        public const val KEY_ENCODING: Int = 200
        /** The public key is no point of the curve. */
        public const val NOT_ON_CURVE: Int = 201
        /** The private key is out of range. */
        public const val KEY_RANGE: Int = 202
        /** The halves of the key do not belong together. */
        public const val KEY_MISMATCH: Int = 203
        /** A session with oneself by the way of a peer. */
        public const val PEER_IS_SELF: Int = 204
        /** The key provider failed; [number] is its own code. */
        public const val KEY_PROVIDER: Int = 205
        /** The key provider signed wrongly. */
        public const val KEY_PROVIDER_SIGNATURE: Int = 206
        /** The key of a provider cannot be exported. */
        public const val KEY_NOT_EXPORTABLE: Int = 207
        /** Another key, context or additional data, or altered bytes. */
        public const val NOT_AUTHENTIC: Int = 210
        /** Shorter than any sealed message. */
        public const val MESSAGE_TOO_SHORT: Int = 211
        /** The profile has no additional data. */
        public const val NO_AAD_HERE: Int = 212
        /** The signature is not of this key and message. */
        public const val BAD_SIGNATURE: Int = 213
        /** Not JSON, or not the JSON that a record can be; [number] is the byte. */
        public const val NOT_JSON: Int = 300
        /** JSON that is no object. */
        public const val NOT_A_RECORD: Int = 301
        /** The field holds another kind of value. */
        public const val WRONG_KIND: Int = 302
        /** No such field. */
        public const val NO_FIELD: Int = 303
        /** The value is over its limit. */
        public const val VALUE_TOO_LARGE: Int = 304
        /** Nested deeper than 64. */
        public const val TOO_DEEP: Int = 305
        /** A number that is infinite or none. */
        public const val NOT_FINITE: Int = 306
        /** An integer outside of 64 bits. */
        public const val INTEGER_RANGE: Int = 307
        /** A name of a collection has 1 to 128 bytes. */
        public const val COLLECTION_NAME: Int = 308
        /** Not the name of a field. */
        public const val FIELD_NAME: Int = 309
        /** More fields than a record holds. */
        public const val TOO_MANY_FIELDS: Int = 310
        /** Packed rows that do not parse; [number] is the byte. */
        public const val BAD_ROWS: Int = 311
        /** A value that cannot be stored. */
        public const val VALUE: Int = 312
        /** No such record. */
        public const val NO_RECORD: Int = 313
        /** The text is no id. */
        public const val NOT_AN_ID: Int = 314
        /** JSON with a form of a newer version: an object whose only key begins with `$`. */
        public const val NEWER_FORM: Int = 315
        /** A record that is larger than is read whole. */
        public const val RECORD_TOO_LARGE: Int = 316
        /** No such vault. */
        public const val NO_VAULT: Int = 400
        /** The vault exists already. */
        public const val VAULT_EXISTS: Int = 401
        /** Not the name of a vault. */
        public const val VAULT_NAME: Int = 402
        /** The role of this device does not allow it. */
        public const val NOT_PERMITTED: Int = 403
        /** The list of devices does not allow it. */
        public const val CONTROL: Int = 404
        /** This device has had all its logs in the vault: it reads; to write, pair a new store. */
        public const val LOGS_USED_UP: Int = 405
        /** An admin uses a newer version: the vault is read here; to write, update. */
        public const val UPDATE_NEEDED: Int = 406
        /** Not the address of a relay. */
        public const val RELAY_ADDRESS: Int = 500
        /** No relay given and none stored. */
        public const val NO_RELAY: Int = 501
        /** Nothing moved for the whole time. */
        public const val NO_PROGRESS: Int = 502
        /** The relay refused; [number] is its code. */
        public const val REFUSED: Int = 503
        /** The sync was stopped. */
        public const val SYNC_STOPPED: Int = 504
        /** The relay or a device sent what no honest one sends. */
        public const val PEER: Int = 505
        /** The relay cannot be reached. */
        public const val UNREACHABLE: Int = 506
        /** The relay claims another future of this device's log and does not show it. */
        public const val DISPUTED: Int = 507
        /** Not a pairing link. */
        public const val PAIR_LINK: Int = 600
        /** The link has expired. */
        public const val PAIR_EXPIRED: Int = 601
        /** The codes differ. */
        public const val PAIR_WRONG_CODE: Int = 602
        /** The other device declined. */
        public const val PAIR_DECLINED: Int = 603
        /** Someone else answered, or twice. */
        public const val PAIR_NOT_AUTHENTIC: Int = 604
        /** The link is from this device. */
        public const val PAIR_OWN_DEVICE: Int = 605
        /** The other device ended it. */
        public const val PAIR_ABORTED: Int = 606
        /** The device is listed, and may lack its keys. */
        public const val PAIR_UNCONFIRMED: Int = 607
        /** More than pairing can carry. */
        public const val PAIR_TOO_LARGE: Int = 608
        /** The rendezvous is over or used, or the other side is silent. */
        public const val PAIR_OVER: Int = 609
        /** Not the name of a device. */
        public const val PAIR_NAME: Int = 610
        /** The keys that came do not fit. */
        public const val PAIR_BUNDLE: Int = 611
    }
}
