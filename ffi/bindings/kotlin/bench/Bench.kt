import dev.subrosa.Device
import dev.subrosa.Fields
import dev.subrosa.Key
import dev.subrosa.Subrosa
import dev.subrosa.fieldsOf
import java.io.File

/** One measured case: [batches] times the mean of [calls] calls, after as much for warming up. */
private class Case(val name: String, val batches: Int, val calls: Int, val run: () -> Unit) {
    private fun batch(): Long {
        val begin = System.nanoTime()
        repeat(calls) { run() }
        return (System.nanoTime() - begin) / calls
    }

    fun measure() {
        repeat(batches) { batch() }
        val times = List(batches) { batch() }.sorted()
        println("""{"case": "$name", "ns": ${times[times.size / 2]}, "min": ${times.first()}, "max": ${times.last()}}""")
    }
}

/** Argument: a folder that does not exist yet, for the store. Prints a line of JSON for each case. */
object Bench {
    @JvmStatic
    fun main(args: Array<String>) {
        Key.generate().use { key ->
            Device.create(File(args[0]), key).use { device ->
                device.createVault("bench").collection("records").use { records ->
                    val notes = List(1000, ::note)
                    val ids = records.insertMany(notes)
                    val inserted = device.vault("bench").collection("inserted")
                    listOf(
                        Case("no-op", 30, 100_000) { Subrosa.abiVersion },
                        Case("get 256 B", 30, 2_000) { records.get(ids[500]) },
                        Case("get 256 B as JSON", 30, 2_000) { records.getJson(ids[500]) },
                        Case("getMany 1000", 30, 10) { records.getMany(ids) },
                        Case("insertMany 1000", 30, 1) { inserted.insertMany(notes) },
                    ).forEach(Case::measure)
                }
            }
        }
    }

    /** The note of the other languages: 256 bytes of JSON. */
    private fun note(number: Int): Fields {
        val frame = """{"done":false,"number":$number,"text":""}""".length
        return fieldsOf("done" to false, "number" to number, "text" to "x".repeat(256 - frame))
    }
}
