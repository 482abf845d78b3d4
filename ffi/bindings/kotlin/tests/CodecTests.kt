package dev.subrosa.tests

import dev.subrosa.Fields
import dev.subrosa.HeldOfDevice
import dev.subrosa.Packed
import dev.subrosa.PublicKey
import dev.subrosa.RecordId
import dev.subrosa.RowReader
import dev.subrosa.RowWriter
import dev.subrosa.SubrosaException
import dev.subrosa.Value
import dev.subrosa.VaultAtRelay
import dev.subrosa.VaultId
import dev.subrosa.fieldsOf
import dev.subrosa.hex
import dev.subrosa.utf8

private val id = RecordId.ofBytes(ByteArray(16) { it.toByte() })

private val everything =
    fieldsOf(
        "null" to null,
        "yes" to true,
        "least" to Long.MIN_VALUE,
        "half" to -0.5,
        "minus zero" to -0.0,
        "text" to "Grüße 🌹\u0000",
        "bytes" to byteArrayOf(0, -1),
        "list" to listOf(1, listOf("two"), mapOf("three" to 3.0)),
        "map" to mapOf("empty" to emptyList<Any>(), "" to ""),
    )

private fun packed(fields: Fields): ByteArray =
    RowWriter().apply { fields(Packed.OP_RECORD, id, fields) }.let { it.bytes.copyOf(it.size) }

private fun read(bytes: ByteArray): Fields {
    val rows = RowReader(bytes)
    if (rows.next() != Packed.OP_RECORD) throw AssertionError("not a record")
    val fields = rows.fields()
    same(-1, rows.next())
    return fields
}

fun codecTests(): List<Test> =
    suite("codec") {
        test("a row has the bytes that the header describes") {
            val expected =
                "2f000000" + "02" + "02" + "0000" + "00".repeat(16) + // 47 more: insert, fields, a zero id
                    "02000000" + "0100" + "61" + "03" + "0500000000000000" + "0200" + "6262" + "02" + "01" + "" // a = 5, bb = true
            val rows = RowWriter().apply { fields(Packed.OP_INSERT, null, fieldsOf("a" to 5, "bb" to true)) }
            val found = hex(rows.bytes.copyOf(rows.size))
            same(expected.replaceRange(0, 8, "%02x000000".format(rows.size - 4)), found)
            same(20 + 4 + 12 + 6, rows.size - 4)
        }
        test("what is held, and what is the matter with a vault, is read as the glue packs it") {
            val key = ByteArray(PublicKey.SIZE) { it.toByte() }
            val held = key + byteArrayOf(0, 0, 0, 0, 0, 0, 0, 2) + byteArrayOf(0, 0, 1, 2, 0, 0, 0, 3)
            same(HeldOfDevice(null, PublicKey.ofBytes(key), 2, 0x010200000003), HeldOfDevice.of("", held))
            val vault = ByteArray(VaultId.SIZE) { 7 }
            val packed = vault + byteArrayOf(1, 0, 1) + byteArrayOf(0, 0, 0, 0, 0, 0, 0, 9)
            same(VaultAtRelay(VaultId.ofBytes(vault), 9, "why", true, false, true), VaultAtRelay.of("why", packed))
        }
        test("decoding undoes encoding, for every kind") { same(everything, read(packed(everything))) }
        test("the id comes back") {
            val rows = RowReader(packed(everything))
            rows.next()
            same(id, rows.id)
        }
        test("names that repeat, change and grow are read right") {
            val many = List(300) { "field $it" to it }.toTypedArray()
            val records = listOf(fieldsOf("a" to 1), fieldsOf("b" to 1, "c" to 2), fieldsOf(*many), fieldsOf("a" to 2), fieldsOf(*many))
            val writer = RowWriter(1).apply { records.forEach { fields(Packed.OP_RECORD, id, it) } }
            val rows = RowReader(writer.bytes.copyOf(writer.size))
            for (record in records) {
                rows.next()
                same(record, rows.fields())
            }
        }
        test("every cut of a row is refused") {
            val whole = packed(everything)
            for (len in 1 until whole.size) fails(SubrosaException.BAD_ROWS) { read(whole.copyOf(len)) }
        }
        test("every cut of a payload is refused, also when the row's length agrees") {
            val whole = packed(everything)
            for (len in 24 until whole.size) {
                val cut = whole.copyOf(len)
                for (i in 0 until 4) cut[i] = ((len - 4) shr (8 * i)).toByte()
                fails(SubrosaException.BAD_ROWS) { read(cut) }
            }
        }
        test("any changed byte is other fields or a refusal, never another exception") {
            val whole = packed(everything)
            for (at in whole.indices) {
                for (bit in 0 until 8) {
                    val changed = whole.copyOf().also { it[at] = (it[at].toInt() xor (1 shl bit)).toByte() }
                    try {
                        RowReader(changed).apply { next() }.fields()
                    } catch (e: SubrosaException) {
                        same(SubrosaException.BAD_ROWS, e.code)
                    }
                }
            }
        }
        test("a count that the bytes cannot hold allocates nothing") {
            val bytes = packed(fieldsOf("l" to listOf(1)))
            val count = bytes.size - 9 - 4
            for (i in 0 until 3) bytes[count + i] = -1
            bytes[count + 3] = 0x7f
            fails(SubrosaException.BAD_ROWS) { read(bytes) }
        }
        test("lists that contain each other end as too deep") {
            val endless = mutableListOf<Value>()
            endless += Value.List(endless)
            fails(SubrosaException.TOO_DEEP) { packed(Fields(mapOf("endless" to Value.List(endless)))) }
        }
        test("half of a surrogate pair is refused, a question mark is not") {
            same("3f", hex(utf8("?")))
            fails(SubrosaException.INVALID_UTF8) { utf8("\ud83c") }
            fails(SubrosaException.INVALID_UTF8) { packed(fieldsOf("a\udf39" to 1)) }
        }
        test("a row that failed leaves the rows before it") {
            val writer = RowWriter().apply { fields(Packed.OP_INSERT, null, fieldsOf("a" to 1)) }
            val size = writer.size
            fails(SubrosaException.INVALID_UTF8) { writer.fields(Packed.OP_INSERT, null, fieldsOf("a" to "\ud83c")) }
            same(size, writer.size)
            same(1, writer.rows)
        }
        test("typed getters say what is wrong") {
            same(true, everything.bool("yes"))
            same(Long.MIN_VALUE, everything.long("least"))
            same(-0.5, everything.double("half"))
            same("two", ((everything.list("list")[1] as Value.List).values[0] as Value.Text).value)
            same("", everything.fields("map").text(""))
            same(2, everything.bytes("bytes").size)
            same(null, everything.textOrNull("none"))
            same(null, everything.textOrNull("null"))
            fails(SubrosaException.NO_FIELD) { everything.text("none") }
            fails(SubrosaException.WRONG_KIND) { everything.text("null") }
            fails(SubrosaException.WRONG_KIND) { everything.double("least") }
            fails(SubrosaException.WRONG_KIND) { everything.longOrNull("half") }
        }
        test("fields are equal as maps are, and bytes by content") {
            same(fieldsOf("a" to byteArrayOf(1), "b" to 2), fieldsOf("b" to 2, "a" to byteArrayOf(1)))
            same(fieldsOf("a" to byteArrayOf(1)).hashCode(), fieldsOf("a" to byteArrayOf(1)).hashCode())
            holds(fieldsOf("a" to 1) != fieldsOf("a" to 1.0), "an integer is not a float")
        }
    }
