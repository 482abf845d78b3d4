package dev.subrosa.tests

import dev.subrosa.Change
import dev.subrosa.ChangeKind
import dev.subrosa.Collection
import dev.subrosa.Device
import dev.subrosa.RecordId
import dev.subrosa.Source
import dev.subrosa.Subrosa
import dev.subrosa.SubrosaException
import dev.subrosa.fieldsOf
import kotlin.time.Duration.Companion.seconds
import kotlin.time.measureTime
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ReceiveChannel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.count
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.takeWhile
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** Collects changes into a channel; returns when the watch counts. */
private suspend fun CoroutineScope.watch(notes: Collection): Pair<ReceiveChannel<Change>, Job> {
    val seen = Channel<Change>(Channel.UNLIMITED)
    val watching = CompletableDeferred<Unit>()
    val job =
        launch(Dispatchers.Default) {
            notes.changes { watching.complete(Unit) }.collect { seen.send(it) }
            seen.close()
        }
    watching.await()
    return seen to job
}

private fun Suite.flow(name: String, body: suspend CoroutineScope.(Collection) -> Unit) =
    device(name) { device -> runBlocking { withTimeout(60.seconds) { body(device.vault("personal").collection("notes")) } } }

private fun kinds(changes: List<Change>): List<Pair<ChangeKind, RecordId>> = changes.map { (it as Change.Record).kind to it.id }

private fun flowOfForgottenCollection(device: Device): Flow<List<Long>> =
    device.vault("personal").collection("notes").observe { notes -> notes.scan().map { it.fields.long("n") }.toList() }

private fun changeTests(suite: Suite) =
    suite.run {
        flow("changes come in order, with what they are about") { notes ->
            val (seen, job) = watch(notes)
            val id = notes.insert(fieldsOf("a" to 1))
            notes.put(id, fieldsOf("a" to 2))
            notes.delete(id)
            notes.vault.collection("other").insert(fieldsOf("a" to 1))
            val changes = List(3) { seen.receive() }
            same(listOf(ChangeKind.INSERTED to id, ChangeKind.UPDATED to id, ChangeKind.REMOVED to id), kinds(changes))
            val first = changes[0] as Change.Record
            same("notes", first.collection)
            same(notes.vault.id, first.vault)
            job.cancelAndJoin()
        }
        flow("a vault is watched as one") { notes ->
            val watching = CompletableDeferred<Unit>()
            val seen = Channel<Change>(Channel.UNLIMITED)
            val job = launch { notes.vault.changes { watching.complete(Unit) }.take(2).collect { seen.send(it) } }
            watching.await()
            notes.vault.write { tx ->
                notes.insert(fieldsOf("a" to 1), tx)
                notes.vault.collection("other").insert(fieldsOf("a" to 1), tx)
            }
            job.join()
            same(setOf("notes", "other"), List(2) { (seen.receive() as Change.Record).collection }.toSet())
        }
        flow("what onWatching reads misses nothing") { notes ->
            val id = notes.insert(fieldsOf("a" to 1))
            var before: List<RecordId> = emptyList()
            val change =
                notes.changes {
                    before = notes.scan().map { it.id }.toList()
                    notes.delete(id)
                }.first()
            same(listOf(id), before)
            same(listOf(ChangeKind.REMOVED to id), kinds(listOf(change)))
        }
        flow("a flow is cold, and may be collected again") { notes ->
            val changes = notes.changes { notes.insert(fieldsOf("a" to 1)) }
            repeat(3) { same(ChangeKind.INSERTED, (changes.first() as Change.Record).kind) }
            same(3L, notes.count())
        }
        flow("an exception of the collector comes through") { notes ->
            val mine = IllegalStateException("mine")
            val thrown = runCatching { notes.changes { notes.insert(fieldsOf("a" to 1)) }.collect { throw mine } }.exceptionOrNull()
            same(mine.message, thrown?.message)
        }
        flow("cancelling ends the wait at once") { notes ->
            val (_, job) = watch(notes)
            val took = measureTime { job.cancelAndJoin() }
            holds(took < 5.seconds, "it took $took")
        }
        flow("two hundred flows wait at a time, and end together") { notes ->
            val watches = List(200) { watch(notes) }
            val id = notes.insert(fieldsOf("a" to 1))
            for ((seen, _) in watches) same(listOf(ChangeKind.INSERTED to id), kinds(listOf(seen.receive())))
            val took =
                measureTime {
                    watches.forEach { (_, job) -> job.cancel() }
                    watches.map { it.second }.joinAll()
                }
            holds(took < 20.seconds, "it took $took")
        }
        test("a flow ends for whatever its closed source answers, and for nothing else") {
            fun answering(code: Int, isOpen: Boolean) = Source({ isOpen }) { }.unlessOver<Unit> { throw SubrosaException(code, "under the call") }
            for (code in listOf(SubrosaException.CLOSED, SubrosaException.SYNC_STOPPED)) {
                same(null, answering(code, isOpen = false))
                fails(code) { answering(code, isOpen = true) }
            }
            fails(SubrosaException.IO) { answering(SubrosaException.IO, isOpen = false) }
        }
        flow("closing the device ends the flow") { notes ->
            val (seen, job) = watch(notes)
            notes.vault.device.close()
            same(emptyList<Change>(), seen.toListOfAll())
            job.join()
        }
        flow("a slow collector is told that it lags, and goes on") { notes ->
            val last = CompletableDeferred<RecordId>()
            val watching = CompletableDeferred<Unit>()
            val lags =
                async {
                    val before = notes.changes { watching.complete(Unit) }.takeWhile { it !is Change.Record || it.id != last.await() }
                    before.count { it is Change.Lagged }
                }
            watching.await()
            // The engine keeps 65,536 for a watcher, and the flow some more.
            repeat(2) { notes.insertMany(List(34_000) { fieldsOf("n" to it) }) }
            last.complete(notes.insert(fieldsOf("last" to true)))
            same(1, lags.await())
        }
    }

