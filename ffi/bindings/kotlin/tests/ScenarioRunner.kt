package dev.subrosa.tests

import dev.subrosa.Change
import dev.subrosa.Collection
import dev.subrosa.Device
import dev.subrosa.Key
import dev.subrosa.Kind
import dev.subrosa.Mode
import dev.subrosa.Profile
import dev.subrosa.Record
import dev.subrosa.RecordId
import dev.subrosa.Session
import dev.subrosa.SubrosaException
import dev.subrosa.Sync
import dev.subrosa.Transaction
import dev.subrosa.Vault
import java.io.File
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull

private const val OK = "ok"

/** The variables and steps of one file (`ffi/scenario/README.md`). */
private class Scenario(private val work: File, private val relay: String) : AutoCloseable {
    private val keys = mutableMapOf<String, Key>()
    private val homes = mutableMapOf<String, Pair<Key, File>>()
    private val devices = mutableMapOf<String, Device>()
    private val vaults = mutableMapOf<Pair<String, String>, Vault>()
    private val syncs = mutableMapOf<String, Sync>()
    private val sessions = mutableMapOf<String, Session>()
    private val messages = mutableMapOf<String, ByteArray>()
    private val txs = mutableMapOf<String, Transaction>()
    private val watches = mutableMapOf<String, Channel<Change>>()
    private val aliases = mutableMapOf<String, RecordId>()
    private val scope = CoroutineScope(Dispatchers.Default)

    private lateinit var step: Map<*, *>

    fun run(step: Map<*, *>): String {
        this.step = step
        return when (val name = text("do")) {
            "key" -> ok { keys[text("key")] = Key.generate() }
            "import_key" -> ok { keys[text("key")] = Key.fromPkcs8(unhex(text("pkcs8"))) }
            "create", "open", "close", "restart", "suspend", "resume", "network_changed", "verify" -> onDevice(name)
            "copy" -> ok { work.resolve(text("dir")).copyRecursively(work.resolve(text("to"))) }
            "create_vault", "open_vault", "vaults", "devices", "collections", "forks", "held" -> onVault(name)
            "insert", "put", "replace", "get", "await", "set", "field", "delete", "count" -> onRecord(name)
            "names", "get_field", "delete_field" -> onField(name)
            "scan", "get_many", "write_many" -> onMany(name)
            "begin", "commit", "abort", "watch", "events" -> onTransaction(name)
            "session", "seal", "unseal" -> onSession(name)
            "sync", "wait_synced", "stop_sync" -> onSync(name)
            "pair" -> pair { it }
            "pair_wrong_code" -> pair { code -> code.map { if (it == '9') '0' else it + 1 }.joinToString("") }
            "tick" -> ok { System.currentTimeMillis().let { now -> while (System.currentTimeMillis() == now) Thread.onSpinWait() } }
            else -> error("no step is called $name")
        }
    }

    private fun onDevice(name: String): String {
        val device = text("device")
        when (name) {
            "create", "open" -> {
                val key = keys.getValue(text("key"))
                val dir = work.resolve(text("dir"))
                devices[device] = if (name == "create") Device.create(dir, key, text("name")) else Device.open(dir, key)
                homes[device] = key to dir
            }
            "close" -> close(device)
            "restart" -> {
                close(device)
                val (key, dir) = homes.getValue(device)
                devices[device] = Device.open(dir, key)
            }
            "suspend" -> devices.getValue(device).suspend(5.seconds)
            "resume" -> devices.getValue(device).resume()
            "network_changed" -> devices.getValue(device).networkChanged()
            "verify" -> return if (runBlocking { devices.getValue(device).verify() }.isGood) "good" else "bad"
        }
        return OK
    }

    private fun close(device: String) {
        devices.getValue(device).close()
        vaults.keys.filter { it.first == device }.forEach { vaults.remove(it)?.close() }
        syncs.remove(device)?.close()
    }

    private fun onVault(name: String): String {
        val device = devices.getValue(text("device"))
        val key = text("device") to (step["vault"] as String? ?: "")
        return when (name) {
            "create_vault" -> ok { vaults[key] = device.createVault(key.second) }
            "open_vault" -> ok { vaults[key] = device.vault(key.second) }
            "vaults" -> device.vaults().joinToString(",") { it.name }
            "devices" ->
                vault().devices().joinToString(",") { "${it.name}:${it.role.name.lowercase()}${if (it.isThis) ":this" else ""}" }
            "forks" ->
                vault().forks().joinToString(",") { "${it.name}:${it.logs}:${it.futures}${if (it.isThis) ":this" else ""}" }
            "held" ->
                vault().held().run { devices.map { "${it.name}:${it.groups}" } + if (clockIsLate) listOf("late") else listOf() }
                    .joinToString(",")
            else -> vault().collections().joinToString(",")
        }
    }

