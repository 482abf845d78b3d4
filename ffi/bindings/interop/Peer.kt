import dev.subrosa.Collection
import dev.subrosa.Device
import dev.subrosa.Key
import dev.subrosa.RecordId
import java.io.File
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** A device that is told what to do, line by line: the Kotlin side of `run`, which describes the protocol. */
private class Peer {
    private val wait = 60.seconds
    private val input = System.`in`.bufferedReader()
    private val output = System.out.bufferedWriter()
    private var device: Device? = null

    private fun say(line: String) {
        output.write(line + "\n")
        output.flush()
    }

    private fun opened(): Device = checkNotNull(device) { "create or join first" }

    private fun notes(): Collection = opened().vault("personal").collection("notes")

    private fun create(dir: String, name: String, relay: String) {
        val made = Key.generate().use { Device.create(File(dir), it, name) }
        made.relay = relay
        made.createVault("personal")
        made.sync()
        device = made
        say("OK")
    }

    private suspend fun offer() {
        opened().pairOffer().use { offer ->
            say("LINK ${offer.link}")
            offer.awaitRequest(wait)
            say("CODE?")
            offer.confirm(input.readLine().trim())
        }
        say("OK")
    }

    private suspend fun join(dir: String, name: String, link: String) {
        val joined = Key.generate().use { key ->
            Device.pairJoin(File(dir), key, link, name).use { join ->
                say("CODE ${join.awaitCode(wait)}")
                join.awaitDevice(wait)
            }
        }
        joined.sync(joined.relay ?: System.getenv("SUBROSA_TEST_RELAY"))
        device = joined
        say("JOINED")
    }

    private suspend fun await(id: RecordId, json: String) = withTimeout(wait) {
        notes().observe { it.getJson(id) }.first { it == json }
        say("OK")
    }

    private fun export() {
        notes().scanJson().map { "${it.id} ${it.json}" }.sorted().forEach(::say)
        say("END")
    }

    suspend fun run() {
        while (true) {
            val line = input.readLine() ?: break
            val (command, rest) = line.substringBefore(' ') to line.substringAfter(' ', "")
            val parts = rest.split(' ', limit = 3)
            when (command) {
                "create" -> create(parts[0], parts[1], parts[2])
                "offer" -> offer()
                "join" -> join(parts[0], parts[1], parts[2])
                "insert" -> say("ID ${notes().insertJson(rest)}")
                "put" -> {
                    notes().putJson(RecordId.parse(rest.substringBefore(' ')), rest.substringAfter(' '))
                    say("OK")
                }
                "await" -> await(RecordId.parse(rest.substringBefore(' ')), rest.substringAfter(' '))
                "export" -> export()
                "quit" -> break
                else -> error("no such command")
            }
        }
        device?.close()
    }
}

fun main() = runBlocking { Peer().run() }
