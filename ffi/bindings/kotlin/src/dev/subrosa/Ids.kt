package dev.subrosa

import java.util.UUID

/** The id of a record: 16 bytes, written as a UUID. Ids of later inserts on one device are larger. */
public class RecordId internal constructor(internal val high: Long, internal val low: Long) : Comparable<RecordId> {
    /** The 16 bytes. */
    public fun toBytes(): ByteArray = ByteArray(SIZE).also { writeTo(it, 0) }

    /** The same as a UUID of Java, whose order is another one. */
    public fun toUuid(): UUID = UUID(high, low)

    internal fun writeTo(bytes: ByteArray, offset: Int) {
        for (i in 0 until 8) {
            bytes[offset + i] = (high ushr (56 - 8 * i)).toByte()
            bytes[offset + 8 + i] = (low ushr (56 - 8 * i)).toByte()
        }
    }

    /** The order of the bytes, which is the order of scans. */
    override fun compareTo(other: RecordId): Int {
        val first = high.toULong().compareTo(other.high.toULong())
        return if (first != 0) first else low.toULong().compareTo(other.low.toULong())
    }

    override fun equals(other: Any?): Boolean = other is RecordId && high == other.high && low == other.low

    override fun hashCode(): Int = (high xor low).hashCode()

    /** The hyphenated UUID. */
    override fun toString(): String = UUID(high, low).toString()

    /** Makes ids. */
    public companion object {
        internal const val SIZE = 16

        /** Reads a hyphenated UUID; anything else is [SubrosaException.NOT_AN_ID]. */
        public fun parse(text: String): RecordId = at(Native.idParse(utf8(text)), 0)

        /** The id that [name] has on every device, for records of which there is one. */
        public fun fromName(name: String): RecordId = at(Native.idFromName(utf8(name)), 0)

        /** From its 16 bytes. */
        public fun ofBytes(bytes: ByteArray): RecordId {
            require(bytes.size == SIZE) { "an id has $SIZE bytes" }
            return at(bytes, 0)
        }

        /** From the UUID that [toUuid] gave. */
        public fun ofUuid(uuid: UUID): RecordId = RecordId(uuid.mostSignificantBits, uuid.leastSignificantBits)

        internal fun at(bytes: ByteArray, offset: Int): RecordId = RecordId(long(bytes, offset), long(bytes, offset + 8))

        internal fun all(bytes: ByteArray): List<RecordId> = List(bytes.size / SIZE) { at(bytes, it * SIZE) }

        private fun long(bytes: ByteArray, offset: Int): Long {
            var value = 0L
            for (i in 0 until 8) value = (value shl 8) or (bytes[offset + i].toLong() and 0xff)
            return value
        }
    }
}

/** The id of a vault: 32 bytes, the same on all devices. */
public class VaultId internal constructor(private val bytes: ByteArray) {
    /** The 32 bytes. */
    public fun toBytes(): ByteArray = bytes.copyOf()

    override fun equals(other: Any?): Boolean = other is VaultId && bytes.contentEquals(other.bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    /** In hexadecimal. */
    override fun toString(): String = hex(bytes)

    /** Makes ids. */
    public companion object {
        internal const val SIZE = 32

        /** From its 32 bytes. */
        public fun ofBytes(bytes: ByteArray): VaultId {
            require(bytes.size == SIZE) { "the id of a vault has $SIZE bytes" }
            return VaultId(bytes.copyOf())
        }
    }
}

/** The public half of a key on P-256. It names a device. */
public class PublicKey private constructor(internal val bytes: ByteArray) {
    /** The 65 bytes of the uncompressed point (SEC1). */
    public fun toBytes(): ByteArray = bytes.copyOf()

    /** The DER encoding that `java.security` calls X.509. */
    public fun toSpki(): ByteArray = Native.publicKeyToSpki(bytes)

    /** Throws unless the bytes are a point of the curve. [ofBytes] does not look. */
    public fun check() {
        Native.publicKeyCheck(bytes)
    }

    /** Throws [SubrosaException.BAD_SIGNATURE] unless [signature] is what [Key.sign] gave for the same [label] and [message]. */
    public fun verify(label: ByteArray, message: ByteArray, signature: ByteArray) {
        if (signature.size != Key.SIGNATURE_SIZE) {
            throw SubrosaException(SubrosaException.BAD_SIGNATURE, "a signature has ${Key.SIGNATURE_SIZE} bytes")
        }
        Native.publicKeyVerify(bytes, label, message, signature)
    }

    override fun equals(other: Any?): Boolean = other is PublicKey && bytes.contentEquals(other.bytes)

    override fun hashCode(): Int = bytes.contentHashCode()

    /** In hexadecimal. */
    override fun toString(): String = hex(bytes)

    /** Makes public keys. */
    public companion object {
        internal const val SIZE = 65

        /** From the 65 bytes of an uncompressed point. */
        public fun ofBytes(bytes: ByteArray): PublicKey {
            if (bytes.size != SIZE) throw SubrosaException(SubrosaException.KEY_ENCODING, "a public key has $SIZE bytes")
            return PublicKey(bytes.copyOf())
        }

        /** From DER, as `java.security.PublicKey.getEncoded` gives it for P-256. */
        public fun fromSpki(der: ByteArray): PublicKey = PublicKey(Native.publicKeyFromSpki(der))
    }
}
