package dev.subrosa.tests

import dev.subrosa.Device
import dev.subrosa.ForksOfDevice
import dev.subrosa.HeldGroups
import dev.subrosa.Key
import dev.subrosa.PairOffer
import dev.subrosa.PairRequest
import dev.subrosa.SubrosaException
import dev.subrosa.SyncEvent
import dev.subrosa.SyncState
import dev.subrosa.SyncStatus
import dev.subrosa.VaultAtRelay
import dev.subrosa.fieldsOf
import java.io.File
import java.util.Timer
import kotlin.concurrent.schedule
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** Both sides until the new device is in; [accept] is what the old one says to the code that the new one shows. */
private suspend fun join(offer: PairOffer, dir: File, key: Key, accept: suspend (PairRequest, code: String) -> Unit): Device =
    Device.pairJoin(dir, key, offer.link, "phone").use { join ->
        coroutineScope {
            val request = async { offer.awaitRequest(30.seconds) }
            val code = join.awaitCode(30.seconds)
            val device = async { runCatching { join.awaitDevice(30.seconds) } }
            accept(request.await(), code)
            device.await().getOrThrow()
        }
    }

/** What a test with a relay is about to do, and all else that tells why it does not come to an end. */
private class Progress(private val device: Device) {
    @Volatile private var step = "begin"

    suspend fun <T> step(name: String, body: suspend () -> T): T {
        step = name
        return body()
    }

    /** The stacks come first: asking the sync may hang as the test does. */
    fun report(why: String) {
        println("$why at the step: $step")
        for ((thread, stack) in Thread.getAllStackTraces()) {
            println("  ${thread.name} ${thread.state}")
            stack.forEach { println("    $it") }
        }
        println(runCatching { device.syncing.get()?.run { "$status, $reason" } ?: "no sync runs" }.getOrElse { "the sync says $it" })
    }
}

/** Reports before the time is over: the cancelled coroutines have nothing to tell. */
private fun Suite.relayed(name: String, body: suspend CoroutineScope.(Device, Progress) -> Unit) =
    device(name) { device ->
        val progress = Progress(device)
        val watchdog = Timer(true).apply { schedule(50_000) { progress.report("after 50 s") } }
        try {
            runBlocking { withTimeout(60.seconds) { body(device, progress) } }
        } catch (e: Throwable) {
            progress.report("failed")
            throw e
        } finally {
            watchdog.cancel()
        }
    }

private fun Suite.relayed(name: String, body: suspend CoroutineScope.(Device) -> Unit) = relayed(name) { device, _ -> body(device) }

private fun forgetSync(device: Device, relay: String) {
    device.sync(relay)
}

/** [relay] with a port where nobody is. */
private fun deaf(relay: String): String = relay.replace(Regex(""":\d+/"""), ":9/")

private fun syncTests(suite: Suite, relay: String) =
    suite.run {
        relayed("syncing says what it does, and ends when it is told") { device, progress ->
            device.relay = relay
            same(relay, device.relay)
            val sync = device.sync()
            fails(SubrosaException.BUSY) { device.sync() }
            val watching = CompletableDeferred<Unit>()
            val synced = async { sync.events { watching.complete(Unit) }.first { it is SyncEvent.Synced } as SyncEvent.Synced }
            val live = async { sync.statuses().first { it.state == SyncState.LIVE } }
            progress.step("watching") { watching.await() }
            val vault = device.vault("personal")
            vault.collection("notes").insert(fieldsOf("a" to 1))
            progress.step("awaitSynced") { sync.awaitSynced() }
            same(vault.id, progress.step("the event Synced") { synced.await() }.vault)
            same(0, progress.step("the status LIVE") { live.await() }.refused)
            // Either: the engine may have something of its own to send at any time.
            holds(sync.reason in listOf("live", "syncing"), "the reason is ${sync.reason}")
            val delivery = vault.delivery()
            holds(delivery.acknowledged in 1..delivery.held, "$delivery")
            same(0L, vault.pending())
            val (looking, listening) = List(2) { CompletableDeferred<Unit>() }
            val statuses = launch { sync.statuses().collect { looking.complete(Unit) } }
            val events = launch { sync.events { listening.complete(Unit) }.collect { } }
            progress.step("a status, and the second watch") { joinAll(looking, listening) }
            sync.stop()
            progress.step("the end of the flows") { joinAll(statuses, events) }
            same(emptyList<SyncStatus>(), sync.statuses().toList())
            same(emptyList<SyncEvent>(), sync.events().toList())
            fails(SubrosaException.CLOSED) { sync.status }
            device.relay = null
            same(null, device.relay)
            fails(SubrosaException.NO_RELAY) { device.sync() }
        }
        relayed("a sync goes on that nobody keeps, and ends with its device") { device ->
            forgetSync(device, deaf(relay))
            collectGarbage()
            fails(SubrosaException.BUSY) { device.sync(deaf(relay)) }
            device.close()
            same(null, device.syncing.get())
        }
        relayed("waiting for a relay that is not there can be cancelled") { device ->
            device.sync(deaf(relay)).use { sync ->
                val waiting = launch(start = CoroutineStart.UNDISPATCHED) { sync.awaitSynced(Duration.INFINITE) }
                val took = measureTime { waiting.cancelAndJoin() }
                holds(took < 5.seconds, "it took $took")
                same("NO_PROGRESS", (runCatching { sync.awaitSynced(200.milliseconds) }.exceptionOrNull() as SubrosaException).name)
                device.networkChanged()
            }
        }
        test("who asks later is told of a store that went on twice") {
            withFolder { folder ->
                Key.generate().use { key -> runBlocking { withTimeout(60.seconds) { goOnTwice(folder, key, relay) } } }
            }
        }
        test("an address that is none is refused") {
            withDevice { device -> fails(SubrosaException.RELAY_ADDRESS) { device.sync("https://example.com") } }
        }
    }

