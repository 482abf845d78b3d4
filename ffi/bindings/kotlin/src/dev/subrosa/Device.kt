package dev.subrosa

import java.io.File
import java.util.concurrent.atomic.AtomicReference
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.withContext

/** A vault of a device, by name and id. */
public data class VaultEntry(
    /** Its name. */
    public val name: String,
    /** Its id. */
    public val id: VaultId,
)

/** What [Device.verify] found. */
public data class VerifyReport(
    /** Whether the file had to be repaired. */
    public val repaired: Boolean,
    /** How many vaults were read. */
    public val vaults: Long,
    /** How many logs were read. */
    public val logs: Long,
    /** How many segments were read. */
    public val segments: Long,
    /** Segments that are damaged. */
    public val badSegments: Long,
    /** Logs of devices that are not listed here so far. Not a fault. */
    public val uncertifiedLogs: Long,
    /** Segments that are kept, and cannot be opened. */
    public val quarantined: Long,
) {
    /** Whether nothing is damaged. */
    public val isGood: Boolean get() = badSegments == 0L
}

/** What the store takes up. */
public data class Space(
    /** The file. */
    public val fileBytes: Long,
    /** What of it is used. */
    public val liveBytes: Long,
    /** What [Device.compact] can give back. */
    public val deadBytes: Long,
)

/** A store on this machine, with the key that opens it. May be used by several threads, by one process at a time. */
public class Device internal constructor(token: Long) : AutoCloseable {
    internal enum class State { ACTIVE, SUSPENDED, CLOSED }

    internal val state = MutableStateFlow(State.ACTIVE)
    internal val handle = Handle(token, "device", close = Native::deviceClose)

    /** [suspend] and [resume] are one step each, or [state] could say the one while the engine does the other. */
    private val turning = Any()

    /** Referred to from here, a [Sync] that nobody else keeps goes on. */
    internal val syncing = AtomicReference<Sync?>()

    /** Its name among the devices of its user. */
    public val name: String get() = handle.call { Native.deviceName(it) }.decodeToString()

    /** Its key's public half. */
    public val publicKey: PublicKey get() = handle.call { PublicKey.ofBytes(Native.devicePublicKey(it)) }

    /** The address of the stored relay, null if none is. May hold an invite: do not log it. Setting null forgets it. */
    public var relay: String?
        get() = handle.call { Native.deviceRelay(it) }.decodeToString().ifEmpty { null }
        set(value) = handle.call { Native.deviceSetRelay(it, utf8(value.orEmpty())) }

    /** The vaults that are on this device. */
    public fun vaults(): List<VaultEntry> =
        listOfNative(handle.call { Native.deviceVaults(it) }) { list, index ->
            VaultEntry(Native.listText(list, index).decodeToString(), VaultId(Native.listVaultId(list, index)))
        }

    /** Makes a vault. */
    public fun createVault(name: String): Vault = Vault(handle.call { Native.vaultCreate(it, utf8(name)) }, this)

    /** Opens the vault [name], or throws [SubrosaException.NO_VAULT]. */
    public fun vault(name: String): Vault = Vault(handle.call { Native.vaultOpen(it, utf8(name)) }, this)

    /** Opens the vault with this [id], or throws [SubrosaException.NO_VAULT]. */
    public fun vault(id: VaultId): Vault = Vault(handle.call { Native.vaultOpenById(it, id.toBytes()) }, this)

    /**
     * Stops the network, ends transactions and closes the file, within [deadline]; calls throw [SubrosaException.SUSPENDED]
     * until [resume]. For when the system freezes the process. Flows go on after [resume].
     */
    public fun suspend(deadline: Duration = SUSPEND_DEADLINE) {
        synchronized(turning) {
            handle.call {
                state.compareAndSet(State.ACTIVE, State.SUSPENDED)
                Native.deviceSuspend(it, deadline.toMs())
            }
        }
    }

