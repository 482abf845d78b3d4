package dev.subrosa

/** What a field of a record holds. Integers have 64 bits and are not floats. */
public sealed interface Value {
    /** Nothing, said explicitly. */
    public data object Null : Value

    /** True or false. */
    public data class Bool(
        /** The value. */
        public val value: Boolean,
    ) : Value

    /** An integer. */
    public data class I64(
        /** The value. */
        public val value: Long,
    ) : Value

    /** A float; infinities and NaN cannot be stored. */
    public data class F64(
        /** The value. */
        public val value: Double,
    ) : Value

    /** Text. */
    public data class Text(
        /** The value. */
        public val value: String,
    ) : Value

    /** Bytes; equal by content. The array is not copied: do not change it. */
    public class Bytes(
        /** The value. */
        public val value: ByteArray,
    ) : Value {
        override fun equals(other: Any?): Boolean = other is Bytes && value.contentEquals(other.value)

        override fun hashCode(): Int = value.contentHashCode()

        /** Only how many. */
        override fun toString(): String = "Bytes(${value.size})"
    }

    /** Values in order. */
    public data class List(
        /** The values. */
        public val values: kotlin.collections.List<Value>,
    ) : Value

    /** Makes values. */
    public companion object {
        /**
         * The value for what Kotlin writes: null, Boolean, Byte to Long, Float and Double, String, ByteArray, [RecordId] (as text),
         * Iterable, Map with text keys, Value. Anything else is an [IllegalArgumentException].
         */
        public fun of(any: Any?): Value =
            when (any) {
                null -> Null
                is Value -> any
                is Boolean -> Bool(any)
                is Long, is Int, is Short, is Byte -> I64((any as Number).toLong())
                is Double, is Float -> F64((any as Number).toDouble())
                is CharSequence -> Text(any.toString())
                is ByteArray -> Bytes(any)
                is RecordId -> Text(any.toString())
                is Iterable<*> -> List(any.map(::of))
                is Map<*, *> -> Fields(any.entries.associate { (name, value) -> name as String to of(value) })
                else -> throw IllegalArgumentException("no value for ${any.javaClass.name}")
            }
    }
}

/** Fields by name: a record, or a map inside of one. Immutable as long as the map that it was made of is. */
public class Fields(private val byName: Map<String, Value>) : Value, Map<String, Value> by byName {
    /** The boolean [name]; [SubrosaException.NO_FIELD] or [SubrosaException.WRONG_KIND] if it is none. */
    public fun bool(name: String): Boolean = need(name, boolOrNull(name))

    /** The integer [name]; as [bool]. */
    public fun long(name: String): Long = need(name, longOrNull(name))

    /** The float [name]; as [bool]. */
    public fun double(name: String): Double = need(name, doubleOrNull(name))

    /** The text [name]; as [bool]. */
    public fun text(name: String): String = need(name, textOrNull(name))

    /** The bytes [name]; as [bool]. */
    public fun bytes(name: String): ByteArray = need(name, bytesOrNull(name))

    /** The list [name]; as [bool]. */
    public fun list(name: String): List<Value> = need(name, listOrNull(name))

    /** The map [name]; as [bool]. */
    public fun fields(name: String): Fields = need(name, fieldsOrNull(name))

    /** The boolean [name], null if it is absent or null; another kind is [SubrosaException.WRONG_KIND]. */
    public fun boolOrNull(name: String): Boolean? = find<Value.Bool>(name)?.value

    /** The integer [name]; as [boolOrNull]. */
    public fun longOrNull(name: String): Long? = find<Value.I64>(name)?.value

    /** The float [name]; as [boolOrNull]. */
    public fun doubleOrNull(name: String): Double? = find<Value.F64>(name)?.value

    /** The text [name]; as [boolOrNull]. */
    public fun textOrNull(name: String): String? = find<Value.Text>(name)?.value

    /** The bytes [name]; as [boolOrNull]. */
    public fun bytesOrNull(name: String): ByteArray? = find<Value.Bytes>(name)?.value

    /** The list [name]; as [boolOrNull]. */
    public fun listOrNull(name: String): List<Value>? = find<Value.List>(name)?.values

    /** The map [name]; as [boolOrNull]. */
    public fun fieldsOrNull(name: String): Fields? = find<Fields>(name)

    private inline fun <reified T : Value> find(name: String): T? =
        when (val value = byName[name]) {
            null, Value.Null -> null
            is T -> value
            else -> throw SubrosaException(SubrosaException.WRONG_KIND, "the field holds another kind of value")
        }

    private fun <T : Any> need(name: String, found: T?): T {
        if (found != null) return found
        if (name in byName) throw SubrosaException(SubrosaException.WRONG_KIND, "the field is null")
        throw SubrosaException(SubrosaException.NO_FIELD, "no such field")
    }

    override fun equals(other: Any?): Boolean = other is Map<*, *> && byName == other

    override fun hashCode(): Int = byName.hashCode()

    override fun toString(): String = byName.toString()
}

/** Fields of what [Value.of] takes: `fieldsOf("title" to "Call Anna", "done" to false)`. */
public fun fieldsOf(vararg fields: Pair<String, Any?>): Fields =
    Fields(fields.associateTo(LinkedHashMap(fields.size * 2)) { (name, value) -> name to Value.of(value) })
