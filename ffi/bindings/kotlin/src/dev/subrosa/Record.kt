package dev.subrosa

/** The kind of value that a field of a [Record] holds. */
public enum class Kind(internal val number: Int) {
    /** There is no such field. */
    ABSENT(0),

    /** An explicit null. */
    NULL(1),

    /** True or false. */
    BOOL(2),

    /** An integer of 64 bits. */
    I64(3),

    /** A float. */
    F64(4),

    /** Text. */
    TEXT(5),

    /** Bytes. */
    BYTES(6),

    /** A list. */
    LIST(7),

    /** A map. */
    MAP(8),

    /** A kind of a newer library. */
    UNKNOWN(-1),
    ;

    internal companion object {
        fun of(number: Int): Kind = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/**
 * A record inside of the engine, field by field. It converts to and from JSON as the engine does, and costs a call for each field:
 * [Fields] is the shorter way to read and write. For one thread at a time ([SubrosaException.BUSY]).
 */
public class Record private constructor(internal val handle: Handle) : AutoCloseable {
    /** An empty record. */
    public constructor() : this(handleOf(Native.recordNew()))

    /** How many fields there are. */
    public val size: Int get() = handle.call { Native.recordLen(it) }

    /** The names of the fields, sorted. */
    public fun names(): List<String> =
        handle.call { record -> List(Native.recordLen(record)) { Native.recordFieldName(record, it).decodeToString() } }

    /** The kind of value that [field] holds, [Kind.ABSENT] without such a field. */
    public fun kind(field: String): Kind = handle.call { Kind.of(Native.recordKind(it, utf8(field))) }

    /** Whether there is such a field. */
    public operator fun contains(field: String): Boolean = kind(field) != Kind.ABSENT

    /** Sets [field] to null. */
    public fun setNull(field: String): Record = change { Native.recordSetNull(it, utf8(field)) }

    /** Sets [field] to a boolean. */
    public fun set(field: String, value: Boolean): Record = change { Native.recordSetBool(it, utf8(field), value) }

    /** Sets [field] to an integer. */
    public fun set(field: String, value: Long): Record = change { Native.recordSetI64(it, utf8(field), value) }

    /** Sets [field] to an integer. */
    public fun set(field: String, value: Int): Record = set(field, value.toLong())

    /** Sets [field] to a float; [SubrosaException.NOT_FINITE] for what is no number. */
    public fun set(field: String, value: Double): Record = change { Native.recordSetF64(it, utf8(field), value) }

    /** Sets [field] to text. */
    public fun set(field: String, value: String): Record = change { Native.recordSetText(it, utf8(field), utf8(value)) }

    /** Sets [field] to bytes. */
    public fun set(field: String, value: ByteArray): Record = change { Native.recordSetBytes(it, utf8(field), value) }

    /** Sets [field] to any value written as JSON. */
    public fun setJson(field: String, json: String): Record = change { Native.recordSetJson(it, utf8(field), utf8(json)) }

    /** Removes [field]; whether there was one. */
    public fun remove(field: String): Boolean = handle.call { Native.recordRemove(it, utf8(field)) }

    /** The boolean [field]; [SubrosaException.NO_FIELD] or [SubrosaException.WRONG_KIND] if it is none. */
    public fun bool(field: String): Boolean = handle.call { Native.recordGetBool(it, utf8(field)) }

    /** The integer [field]; as [bool]. */
    public fun long(field: String): Long = handle.call { Native.recordGetI64(it, utf8(field)) }

    /** The float [field]; as [bool]. */
    public fun double(field: String): Double = handle.call { Native.recordGetF64(it, utf8(field)) }

    /** The text [field]; as [bool]. */
    public fun text(field: String): String = handle.call { Native.recordGetText(it, utf8(field)).decodeToString() }

    /** The bytes [field]; as [bool]. */
    public fun bytes(field: String): ByteArray = handle.call { Native.recordGetBytes(it, utf8(field)) }

    /** The value of [field] as JSON, whatever its kind; [SubrosaException.NO_FIELD] without one. */
    public fun json(field: String): String = handle.call { Native.recordGetJson(it, utf8(field)).decodeToString() }

    /** All of it as JSON: compact, keys sorted, bytes as `{"$bytes":"base64"}`, floats always with a point or an exponent. */
    public fun toJson(): String = handle.call { Native.recordToJson(it).decodeToString() }

    override fun close() {
        handle.close()
    }

    private inline fun change(call: (Long) -> Unit): Record {
        handle.call(call)
        return this
    }

    /** Makes records. */
    public companion object {
        private fun handleOf(token: Long): Handle = Handle(token, "record", close = Native::recordClose)

        /** The record that a JSON object says; see [SubrosaException.NOT_JSON] and [SubrosaException.NOT_A_RECORD]. */
        public fun fromJson(json: String): Record = of(Native.recordFromJson(utf8(json)))

        internal fun of(token: Long): Record = Record(handleOf(token))
    }
}