    /** Opens the file again and goes on to sync. Harmless when it is not suspended. */
    public fun resume() {
        synchronized(turning) {
            handle.call {
                Native.deviceResume(it)
                state.compareAndSet(State.SUSPENDED, State.ACTIVE)
            }
        }
    }

    /** Says that the machine has another network, so that the sync does not wait for the old one. */
    public fun networkChanged() {
        handle.call { Native.deviceNetworkChanged(it) }
    }

    /** Reads and checks everything. Runs on a thread for I/O; cancelling does not shorten it. */
    public suspend fun verify(): VerifyReport =
        withContext(waits) {
            val n = handle.call { Native.deviceVerify(it) }
            VerifyReport(n[0] != 0L, n[1], n[2], n[3], n[4], n[5], n[6])
        }

    /** Gives dead space back to the system. Runs on a thread for I/O; cancelling does not shorten it. */
    public suspend fun compact() {
        withContext(waits) { handle.call { Native.deviceCompact(it) } }
    }

    /** What the store takes up. */
    public fun space(): Space {
        val (file, live, dead) = handle.call { Native.deviceSpace(it) }
        return Space(file, live, dead)
    }

    /**
     * Starts to sync with [relay], by default the stored one, in the background, until the [Sync] or the device is closed: the device
     * keeps it meanwhile. [SubrosaException.BUSY] when it syncs already.
     */
    public fun sync(relay: String? = null): Sync =
        Sync(handle.call { Native.syncStart(it, utf8(relay.orEmpty())) }, this).also(syncing::set)

    internal fun forget(sync: Sync) {
        syncing.compareAndSet(sync, null)
    }

    /** Offers to let a new device in, by [relay] or the stored one. */
    public suspend fun pairOffer(relay: String? = null): PairOffer =
        made({ PairOffer(handle.call { Native.pairOfferStart(it, utf8(relay.orEmpty())) }, this) }) { it.close() }

    /**
     * Stops its sync, ends waits and flows, aborts transactions, waits for calls that are under way, and closes the file. What was
     * made of it throws [SubrosaException.CLOSED] from then on.
     */
    override fun close() {
        try {
            handle.close()
        } finally {
            state.value = State.CLOSED
            syncing.get()?.close()
        }
    }

    /** Makes and opens devices. */
    public companion object {
        private val SUSPEND_DEADLINE = 5.seconds

        /**
         * Makes a store in the folder [dir], which is made if need be. [name] has at most 128 bytes and no control characters;
         * [cacheBytes] 0 is 16 MiB. A write outside of a transaction waits at most [writeWait], rounded up to a millisecond, for the
         * transaction of another thread ([SubrosaException.BUSY]); by default as long as it takes.
         */
        public fun create(
            dir: File,
            key: Key,
            name: String = "",
            cacheBytes: Long = 0,
            writeWait: Duration = Duration.INFINITE,
        ): Device =
            key.handle.call { Device(Native.deviceCreate(utf8(dir.path), it, utf8(name), cacheBytes, writeWait.toBoundMs())) }

        /** Opens the store in the folder [dir]; the rest as for [create]. */
        public fun open(dir: File, key: Key, cacheBytes: Long = 0, writeWait: Duration = Duration.INFINITE): Device =
            key.handle.call { Device(Native.deviceOpen(utf8(dir.path), it, ByteArray(0), cacheBytes, writeWait.toBoundMs())) }

        /** Makes a store in [dir] by pairing with the device that shows [link]; the rest as for [create]. */
        public suspend fun pairJoin(
            dir: File,
            key: Key,
            link: String,
            name: String = "",
            cacheBytes: Long = 0,
            writeWait: Duration = Duration.INFINITE,
        ): PairJoin =
            made({
                key.handle.call {
                    PairJoin(Native.pairJoinStart(utf8(dir.path), it, utf8(name), cacheBytes, writeWait.toBoundMs(), utf8(link)))
                }
            }) { it.close() }
    }
}