    private fun onRecord(name: String): String =
        collection().use { c ->
            val tx = tx()
            when (name) {
                "insert" -> ok { alias(c.insertJson(text("json"), tx)) }
                "put" -> ok { c.putJson(id(), text("json"), tx) }
                "replace" -> ok { c.replaceJson(id(), text("json"), tx) }
                "get" -> c.getJson(id(), tx) ?: "absent"
                "await" -> await(c)
                "set" -> ok { Record().use { c.put(id(), fill(it), tx) } }
                "field" -> c.getRecord(id(), tx)?.use(::field) ?: "absent"
                "delete" -> if (c.delete(id(), tx)) "existed" else "absent"
                else -> c.count(tx).toString()
            }
        }

    private fun onField(name: String): String =
        collection().use { c ->
            when (name) {
                "names" -> names(c, (step["limit"] as Number).toInt())
                "get_field" -> c.getFieldJson(id(), text("field"), tx()) ?: "absent"
                else -> if (c.deleteField(id(), text("field"), tx())) "existed" else "absent"
            }
        }

    private fun names(c: Collection, limit: Int): String {
        val names = mutableListOf<String>()
        do {
            val page = c.fieldNames(id(), names.lastOrNull(), limit, tx()) ?: return "absent"
            names += page
        } while (page.size == limit)
        return names.joinToString(",")
    }

    private fun await(c: Collection): String {
        val id = id()
        val seen = c.observe { it.getJson(id) ?: "absent" }
        val found = runBlocking { withTimeoutOrNull(30.seconds) { seen.first { it == text("expect") } } }
        return found ?: c.getJson(id) ?: "absent"
    }

    private fun fill(record: Record): Record {
        for ((name, typed) in step["fields"] as Map<*, *>) {
            val field = name as String
            val (kind, value) = (typed as List<*>).map { it as String }
            when (kind) {
                "null" -> record.setNull(field)
                "bool" -> record.set(field, value.toBooleanStrict())
                "i64" -> record.set(field, value.toLong())
                "f64" -> record.set(field, value.toDouble())
                "text" -> record.set(field, value)
                "bytes" -> record.set(field, unhex(value))
                "json" -> record.setJson(field, value)
                else -> error("no kind is called $kind")
            }
        }
        return record
    }

    private fun field(record: Record): String {
        val name = text("field")
        return when (val kind = record.kind(name)) {
            Kind.BOOL -> "bool:${record.bool(name)}"
            Kind.I64 -> "i64:${record.long(name)}"
            Kind.F64 -> "f64:${record.json(name)}"
            Kind.TEXT -> "text:${record.text(name)}"
            Kind.BYTES -> "bytes:" + record.bytes(name).joinToString("") { "%02x".format(it) }
            else -> kind.name.lowercase()
        }
    }

    private fun onMany(name: String): String =
        collection().use { c ->
            val tx = tx()
            when (name) {
                "scan" -> c.scanJson((step["limit"] as Long).toInt(), tx).joinToString(",") { aliasOf(it.id) }
                "get_many" -> c.getManyJson((step["ids"] as List<*>).map { id(it as String) }, tx).joinToString("|") { it ?: "absent" }
                else -> ok { writeMany(c, tx) }
            }
        }

    private fun writeMany(c: Collection, tx: Transaction?) {
        val rows = (step["rows"] as List<*>).map { it as Map<*, *> }
        val ids =
            c.writeMany(tx) {
                for (row in rows) {
                    val json = row["json"] as String? ?: ""
                    when (row["op"]) {
                        "insert" -> insertJson(json)
                        "put" -> putJson(id(row["id"] as String), json)
                        "replace" -> replaceJson(id(row["id"] as String), json)
                        "import" -> importJson(id(row["id"] as String), json)
                        else -> delete(id(row["id"] as String))
                    }
                }
            }
        rows.zip(ids) { row, id -> (row["as"] as String?)?.let { aliases[it] = id } }
    }

    private fun onTransaction(name: String): String {
        when (name) {
            "begin" -> txs[text("tx")] = vault().begin(if (text("mode") == "read") Mode.READ else Mode.WRITE, 0.seconds)
            "commit" -> txs.getValue(text("tx")).commit()
            "abort" -> txs.getValue(text("tx")).abort()
            "watch" -> watch()
            else -> return events()
        }
        return OK
    }

    private fun watch() {
        val channel = Channel<Change>(Channel.UNLIMITED)
        val watching = CompletableDeferred<Unit>()
        val begun: suspend () -> Unit = { watching.complete(Unit) }
        val changes = if ("collection" in step) collection().changes(begun) else vault().changes(begun)
        scope.launch { changes.collect { channel.send(it) } }
        runBlocking { withTimeout(10.seconds) { watching.await() } }
        watches[text("events")] = channel
    }

    private fun events(): String {
        val channel = watches.getValue(text("events"))
        val count = text("expect").split(",").count { it.isNotEmpty() }
        val seen = mutableListOf<Change?>()
        runBlocking {
            repeat(count) { seen += withTimeoutOrNull(10.seconds) { channel.receive() } }
            withTimeoutOrNull(50.milliseconds) { channel.receive() }?.let { seen += it }
        }
        return seen.joinToString(",") { change ->
            if (change is Change.Record) "${change.kind.name.lowercase()} ${aliasOf(change.id)}" else change.toString()
        }
    }

