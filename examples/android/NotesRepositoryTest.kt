import dev.subrosa.Key
import java.io.File
import java.util.concurrent.CountDownLatch
import kotlin.concurrent.thread
import kotlin.coroutines.CoroutineContext
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

private suspend fun NotesRepository.await(vararg expected: Pair<String, Boolean>) {
    withTimeout(30.seconds) { notes.first { notes -> notes.map { it.title to it.done } == expected.toList() } }
}

private suspend fun editing(repository: NotesRepository) {
    repository.await()
    val milk = repository.add("Milk")
    val anna = repository.add("Call Anna")
    repository.await("Milk" to false, "Call Anna" to false)
    repository.toggle(anna)
    repository.await("Milk" to false, "Call Anna" to true)
    repository.toggle(anna)
    repository.delete(milk)
    repository.await("Call Anna" to false)
    repository.toggle(milk) // it is gone: nothing happens
}

private suspend fun backgroundAndForeground(repository: NotesRepository) {
    repository.toBackground()
    check(runCatching { repository.add("lost?") }.isFailure) { "a write in the background is an error, not lost" }
    repository.toForeground()
    repository.add("after")
    repository.await("Call Anna" to false, "after" to false)
}

private suspend fun syncing(repository: NotesRepository, relay: String) {
    check(repository.connection.value == Connection.OFF)
    coroutineScope { repeat(8) { launch(Dispatchers.Default) { repository.connect(relay) } } } // an impatient finger
    withTimeout(30.seconds) { repository.connection.first { it == Connection.UP_TO_DATE } }
    repository.networkChanged()
    repository.add("synced")
    withTimeout(30.seconds) { repository.flush() }
    repository.disconnect()
    withTimeout(30.seconds) { repository.connection.first { it == Connection.OFF } }
}

/** A screen that is open all the time sees the last state, whatever it missed. */
private suspend fun watchedThroughout(repository: NotesRepository, body: suspend () -> Unit) =
    runBlocking {
        val last = async(Dispatchers.Default, CoroutineStart.UNDISPATCHED) { repository.notes.first { it.any { note -> note.title == "last" } } }
        launch(Dispatchers.Default) {
            body()
            repository.add("last")
        }
        withTimeout(60.seconds) { last.await() }
    }

/** The store is not left open by somebody who does not wait for it any more. */
private fun cancelledOpening(folder: File, key: Key) =
    runBlocking {
        val ran = CountDownLatch(1)
        val io =
            object : CoroutineDispatcher() {
                override fun dispatch(context: CoroutineContext, block: Runnable) {
                    thread {
                        block.run()
                        ran.countDown()
                    }
                }
            }
        val opening = async(start = CoroutineStart.UNDISPATCHED) { NotesRepository.open(folder, key, "phone", io) }
        ran.await() // this is the thread to which the repository would be handed
        opening.cancelAndJoin()
        NotesRepository.open(folder, key, "phone").close()
    }

/** Arguments: an empty folder. SUBROSA_TEST_RELAY is the URL of a relay with an invite. */
fun main(args: Array<String>) {
    val folder = File(args[0]).resolve("notes").apply { parentFile.mkdirs() }
    val relay = checkNotNull(System.getenv("SUBROSA_TEST_RELAY")) { "SUBROSA_TEST_RELAY is not set" }
    runBlocking {
        Key.generate().use { key ->
            cancelledOpening(folder, key)
            NotesRepository.open(folder, key, "phone").use { repository ->
                editing(repository)
                watchedThroughout(repository) {
                    backgroundAndForeground(repository)
                    syncing(repository, relay)
                }
            }
            NotesRepository.open(folder, key, "phone").use { again ->
                again.await("Call Anna" to false, "after" to false, "synced" to false, "last" to false)
            }
        }
    }
    println("the repository keeps, shows and syncs its notes")
    exitProcess(0)
}
