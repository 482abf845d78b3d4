package dev.subrosa

import java.nio.ByteBuffer
import java.nio.ByteOrder

/*
 * Packed rows, the format of `subrosa.h` in which one call moves many records (little endian, no padding):
 *
 * row    = len u32 (of what follows) | op u8 | format u8 | zero u16 | id[16] | payload
 * fields = count u32 | count x (name_len u16 | name | value)
 * value  = kind u8 | NULL: - | BOOL: u8 | I64: i64 | F64: f64 | TEXT, BYTES: len u32 | bytes | LIST: count u32 | values | MAP: fields
 */

internal object Packed {
    const val FORMAT_NONE = 0
    const val FORMAT_JSON = 1
    const val FORMAT_FIELDS = 2

    const val OP_ABSENT = 0
    const val OP_RECORD = 1
    const val OP_INSERT = 2
    const val OP_PUT = 3
    const val OP_REPLACE = 4
    const val OP_DELETE = 5
    const val OP_TOO_LARGE = 6
    const val OP_IMPORT = 7

    const val KIND_NULL = 1
    const val KIND_BOOL = 2
    const val KIND_I64 = 3
    const val KIND_F64 = 4
    const val KIND_TEXT = 5
    const val KIND_BYTES = 6
    const val KIND_LIST = 7
    const val KIND_MAP = 8

    /** Of a row, without its length. */
    const val HEAD = 4 + RecordId.SIZE

    /** Only keeps recursion off the end of the stack; the engine's own limit is lower. */
    const val DEPTH_MAX = 128

    const val BYTES_MAX = 64 shl 20
}

/** Writes rows into one array that grows. */
internal class RowWriter(capacity: Int = 1024) {
    var bytes: ByteArray = ByteArray(capacity)
        private set
    var size: Int = 0
        private set
    var rows: Int = 0
        private set

    fun fields(op: Int, id: RecordId?, fields: Fields) {
        row(op, Packed.FORMAT_FIELDS, id) { map(fields, 0) }
    }

    fun json(op: Int, id: RecordId?, json: String) {
        row(op, Packed.FORMAT_JSON, id) { raw(utf8(json)) }
    }

    fun delete(id: RecordId) {
        row(Packed.OP_DELETE, Packed.FORMAT_NONE, id) { }
    }

    /** A row that fails half way leaves no trace. */
    private inline fun row(op: Int, format: Int, id: RecordId?, payload: () -> Unit) {
        val start = size
        try {
            i32(0)
            i8(op)
            i8(format)
            i16(0)
            reserve(RecordId.SIZE)
            if (id == null) bytes.fill(0, size, size + RecordId.SIZE) else id.writeTo(bytes, size)
            size += RecordId.SIZE
            payload()
            i32At(start, size - start - 4)
            rows++
        } catch (e: SubrosaException) {
            size = start
            throw e
        }
    }

    private fun map(fields: Map<String, Value>, depth: Int) {
        if (depth > Packed.DEPTH_MAX) throw SubrosaException(SubrosaException.TOO_DEEP, "nested too deep")
        i32(fields.size)
        for ((name, value) in fields) {
            val encoded = utf8(name)
            if (encoded.size > UShort.MAX_VALUE.toInt()) throw SubrosaException(SubrosaException.FIELD_NAME, "a name of a field is too long")
            i16(encoded.size)
            raw(encoded)
            value(value, depth)
        }
    }

    private fun value(value: Value, depth: Int) {
        when (value) {
            is Value.Null -> i8(Packed.KIND_NULL)
            is Value.Bool -> {
                i8(Packed.KIND_BOOL)
                i8(if (value.value) 1 else 0)
            }
            is Value.I64 -> {
                i8(Packed.KIND_I64)
                i64(value.value)
            }
            is Value.F64 -> {
                i8(Packed.KIND_F64)
                i64(value.value.toRawBits())
            }
            is Value.Text -> sized(Packed.KIND_TEXT, utf8(value.value))
            is Value.Bytes -> sized(Packed.KIND_BYTES, value.value)
            is Value.List -> {
                if (depth > Packed.DEPTH_MAX) throw SubrosaException(SubrosaException.TOO_DEEP, "nested too deep")
                i8(Packed.KIND_LIST)
                i32(value.values.size)
                for (one in value.values) value(one, depth + 1)
            }
            is Fields -> {
                i8(Packed.KIND_MAP)
                map(value, depth + 1)
            }
        }
    }

    private fun sized(kind: Int, data: ByteArray) {
        i8(kind)
        i32(data.size)
        raw(data)
    }

    private fun raw(data: ByteArray) {
        reserve(data.size)
        data.copyInto(bytes, size)
        size += data.size
    }

    private fun i8(value: Int) {
        reserve(1)
        bytes[size++] = value.toByte()
    }

    private fun i16(value: Int) {
        i8(value)
        i8(value shr 8)
    }

    private fun i32(value: Int) {
        reserve(4)
        i32At(size, value)
        size += 4
    }

    private fun i32At(at: Int, value: Int) {
        for (i in 0 until 4) bytes[at + i] = (value shr (8 * i)).toByte()
    }

