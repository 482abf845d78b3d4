package dev.subrosa

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn

/** What happened to records that are watched. */
public sealed interface Change {
    /** One record changed. */
    public data class Record(
        /** How. */
        public val kind: ChangeKind,
        /** Its id. */
        public val id: RecordId,
        /** The collection that it is in. */
        public val collection: String,
        /** The vault that it is in. */
        public val vault: VaultId,
    ) : Change

    /** More happened than was taken, and some is lost: read again. The flow goes on. */
    public data object Lagged : Change
}

/** How a record changed. */
public enum class ChangeKind(internal val number: Int) {
    /** It is new. */
    INSERTED(1),

    /** Fields of it changed. */
    UPDATED(2),

    /** It is gone. */
    REMOVED(3),

    /** In a way of a newer library. */
    UNKNOWN(0),
    ;

    internal companion object {
        fun of(number: Int): ChangeKind = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/** What happened while syncing. */
public sealed interface SyncEvent {
    /** The state changed. */
    public data class State(
        /** To this. */
        public val state: SyncState,
    ) : SyncEvent

    /** What the relay had is here. */
    public data class CaughtUp(
        /** Of this vault. */
        public val vault: VaultId,
    ) : SyncEvent

    /** Everything is here, and there. */
    public data class Synced(
        /** Of this vault. */
        public val vault: VaultId,
    ) : SyncEvent

    /** The relay refused. */
    public data class Refused(
        /** This vault. */
        public val vault: VaultId,
        /** With this code of its own. */
        public val code: Int,
        /** It is tried again after this time. */
        public val retryIn: Duration,
    ) : SyncEvent

    /** The relay hides or has lost something. */
    public data class Disagrees(
        /** Of this vault. */
        public val vault: VaultId,
    ) : SyncEvent

    /** An admin uses a newer version: the vault is received, and nothing is sent before an update. */
    public data class UpdateNeeded(
        /** Of this vault. */
        public val vault: VaultId,
    ) : SyncEvent

    /** The relay claims another future of this device's log and shows nothing of it: nothing is sent to it. */
    public data class Disputed(
        /** In this vault. */
        public val vault: VaultId,
    ) : SyncEvent

    /** A device's store was copied or put back and went on twice; everything of both is kept and merged. */
    public data class Forked(
        /** In this vault. */
        public val vault: VaultId,
    ) : SyncEvent

    /** This device's clock and the relay's differ by more than five minutes, or agree again. Sync goes on all the same. */
    public data class Clock(
        /** By so much it is ahead, or behind if negative; zero once they agree again. */
        public val ahead: Duration,
    ) : SyncEvent

    /** Something that was made more than five minutes ahead of this device's clock is held, or no more. */
    public data class Held(
        /** The first of it until then, in Unix milliseconds; 0 when nothing is held any more. */
        public val untilMs: Long,
    ) : SyncEvent

    /** More happened than was taken, and some is lost. The flow goes on. */
    public data object Lagged : SyncEvent

    /** Something that a newer library says. */
    public data class Unknown(
        /** Its number in the C ABI. */
        public val kind: Int,
    ) : SyncEvent
}

/** An event as [Native.eventsWait] packs it. */
internal class RawEvent(bytes: ByteArray) {
    private val view = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    val kind: Int = view.getInt()
    val detail: Int = view.getInt()
    val tag: Long = view.getLong()
    val number: Long = view.getLong()
    val record: RecordId = RecordId.ofBytes(ByteArray(RecordId.SIZE).also { view.get(it) })
    val vault: VaultId = VaultId(ByteArray(VaultId.SIZE).also { view.get(it) })
    val text: String = ByteArray(view.remaining()).also { view.get(it) }.decodeToString()

    companion object {
        const val RECORD = 1
        const val LAGGED = 2
        const val SYNC_STATE = 3
        const val CAUGHT_UP = 4
        const val SYNCED = 5
        const val REFUSED = 6
        const val DISAGREES = 7
        const val OVER = 8
        const val UPDATE_NEEDED = 10
        const val DISPUTED = 11
        const val CLOCK = 12
        const val HELD = 13
        const val FORKED = 14
    }
}

/** A queue of events while one flow is collected. */
internal class EventQueue(private val cancel: CancelToken) : AutoCloseable {
    private val handle = Handle(Native.eventsNew(), "event queue", close = Native::eventsClose)

    fun add(source: (events: Long) -> Unit) {
        handle.call(source)
    }

    /** The next event, waiting for it. Null when the source has ended. */
    fun next(): RawEvent? = take(-1)?.takeIf { it.kind != RawEvent.OVER }

    /** Drops what is queued, up to a bound, so that a busy writer cannot hold the reader here. False when the source has ended. */
    fun drain(): Boolean {
        repeat(DRAIN_MAX) {
            val event = take(0) ?: return true
            if (event.kind == RawEvent.OVER) return false
        }
        return true
    }

    private fun take(timeoutMs: Int): RawEvent? =
        handle.call { events -> cancel.call { Native.eventsWait(events, timeoutMs, it) } }?.let(::RawEvent)

    override fun close() {
        handle.close()
    }

    private companion object {
        const val DRAIN_MAX = 10_000
    }
}

/** What a flow is about: how a queue begins to watch it, and whether it is over. */
internal class Source(val isOpen: () -> Boolean, val watch: (events: Long) -> Unit) {
    /** Calls [body], null if the source was closed meanwhile: a flow ends then, however it came to know. */
    inline fun <T : Any> unlessOver(body: () -> T): T? =
        try {
            body()
        } catch (e: SubrosaException) {
            if (isOpen() || e.code !in OVER) throw e
            null
        }

    companion object {
        /** What a call says of a source that was closed before it, or under it. */
        val OVER: Set<Int> = setOf(SubrosaException.CLOSED, SubrosaException.SYNC_STOPPED)
    }
}

private fun <T> queued(source: Source, body: suspend FlowCollector<T>.(EventQueue) -> Unit): Flow<T> =
    flow {
        cancellable { cancel ->
            EventQueue(cancel).use { queue -> if (source.unlessOver { queue.add(source.watch) } != null) body(queue) }
        }
    }

internal fun changesOf(source: Source, onWatching: suspend () -> Unit): Flow<Change> =
    queued<Change>(source) { queue ->
        onWatching()
        while (true) {
            val event = queue.next() ?: break
            when (event.kind) {
                RawEvent.RECORD ->
                    emit(Change.Record(ChangeKind.of(event.detail), event.record, event.text, event.vault))
                RawEvent.LAGGED -> emit(Change.Lagged)
            }
        }
    }.flowOn(waits)

internal fun syncEventsOf(source: Source, onWatching: suspend () -> Unit): Flow<SyncEvent> =
    queued<SyncEvent>(source) { queue ->
        onWatching()
        while (true) emit(syncEvent(queue.next() ?: break))
    }.flowOn(waits)

private fun syncEvent(event: RawEvent): SyncEvent =
    when (event.kind) {
        RawEvent.LAGGED -> SyncEvent.Lagged
        RawEvent.SYNC_STATE -> SyncEvent.State(SyncState.of(event.detail))
        RawEvent.CAUGHT_UP -> SyncEvent.CaughtUp(event.vault)
        RawEvent.SYNCED -> SyncEvent.Synced(event.vault)
        RawEvent.REFUSED -> SyncEvent.Refused(event.vault, event.detail, event.number.milliseconds)
        RawEvent.DISAGREES -> SyncEvent.Disagrees(event.vault)
        RawEvent.UPDATE_NEEDED -> SyncEvent.UpdateNeeded(event.vault)
        RawEvent.DISPUTED -> SyncEvent.Disputed(event.vault)
        RawEvent.FORKED -> SyncEvent.Forked(event.vault)
        RawEvent.CLOCK -> SyncEvent.Clock(event.number.milliseconds)
        RawEvent.HELD -> SyncEvent.Held(event.number)
        else -> SyncEvent.Unknown(event.kind)
    }

/** What was read: a value may be null. */
private class Reading<T>(val value: T)

/** Reads at once, and again after what happened; once more after a suspension. */
internal fun <T> observed(device: Device, source: Source, read: () -> T): Flow<T> =
    queued(source) { queue ->
        while (true) {
            val reading =
                try {
                    source.unlessOver { Reading(read()) } ?: break
                } catch (e: SubrosaException) {
                    if (e.code != SubrosaException.SUSPENDED) throw e
                    if (device.state.first { it != Device.State.SUSPENDED } == Device.State.CLOSED) break
                    continue
                }
            emit(reading.value)
            queue.next() ?: break
            if (!queue.drain()) break
        }
    }.conflate().flowOn(waits)