private suspend fun goOnTwice(folder: File, key: Key, relay: String) {
    val (first, copied) = folder.resolve("store") to folder.resolve("copied")
    Device.create(first, key, "laptop").use { device ->
        val vault = device.createVault("personal")
        same(emptyList<ForksOfDevice>(), vault.forks())
        same(HeldGroups(emptyList(), false), vault.held())
        same(false, vault.isUpdateNeeded)
    }
    val writeAndSync: suspend (File) -> Unit = { where ->
        Device.open(where, key).use { device ->
            device.vault("personal").collection("notes").insert(fieldsOf("a" to 1))
            device.sync(relay).use { sync ->
                sync.awaitSynced()
                same(listOf(0L, 0L), sync.status.run { listOf(clockAheadMs, heldUntilMs) })
                same(emptyList<VaultAtRelay>(), sync.vaults())
            }
        }
    }
    writeAndSync(first)
    first.copyRecursively(copied)
    writeAndSync(first)
    writeAndSync(copied)
    Device.open(copied, key).use { device ->
        same(listOf(ForksOfDevice("laptop", true, key.publicKey, 1, 1)), device.vault("personal").forks())
        same(3L, device.vault("personal").collection("notes").count())
    }
}

private fun pairTests(suite: Suite, relay: String) =
    suite.run {
        relayed("a device with a provider's key pairs, syncs and is seen") { old ->
            val notes = old.vault("personal").collection("notes")
            val id = notes.insert(fieldsOf("a" to 1))
            old.sync(relay).use { oldSync ->
                oldSync.awaitSynced()
                withFolder { folder -> Key.fromProvider(JavaProvider()).use { key -> pairAndSync(old, relay, folder, key, id) } }
            }
        }
        relayed("a device that is declined is told so") { old ->
            old.pairOffer(relay).use { offer ->
                withFolder { folder ->
                    Key.generate().use { key ->
                        val thrown = runCatching { join(offer, folder.resolve("s"), key) { _, _ -> offer.decline() } }.exceptionOrNull()
                        same("PAIR_DECLINED", (thrown as SubrosaException).name)
                    }
                }
            }
        }
        relayed("an empty code lets nobody in, and the offer stands") { old ->
            old.pairOffer(relay).use { offer ->
                withFolder { folder ->
                    Key.generate().use { key ->
                        join(offer, folder.resolve("s"), key) { _, code ->
                            for (empty in listOf("", " ")) {
                                same("INVALID_ARGUMENT", (runCatching { offer.confirm(empty) }.exceptionOrNull() as SubrosaException).name)
                                same(1, old.vault("personal").devices().size)
                            }
                            offer.confirm(code)
                        }.close()
                    }
                }
                same(2, old.vault("personal").devices().size)
            }
        }
        relayed("waiting for a device ends by its time, and by cancelling") { old ->
            old.pairOffer(relay).use { offer ->
                fails(SubrosaException.NOT_READY) { offer.request() }
                same("TIMEOUT", (runCatching { offer.awaitRequest(50.milliseconds) }.exceptionOrNull() as SubrosaException).name)
                val waiting = launch(start = CoroutineStart.UNDISPATCHED) { offer.awaitRequest() }
                val took = measureTime { waiting.cancelAndJoin() }
                holds(took < 5.seconds, "it took $took")
            }
        }
        relayed("a link that is none is refused") { _ ->
            withFolder { folder ->
                Key.generate().use { key ->
                    val thrown = runCatching { Device.pairJoin(folder.resolve("s"), key, "nonsense").close() }.exceptionOrNull()
                    same("PAIR_LINK", (thrown as SubrosaException).name)
                }
            }
        }
    }

private suspend fun pairAndSync(old: Device, relay: String, folder: File, key: Key, id: dev.subrosa.RecordId) {
    val new =
        old.pairOffer(relay).use { offer ->
            join(offer, folder.resolve("s"), key) { request, code ->
                same("phone", request.deviceName)
                same(code, request.code)
                holds(code !in request.toString(), "the code is not in the text")
                val info = offer.confirm(code)
                same("phone" to key.publicKey, info.name to info.publicKey)
            }
        }
    new.use {
        same("phone", new.name)
        new.sync(relay).use { sync ->
            sync.awaitSynced()
            same(listOf("laptop" to false, "phone" to true), new.vault("personal").devices().map { it.name to it.isThis })
            same(old.publicKey, new.vault("personal").devices()[1].addedBy)
            val notes = new.vault("personal").collection("notes")
            same(fieldsOf("a" to 1), notes.observe { it.get(id) }.first { it != null })
            notes.put(id, fieldsOf("b" to 2))
            sync.awaitSynced()
            val there = old.vault("personal").collection("notes")
            same(fieldsOf("a" to 1, "b" to 2), there.observe { it.get(id) }.first { it?.size == 2 })
        }
    }
}

/** Needs the URL of a relay; the test script always gives one. */
fun pairingTests(relay: String): List<Test> =
    if (relay.isEmpty()) {
        listOf(Test("sync: a relay is there") { throw AssertionError("SUBROSA_TEST_RELAY is not set") })
    } else {
        suite("sync") { syncTests(this, relay) } + suite("pairing") { pairTests(this, relay) }
    }
