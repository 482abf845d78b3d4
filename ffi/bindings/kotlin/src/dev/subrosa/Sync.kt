package dev.subrosa

import java.nio.ByteBuffer
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.Flow

/** Where a [Sync] stands. */
public enum class SyncState(internal val number: Int) {
    /** Not connected; tries again by itself. */
    OFFLINE(1),

    /** Connecting. */
    CONNECTING(2),

    /** Connected, and not caught up. */
    SYNCING(3),

    /** Connected and caught up. */
    LIVE(4),

    /** The relay refused; tries again by itself. */
    REFUSED(5),

    /** The device is suspended. */
    SUSPENDED(6),

    /** A state of a newer library. */
    UNKNOWN(0),
    ;

    internal companion object {
        fun of(number: Int): SyncState = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/** Why the last connection failed or ended. */
public enum class SyncFailure(internal val number: Int) {
    /** It did not. */
    NONE(0),

    /** The system gave no socket. */
    NO_SOCKET(1),

    /** The name of the relay has no address. */
    NO_ADDRESS(2),

    /** Nothing answered. */
    UNREACHABLE(3),

    /** Someone answered who does not have the relay's key. */
    WRONG_KEY(4),

    /** The connection broke. */
    LOST(5),

    /** The relay ended it. */
    LINK(6),

    /** The relay sent what no honest one sends. */
    PEER(7),

    /** The store failed. */
    STORE(8),

    /** Something else; [Sync.reason] says what. */
    OTHER(9),

    /** A failure of a newer library. */
    UNKNOWN(-1),
    ;

    internal companion object {
        fun of(number: Int): SyncFailure = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/** Where a [Sync] stands, in numbers. */
public data class SyncStatus(
    /** The state. */
    public val state: SyncState,
    /** The relay's code if it refused, or 0. */
    public val refused: Int,
    /** Why the last connection failed. */
    public val failure: SyncFailure,
    /** Segments that have arrived or left. */
    public val segmentsDone: Long,
    /** Segments that are known of. */
    public val segmentsKnown: Long,
    /** The same in bytes. */
    public val bytesDone: Long,
    /** The same in bytes. */
    public val bytesKnown: Long,
    /** By how much this device's clock is ahead of the relay's, negative if behind, where that is more than five minutes; else 0. */
    public val clockAheadMs: Long,
    /** When the first of what is held for the clock is merged, in Unix milliseconds; 0 while nothing is held. See [Vault.held]. */
    public val heldUntilMs: Long,
)

/** A vault with which not all is well at the relay. */
public data class VaultAtRelay(
    /** Which. */
    public val vault: VaultId,
    /** The relay's code of its last refusal, or 0. */
    public val refused: Int,
    /** Why it rests while the others go on; null if it does not. */
    public val rests: String?,
    /** The relay hides something of it, or has lost it. */
    public val disagrees: Boolean,
    /** The relay claims another future of this device's log and does not show it: nothing is sent to it. */
    public val disputed: Boolean,
    /** Nothing is sent before an update. */
    public val updateNeeded: Boolean,
) {
    internal companion object {
        /** As [Native.listSyncVault] packs it. */
        fun of(rests: String, packed: ByteArray): VaultAtRelay {
            val rest = ByteBuffer.wrap(packed)
            val vault = VaultId(ByteArray(VaultId.SIZE).also { rest.get(it) })
            val (disagrees, disputed, updateNeeded) = List(3) { rest.get() != 0.toByte() }
            return VaultAtRelay(vault, rest.getLong().toInt(), rests.ifEmpty { null }, disagrees, disputed, updateNeeded)
        }
    }
}

/** The sync of a device, in the background until it or the device is closed. May be used by several threads. */
public class Sync internal constructor(
    token: Long,
    /** The device that it is of; kept open by it. */
    public val device: Device,
) : AutoCloseable {
    private val handle = Handle(token, "sync", close = Native::syncStop)

    /** Where it stands now. */
    public val status: SyncStatus
        get() {
            val n = handle.call { Native.syncStatus(it) }
            return SyncStatus(SyncState.of(n[0].toInt()), n[1].toInt(), SyncFailure.of(n[2].toInt()), n[3], n[4], n[5], n[6], n[7], n[8])
        }

    /** Where it stands, and the failure if there was one, for people: "live", "offline; nothing answers". */
    public val reason: String get() = handle.call { Native.syncReason(it) }.decodeToString()

    /** The vaults with which not all is well at the relay; empty while all is well. */
    public fun vaults(): List<VaultAtRelay> =
        listOfNative(handle.call { Native.syncVaults(it) }) { list, index ->
            VaultAtRelay.of(Native.listText(list, index).decodeToString(), Native.listSyncVault(list, index))
        }

    /**
     * Waits until everything is here and there. Throws [SubrosaException.NO_PROGRESS] when nothing moved for [idle], by default 30
     * seconds. Cancelling the coroutine ends the wait at once.
     */
    public suspend fun awaitSynced(idle: Duration = 30.seconds) {
        waiting { cancel -> handle.call { Native.syncWait(it, idle.toMs(), cancel) } }
    }

    /** What happens from when the flow is collected; [onWatching] runs before the first event. Ends when the sync does. */
    public fun events(onWatching: suspend () -> Unit = {}): Flow<SyncEvent> =
        syncEventsOf(source(), onWatching)

    /** [status] at once and again after every event; a slow collector gets only the latest. Ends when the sync does. */
    public fun statuses(): Flow<SyncStatus> = observed(device, source()) { status }

    private fun source() =
        Source({ handle.isOpen && device.handle.isOpen }) { events -> handle.call { Native.eventsAddSync(events, it, 0) } }

    /** Stops. */
    public fun stop() {
        close()
    }

    override fun close() {
        handle.close()
        device.forget(this)
    }
}
