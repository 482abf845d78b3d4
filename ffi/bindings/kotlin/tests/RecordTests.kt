package dev.subrosa.tests

import dev.subrosa.Collection
import dev.subrosa.Device
import dev.subrosa.Kind
import dev.subrosa.Packed
import dev.subrosa.Record
import dev.subrosa.RecordId
import dev.subrosa.RowWriter
import dev.subrosa.SubrosaException
import dev.subrosa.fieldsOf
import java.nio.ByteBuffer
import java.util.UUID

private fun Suite.notes(name: String, body: (Collection) -> Unit) =
    device(name) { device: Device -> device.vault("personal").collection("notes").use(body) }

private fun rowsOf(count: Int): RowWriter = RowWriter().apply { repeat(count) { fields(Packed.OP_INSERT, null, fieldsOf("n" to it)) } }

private fun idTests(suite: Suite) =
    suite.run {
        test("ids are text, UUID and bytes, in the order of their bytes") {
            val text = "ffeeddcc-bbaa-9988-7766-554433221100"
            val id = RecordId.parse(text)
            same(text, id.toString())
            same(text, dev.subrosa.Native.idText(id.high, id.low))
            same(id, RecordId.ofUuid(UUID.fromString(text)))
            same(id, RecordId.ofBytes(id.toBytes()))
            same(id, RecordId.ofUuid(id.toUuid()))
            holds(id > RecordId.parse("00000000-0000-0000-ffff-ffffffffffff"), "bytes have no sign")
            fails(SubrosaException.NOT_AN_ID) { RecordId.parse("1-1-1-1-1") }
            same(RecordId.fromName("today"), RecordId.fromName("today"))
            holds(RecordId.fromName("today") != RecordId.fromName("tomorrow"), "two names have two ids")
        }
    }

private fun singleTests(suite: Suite) =
    suite.run {
        notes("fields of every kind come back") { notes ->
            val all =
                fieldsOf(
                    "n" to null, "b" to false, "i" to Long.MAX_VALUE, "j" to Long.MIN_VALUE, "f" to 1.0, "g" to Double.MIN_VALUE,
                    "t" to "Grüße 🌹\u0000\u2028", "x" to ByteArray(1000) { it.toByte() }, "l" to listOf(null, 1, 2.5, "three", listOf(4)),
                    "m" to mapOf("deep" to mapOf("er" to byteArrayOf(1))), "🌹" to "names too",
                )
            same(all, notes.get(notes.insert(all)))
        }
        notes("put leaves other fields, replace does not") { notes ->
            val id = notes.insert(fieldsOf("a" to 1, "b" to 2))
            notes.put(id, fieldsOf("b" to 3))
            same(fieldsOf("a" to 1, "b" to 3), notes.get(id))
            notes.replace(id, fieldsOf("c" to 4))
            same(fieldsOf("c" to 4), notes.get(id))
            same(true, notes.delete(id))
            same(false, notes.delete(id))
            same(null, notes.get(id))
            same(null, notes.getJson(id))
            same(null, notes.getRecord(id))
        }
        notes("JSON and fields are two views of one record") { notes ->
            val id = notes.insertJson("""{"b": {"${'$'}bytes": "AAEC"}, "a": [1, 1.0, null]}""")
            same(fieldsOf("a" to listOf(1, 1.0, null), "b" to byteArrayOf(0, 1, 2)), notes.get(id))
            notes.put(id, fieldsOf("c" to "🌹"))
            same("""{"a":[1,1.0,null],"b":{"${'$'}bytes":"AAEC"},"c":"🌹"}""", notes.getJson(id))
        }
        notes("errors say where, and never what") { notes ->
            val e = fails(SubrosaException.NOT_JSON) { notes.insertJson("""{"secret": x}""") }
            same("NOT_JSON", e.name)
            same(11L, e.number)
            same(false, e.retryable)
            holds("secret" !in e.toString(), "the text is not in the error")
            fails(SubrosaException.NOT_A_RECORD) { notes.insertJson("[]") }
            fails(SubrosaException.NOT_FINITE) { notes.insert(fieldsOf("a" to Double.NaN)) }
            fails(SubrosaException.INVALID_UTF8) { notes.insert(fieldsOf("a" to "\ud800")) }
        }
        test("a record has typed fields") {
            Record().use { record ->
                record.set("b", true).set("i", 7).set("l", Long.MAX_VALUE).set("f", 0.5).set("t", "x\u0000🌹").set("x", byteArrayOf(1, 2))
                record.setNull("n").setJson("j", "[1,{}]")
                same(listOf("b", "f", "i", "j", "l", "n", "t", "x"), record.names())
                same(8, record.size)
                same(listOf(true, 7L, Long.MAX_VALUE, 0.5), listOf(record.bool("b"), record.long("i"), record.long("l"), record.double("f")))
                same("x\u0000🌹", record.text("t"))
                same("1, 2", record.bytes("x").joinToString())
                same("[1,{}]", record.json("j"))
                same(listOf(Kind.LIST, Kind.NULL, Kind.ABSENT), listOf("j", "n", "?").map(record::kind))
                fails(SubrosaException.NO_FIELD) { record.text("?") }
                fails(SubrosaException.WRONG_KIND) { record.text("i") }
                fails(SubrosaException.NOT_FINITE) { record.set("f", Double.POSITIVE_INFINITY) }
                same(true, record.remove("b"))
                same(false, "b" in record)
                same(false, record.remove("b"))
            }
            Record.fromJson("""{"b":1,"a":2.0}""").use { same("""{"a":2.0,"b":1}""", it.toJson()) }
            fails(SubrosaException.NOT_A_RECORD) { Record.fromJson("1") }
        }
    }