    private fun i64(value: Long) {
        i32(value.toInt())
        i32((value shr 32).toInt())
    }

    private fun reserve(more: Int) {
        val needed = size.toLong() + more
        if (needed > Packed.BYTES_MAX) throw SubrosaException(SubrosaException.TOO_LARGE, "more than 64 MiB in one call")
        if (needed <= bytes.size) return
        bytes = bytes.copyOf(maxOf(needed, minOf(bytes.size * 2L, Packed.BYTES_MAX.toLong())).toInt())
    }
}

/** Reads rows. Every length is checked before it is believed; bytes that are no rows are [SubrosaException.BAD_ROWS]. */
internal class RowReader(private val bytes: ByteArray) {
    private val view = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    private var at = 0
    private var end = bytes.size
    private var rowEnd = 0

    /** Names of the fields of the row before, which are mostly those of the next: no text is made twice. */
    private var names = arrayOfNulls<Name>(8)

    var id: RecordId = NO_ID
        private set
    private var format = 0

    /** Goes to the next row; its operation, or -1 at the end. */
    fun next(): Int {
        at = rowEnd
        end = bytes.size
        if (at == end) return -1
        val len = count(1)
        if (len < Packed.HEAD) bad()
        rowEnd = at + len
        end = rowEnd
        val op = u8()
        format = u8()
        if (u16() != 0) bad()
        id = RecordId.at(bytes, at)
        at += RecordId.SIZE
        return op
    }

    fun fields(): Fields {
        if (format == Packed.FORMAT_JSON) {
            throw SubrosaException(SubrosaException.TOO_LARGE, "a key inside of a field has over 65535 bytes: read it as JSON")
        }
        if (format != Packed.FORMAT_FIELDS) bad()
        val fields = map(0)
        if (at != end) bad()
        return fields
    }

    fun json(): String {
        if (format != Packed.FORMAT_JSON) bad()
        return String(bytes, at, end - at, Charsets.UTF_8).also { at = end }
    }

    private fun map(depth: Int): Fields {
        val count = count(FIELD_MIN)
        if (depth > Packed.DEPTH_MAX) bad()
        val fields = LinkedHashMap<String, Value>(count + count / 2 + 1)
        for (index in 0 until count) {
            val name = name(index, u16())
            fields[name] = value(depth)
        }
        return Fields(fields)
    }

    private fun name(index: Int, len: Int): String {
        need(len)
        if (index < names.size) {
            val known = names[index]
            if (known != null && known.equalsAt(bytes, at, len)) {
                at += len
                return known.text
            }
        }
        val text = String(bytes, at, len, Charsets.UTF_8)
        if (index < NAMES_KEPT) {
            if (index >= names.size) names = names.copyOf(minOf(index * 2, NAMES_KEPT))
            names[index] = Name(bytes.copyOfRange(at, at + len), text)
        }
        at += len
        return text
    }

    private fun value(depth: Int): Value =
        when (u8()) {
            Packed.KIND_NULL -> Value.Null
            Packed.KIND_BOOL ->
                when (u8()) {
                    0 -> NO
                    1 -> YES
                    else -> bad()
                }
            Packed.KIND_I64 -> Value.I64(i64())
            Packed.KIND_F64 -> Value.F64(Double.fromBits(i64()))
            Packed.KIND_TEXT -> {
                val len = count(1)
                Value.Text(String(bytes, at, len, Charsets.UTF_8)).also { at += len }
            }
            Packed.KIND_BYTES -> {
                val len = count(1)
                Value.Bytes(bytes.copyOfRange(at, at + len)).also { at += len }
            }
            Packed.KIND_LIST -> {
                val count = count(1)
                if (depth > Packed.DEPTH_MAX) bad()
                Value.List(List(count) { value(depth + 1) })
            }
            Packed.KIND_MAP -> map(depth + 1)
            else -> bad()
        }

    /** A u32 that counts things of at least [each] bytes, all of which must be there. */
    private fun count(each: Int): Int {
        need(4)
        val count = view.getInt(at)
        if (count < 0 || count.toLong() * each > end - at - 4) bad()
        at += 4
        return count
    }

    private fun u8(): Int {
        need(1)
        return bytes[at++].toInt() and 0xff
    }

    private fun u16(): Int {
        need(2)
        return (view.getShort(at).toInt() and 0xffff).also { at += 2 }
    }

    private fun i64(): Long {
        need(8)
        return view.getLong(at).also { at += 8 }
    }

    private fun need(len: Int) {
        if (len > end - at) bad()
    }

    private fun bad(): Nothing =
        throw SubrosaException(SubrosaException.BAD_ROWS, "the bytes are no packed rows", number = at.toLong())

    private class Name(private val bytes: ByteArray, val text: String) {
        fun equalsAt(other: ByteArray, at: Int, len: Int): Boolean {
            if (bytes.size != len) return false
            for (i in 0 until len) if (bytes[i] != other[at + i]) return false
            return true
        }
    }

    private companion object {
        /** The empty name and a null. */
        const val FIELD_MIN = 3
        const val NAMES_KEPT = 256
        val NO_ID = RecordId(0, 0)
        val NO = Value.Bool(false)
        val YES = Value.Bool(true)
    }
}