private suspend fun <T> ReceiveChannel<T>.toListOfAll(): List<T> = buildList { for (one in this@toListOfAll) add(one) }

private fun observeTests(suite: Suite) =
    suite.run {
        flow("observing reads at once, and again after a change") { notes ->
            val counts = Channel<Long>(Channel.UNLIMITED)
            val job = launch { notes.observe { it.count() }.collect { counts.send(it) } }
            same(0L, counts.receive())
            notes.insert(fieldsOf("a" to 1))
            same(1L, counts.receive())
            notes.insertMany(List(100) { fieldsOf("n" to it) })
            var latest = counts.receive()
            while (latest != 101L) latest = counts.receive()
            job.cancelAndJoin()
        }
        flow("observing goes on after a suspension") { notes ->
            val counts = Channel<Long>(Channel.UNLIMITED)
            val job = launch(Dispatchers.Default) { notes.observe { it.count() }.collect { counts.send(it) } }
            same(0L, counts.receive())
            notes.vault.device.suspend()
            notes.vault.device.resume()
            notes.insert(fieldsOf("a" to 1))
            var latest = counts.receive()
            while (latest != 1L) latest = counts.receive()
            job.cancelAndJoin()
        }
        flow("observing begun while suspended waits for the end of it") { notes ->
            val device = notes.vault.device
            device.suspend()
            val count = Channel<Long>(1)
            val job = launch(Dispatchers.Default) { count.send(notes.observe { it.count() }.first()) }
            device.resume()
            same(0L, count.receive())
            job.join()
        }
        flow("observing ends with the device") { notes ->
            val counts = mutableListOf<Long>()
            notes.observe { it.count() }.collect {
                counts += it
                notes.vault.device.close()
            }
            same(listOf(0L), counts)
        }
        flow("what is over has nothing to say") { notes ->
            notes.vault.device.close()
            same(emptyList<Long>(), notes.observe { it.count() }.toList())
            same(emptyList<Change>(), notes.changes().toList())
            same(emptyList<Change>(), notes.vault.changes().toList())
        }
        flow("a closed collection of an open device is a mistake") { notes ->
            val observing = notes.observe { it.count() }
            notes.close()
            same("CLOSED", (runCatching { observing.toList() }.exceptionOrNull() as SubrosaException).name)
        }
        device("closing the device under readers ends them all") { device ->
            val notes = device.vault("personal").collection("notes")
            runBlocking {
                withTimeout(60.seconds) {
                    val begun = List(50) { CompletableDeferred<Unit>() }
                    val observing = begun.map { launch(Dispatchers.Default) { notes.observe { it.count() }.collect { _ -> it.complete(Unit) } } }
                    begun.forEach { it.await() }
                    val writing = launch(Dispatchers.IO) { runCatching { while (true) notes.insert(fieldsOf("a" to 1)) } }
                    notes.changes { notes.insert(fieldsOf("a" to 1)) }.first()
                    device.close()
                    (observing + writing).joinAll()
                }
            }
        }
        flow("an exception of the reading comes through") { notes ->
            val thrown = runCatching { notes.observe<Unit> { throw IllegalStateException("mine") }.collect { } }.exceptionOrNull()
            same("mine", thrown?.message)
        }
        device("a flow keeps what it watches") { device ->
            val flow = flowOfForgottenCollection(device)
            val before = Subrosa.abandonedHandles
            leakCollection(device)
            eventually("something else is closed") { Subrosa.abandonedHandles > before }
            device.vault("personal").collection("notes").insert(fieldsOf("n" to 5))
            same(listOf(listOf(5L)), runBlocking { flow.take(1).toList() })
        }
    }

private fun leakCollection(device: Device) {
    device.vault("personal").collection("notes")
}

fun flowTests(): List<Test> =
    suite("flows") {
        changeTests(this)
        observeTests(this)
        device("verify and compact run beside the caller") { device ->
            runBlocking {
                val report = device.verify()
                same(true, report.isGood)
                same(1L, report.vaults)
                device.compact()
            }
            holds(device.space().fileBytes > 0, "the file has a size")
            same(listOf("personal"), device.vaults().map { it.name })
            same(device.vault("personal").id, device.vault(device.vaults()[0].id).id)
        }
    }