private fun manyTests(suite: Suite) =
    suite.run {
        notes("a thousand records go in and come out in one call each") { notes ->
            val records = List(1000) { fieldsOf("n" to it, "text" to "note number $it") }
            val ids = notes.insertMany(records)
            same(records, notes.getMany(ids))
            same(listOf(null, records[7], null), notes.getMany(listOf(RecordId.fromName("no"), ids[7], RecordId.fromName("none"))))
            same(1000L, notes.count())
            val scanned = notes.scan(pageSize = 300)
            same(ids.sorted(), scanned.map { it.id }.toList())
            same(999, scanned.filter { it.fields.long("n") > 0 }.count())
            same(ids.sorted().take(5), notes.scanJson(pageSize = 2).take(5).map { it.id }.toList())
        }
        notes("nothing is also many") { notes ->
            same(emptyList<Any?>(), notes.insertMany(emptyList()))
            same(emptyList<Any?>(), notes.getMany(emptyList()))
            same(0, notes.scan().count())
        }
        notes("many writes are all or nothing") { notes ->
            val id = notes.insert(fieldsOf("a" to 1))
            fails(SubrosaException.NOT_A_RECORD) {
                notes.writeMany {
                    insert(fieldsOf("a" to 2))
                    delete(id)
                    putJson(id, "3")
                }
            }
            same(listOf(fieldsOf("a" to 1)), notes.scan().map { it.fields }.toList())
            val ids =
                notes.writeMany {
                    replace(id, fieldsOf("b" to 2))
                    insertJson("""{"c":3}""")
                    put(RecordId.fromName("d"), fieldsOf("d" to 4))
                    replaceJson(RecordId.fromName("e"), """{"e":5}""")
                }
            same(listOf("""{"b":2}""", """{"c":3}""", """{"d":4}""", """{"e":5}"""), notes.getManyJson(ids))
        }
        notes("packed rows may lie in any buffer") { notes ->
            val rows = rowsOf(10)
            val direct = ByteBuffer.allocateDirect(rows.size + 3).position(3).put(rows.bytes, 0, rows.size).flip().position(3)
            same(10, notes.writeRows(direct).size)
            same(3, direct.position())
            same(10, notes.writeRows(ByteBuffer.wrap(rows.bytes, 0, rows.size)).size)
            same(20L, notes.count())
            same(0, notes.writeRows(ByteBuffer.allocateDirect(0)).size)
            fails(SubrosaException.BAD_ROWS) { notes.writeRows(ByteBuffer.wrap(byteArrayOf(1, 0, 0, 0, 0))) }
            same(20L, notes.count())
        }
        notes("single fields are read and deleted") { notes ->
            val id = notes.insertJson("""{"":0,"a":{"${'$'}bytes":"AA=="},"b":1.5}""")
            val none = RecordId.fromName("none")
            same(listOf("", "a", "b"), notes.fieldNames(id))
            same(listOf("", "a"), notes.fieldNames(id, limit = 2))
            same(listOf("a", "b"), notes.fieldNames(id, after = ""))
            same(emptyList<String>(), notes.fieldNames(id, after = "b"))
            same(null, notes.fieldNames(none))
            notes.getField(id, "b")!!.use { same(1.5, it.double("b")) }
            same("1.5", notes.getFieldJson(id, "b"))
            same(null, notes.getField(id, "c"))
            same(null, notes.getFieldJson(none, "a"))
            same(true, notes.deleteField(id, "a"))
            same(false, notes.deleteField(id, "a"))
            same(fieldsOf("" to 0, "b" to 1.5), notes.get(id))
        }
        notes("a record larger than is read whole is read field by field, and hides no other") { notes ->
            val (small, large, last) = notes.insertMany(List(3) { fieldsOf("n" to it) })
            repeat(17) { notes.put(large, fieldsOf("f$it" to ByteArray((1 shl 20) - 64))) }
            fails(SubrosaException.RECORD_TOO_LARGE) { notes.getJson(large) }
            same(large, fails(SubrosaException.RECORD_TOO_LARGE) { notes.get(large) }.record)
            val seen = mutableListOf<RecordId>()
            val e = fails(SubrosaException.RECORD_TOO_LARGE) { notes.scan().forEach { seen += it.id } }
            same(large, e.record)
            notes.scan(after = e.record).forEach { seen += it.id }
            same(listOf(small, last), seen.toList())
            same(18, notes.fieldNames(large)!!.size)
            same(true, notes.deleteField(large, "f3") && notes.deleteField(large, "f4"))
            same(16, notes.get(large)!!.size)
        }
        notes("what was exported may have more fields than a write may add") { notes ->
            val id = RecordId.fromName("many")
            val many = fieldsOf(*Array(1025) { "f$it" to it })
            fails(SubrosaException.TOO_MANY_FIELDS) { notes.put(id, many) }
            notes.writeMany { import(id, many) }
            notes.put(id, fieldsOf("f0" to -1))
            same(1025, notes.get(id)!!.size)
        }
        notes("a field of a megabyte comes back") { notes ->
            val big = ByteArray(1 shl 19) { (it * 31).toByte() }
            val id = notes.insert(fieldsOf("big" to big))
            holds(notes.get(id)!!.bytes("big").contentEquals(big), "it is the same")
        }
    }

fun recordTests(): List<Test> =
    suite("records") {
        idTests(this)
        singleTests(this)
        manyTests(this)
    }