    private fun onSession(name: String): String {
        val session = text("session")
        val aad = (step["aad"] as String? ?: "").encodeToByteArray()
        return when (name) {
            "session" ->
                ok {
                    val key = keys.getValue(text("key"))
                    val profile = if (text("profile") == "subrosa/1") Profile.SUBROSA_1 else Profile.SUPABASE_E2EE_V1
                    val context = text("context").encodeToByteArray()
                    val peer = (step["peer"] as String?)?.let { keys.getValue(it).publicKey }
                    sessions[session] =
                        if (peer == null) Session.withSelf(key, context, profile) else Session.withPeer(key, peer, context, profile)
                }
            "seal" -> {
                val sealed = sessions.getValue(session).seal(text("text").encodeToByteArray(), aad)
                messages[text("as")] = sealed
                sealed.size.toString()
            }
            else -> {
                val sealed = (step["message"] as String?)?.let(messages::getValue) ?: unhex(text("hex"))
                sessions.getValue(session).open(sealed, aad).decodeToString()
            }
        }
    }

    private fun onSync(name: String): String {
        val device = text("device")
        when (name) {
            "sync" -> syncs[device] = devices.getValue(device).sync(relay)
            "wait_synced" -> runBlocking { syncs.getValue(device).awaitSynced(30.seconds) }
            else -> syncs.remove(device)?.stop()
        }
        return OK
    }

    private fun pair(typed: (String) -> String): String =
        runBlocking {
            val key = keys.getValue(text("key"))
            val dir = work.resolve(text("dir"))
            devices.getValue(text("device")).pairOffer(relay).use { offer ->
                Device.pairJoin(dir, key, offer.link, text("name")).use { join ->
                    coroutineScope {
                        val request = async { offer.awaitRequest(30.seconds) }
                        val code = join.awaitCode(30.seconds)
                        val name = request.await().deviceName
                        val device = async { runCatching { join.awaitDevice(30.seconds) } }
                        offer.confirm(typed(code))
                        devices[text("new")] = device.await().getOrThrow()
                        homes[text("new")] = key to dir
                        name
                    }
                }
            }
        }

    private fun vault(): Vault = vaults.getOrPut(text("device") to text("vault")) { devices.getValue(text("device")).vault(text("vault")) }

    private fun collection(): Collection = vault().collection(text("collection"))

    private fun tx(): Transaction? = (step["tx"] as String?)?.let(txs::getValue)

    private fun text(field: String): String = step[field] as String? ?: error("the step has no $field")

    private fun id(of: String = text("id")): RecordId =
        if (of.startsWith("name:")) RecordId.fromName(of.removePrefix("name:")) else aliases.getValue(of)

    private fun alias(id: RecordId) {
        aliases[text("as")] = id
    }

    private fun aliasOf(id: RecordId): String = aliases.entries.firstOrNull { it.value == id }?.key ?: id.toString()

    private inline fun ok(body: () -> Unit): String {
        body()
        return OK
    }

    private fun unhex(text: String): ByteArray = text.chunked(2).map { it.toInt(16).toByte() }.toByteArray()

    override fun close() {
        scope.cancel()
        val open = txs.values + syncs.values + sessions.values + vaults.values + devices.values + keys.values
        open.forEach { it.close() }
    }
}

/** Prints what the step gave; whether that is what the file says. */
private fun Scenario.check(file: String, number: Int, step: Map<*, *>): Boolean {
    val wanted = step["error"]?.let { "error $it" } ?: step["expect"] ?: OK
    val found =
        try {
            run(step)
        } catch (e: SubrosaException) {
            "error ${e.name}"
        }
    println("$file $number ${step["do"]} $found")
    if (found != wanted) System.err.println("$file $number: expected $wanted, found $found")
    return found == wanted
}

/** Arguments: the folder of the scenarios, an empty folder to work in. */
object ScenarioRunner {
    @JvmStatic
    fun main(args: Array<String>) {
        val relay = System.getenv("SUBROSA_TEST_RELAY").orEmpty()
        val files = File(args[0]).listFiles { file -> file.extension == "json" }.orEmpty().sortedBy { it.name }
        var good = files.isNotEmpty()
        for (file in files) {
            val scenario = Json.parse(file.readText()) as Map<*, *>
            if (scenario["relay"] == true && relay.isEmpty()) {
                System.err.println("${file.name} needs SUBROSA_TEST_RELAY")
                exitProcess(1)
            }
            val work = File(args[1]).resolve(file.nameWithoutExtension).apply { mkdirs() }
            Scenario(work, relay).use { runner ->
                (scenario["steps"] as List<*>).forEachIndexed { index, step ->
                    good = runner.check(file.name, index + 1, step as Map<*, *>) && good
                }
            }
        }
        exitProcess(if (good) 0 else 1)
    }
}
