import dev.subrosa.Collection
import dev.subrosa.Device
import dev.subrosa.Fields
import dev.subrosa.Key
import dev.subrosa.RecordId
import dev.subrosa.SubrosaException
import dev.subrosa.Sync
import dev.subrosa.SyncState
import dev.subrosa.SyncStatus
import dev.subrosa.fieldsOf
import java.io.File
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.flatMapLatest
import kotlinx.coroutines.flow.flowOf
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/** A note as the screen shows it. */
data class Note(val id: RecordId, val title: String, val done: Boolean)

/** What a line under the list would say about the network. */
enum class Connection { OFF, WAITING, BUSY, UP_TO_DATE, REFUSED }

/**
 * The notes of an application: everything that a ViewModel needs, and nothing of Android, so that it is tested on any JVM.
 * Made by [open]; one per process.
 */
class NotesRepository private constructor(private val device: Device, private val io: CoroutineDispatcher) : AutoCloseable {
    private val scope = CoroutineScope(SupervisorJob() + io)
    private val vault = openOrCreate("personal")
    private val collection: Collection = vault.collection("notes")
    private val sync = MutableStateFlow<Sync?>(null)
    private val connecting = Mutex()
    private val lifecycle = io.limitedParallelism(1)

    /** The notes, oldest first, now and after every change, whichever device made it. */
    val notes: Flow<List<Note>> = collection.observe { c -> c.scan().map { (id, fields) -> note(id, fields) }.toList() }

    /** How the network does. */
    @OptIn(ExperimentalCoroutinesApi::class)
    val connection: StateFlow<Connection> =
        sync.flatMapLatest { running -> running?.statuses()?.map(::connection) ?: flowOf(Connection.OFF) }
            .stateIn(scope, SharingStarted.Eagerly, Connection.OFF)

    /** Stores a note. It is on disk when this returns. */
    suspend fun add(title: String): RecordId = withContext(io) { collection.insert(fieldsOf("title" to title, "done" to false)) }

    /** Ticks a note off, or on again. Reading and writing are one transaction: two taps are two changes. */
    suspend fun toggle(id: RecordId) {
        withContext(io) {
            vault.write { tx ->
                val note = collection.get(id, tx)
                // Only the field that changes: another device may be editing the title.
                if (note != null) collection.put(id, fieldsOf("done" to !(note.boolOrNull("done") ?: false)), tx)
            }
        }
    }

    /** Removes a note, here and everywhere. */
    suspend fun delete(id: RecordId) {
        withContext(io) { collection.delete(id) }
    }

    /** Starts to sync, with the relay that is stored or with [relay], which is stored. */
    suspend fun connect(relay: String? = null) {
        connecting.withLock {
            withContext(io) {
                stop()
                if (relay != null) device.relay = relay
                sync.value = device.sync()
            }
        }
    }

    /** Stops to sync. */
    suspend fun disconnect() {
        connecting.withLock { withContext(io) { stop() } }
    }

    private fun stop() {
        sync.value?.close()
        sync.value = null
    }

    /** Waits until all that was written here has left, such as in a worker that runs before the device sleeps. */
    suspend fun flush() {
        sync.value?.awaitSynced()
    }

    /** For `ProcessLifecycleOwner`'s onStop: the system may freeze the process from now on. */
    suspend fun toBackground() {
        withContext(lifecycle) { device.suspend() }
    }

    /** For onStart. The flows go on by themselves. This and [toBackground] take effect in the order in which they were called. */
    suspend fun toForeground() {
        withContext(lifecycle) { device.resume() }
    }

    /** For a `ConnectivityManager.NetworkCallback`. */
    fun networkChanged() {
        device.networkChanged()
    }

    /** Stops to sync as well. */
    override fun close() {
        scope.cancel()
        device.close()
    }

    private fun openOrCreate(name: String) =
        try {
            device.vault(name)
        } catch (e: SubrosaException) {
            if (e.code != SubrosaException.NO_VAULT) throw e
            device.createVault(name)
        }

    companion object {
        /** Opens the store in [folder], and makes it the first time. On Android [folder] is below `Context.noBackupFilesDir`. */
        suspend fun open(folder: File, key: Key, deviceName: String, io: CoroutineDispatcher = Dispatchers.IO): NotesRepository {
            var opened: AutoCloseable? = null
            try {
                return withContext(io) {
                    val device = openOrCreate(folder, key, deviceName).also { opened = it }
                    NotesRepository(device, io).also { opened = it }
                }
            } catch (e: Throwable) {
                // The vault does not open, or the caller was cancelled meanwhile: nobody else has the device, and it locks the store.
                withContext(NonCancellable + io) { opened?.close() }
                throw e
            }
        }

        private fun openOrCreate(folder: File, key: Key, deviceName: String): Device =
            try {
                Device.open(folder, key)
            } catch (e: SubrosaException) {
                if (e.code != SubrosaException.STORE_MISSING) throw e
                Device.create(folder, key, deviceName)
            }

        // Another version of the application may have written the record: what is missing has a default.
        private fun note(id: RecordId, fields: Fields) =
            Note(id, fields.textOrNull("title") ?: "", fields.boolOrNull("done") ?: false)

        private fun connection(status: SyncStatus): Connection =
            when (status.state) {
                SyncState.LIVE -> Connection.UP_TO_DATE
                SyncState.CONNECTING, SyncState.SYNCING -> Connection.BUSY
                SyncState.REFUSED -> Connection.REFUSED
                SyncState.OFFLINE, SyncState.SUSPENDED, SyncState.UNKNOWN -> Connection.WAITING
            }
    }
}
