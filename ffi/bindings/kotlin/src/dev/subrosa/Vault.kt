package dev.subrosa

import java.nio.ByteBuffer
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.Flow

/** What a device may do in a vault. */
public enum class Role(internal val number: Int) {
    /** Reads, writes, and says who else may. */
    ADMIN(1),

    /** Reads and writes. */
    WRITER(2),

    /** Reads. */
    READER(3),

    /** A role of a newer library. */
    UNKNOWN(0),
    ;

    internal companion object {
        fun of(number: Int): Role = entries.firstOrNull { it.number == number } ?: UNKNOWN
    }
}

/** A device of a vault. */
public data class DeviceInfo(
    /** Its name. */
    public val name: String,
    /** What it may do. */
    public val role: Role,
    /** Whether it is this one. */
    public val isThis: Boolean,
    /** Its key. */
    public val publicKey: PublicKey,
    /** Who let it in; null for the first one. */
    public val addedBy: PublicKey?,
) {
    internal companion object {
        /** As [Native.listDevice] packs it. */
        fun of(name: String, packed: ByteArray): DeviceInfo {
            val key = packed.copyOfRange(3, 3 + PublicKey.SIZE)
            val addedBy = packed.copyOfRange(3 + PublicKey.SIZE, 3 + 2 * PublicKey.SIZE)
            return DeviceInfo(
                name,
                Role.of(packed[0].toInt()),
                packed[1] != 0.toByte(),
                PublicKey.ofBytes(key),
                if (packed[2] == 0.toByte()) null else PublicKey.ofBytes(addedBy),
            )
        }
    }
}

/** How far what this device wrote has come. */
public data class Delivery(
    /** Segments that are here. */
    public val held: Long,
    /** Those of them that the relay has acknowledged. */
    public val acknowledged: Long,
)

/** A device whose store was copied or put back from a backup, and went on twice. All of it is kept and merged. */
public data class ForksOfDevice(
    /** Its name; null if it is not listed. */
    public val name: String?,
    /** Whether it is this one. */
    public val isThis: Boolean,
    /** Its key. */
    public val publicKey: PublicKey,
    /** So many of its logs have several futures. */
    public val logs: Long,
    /** So many futures they have beyond one each. */
    public val futures: Long,
) {
    internal companion object {
        /** As [Native.listForks] packs it. */
        fun of(name: String, packed: ByteArray): ForksOfDevice {
            val rest = ByteBuffer.wrap(packed)
            val isThis = rest.get() != 0.toByte()
            return ForksOfDevice(name.ifEmpty { null }, isThis, rest.publicKey(), rest.getLong(), rest.getLong())
        }
    }
}

/** What is held of a device: it was made more than five minutes ahead of this device's clock, and is merged when its time comes. */
public data class HeldOfDevice(
    /** Its name; null if it is not listed. */
    public val name: String?,
    /** Its key. */
    public val publicKey: PublicKey,
    /** So many groups of edits. */
    public val groups: Long,
    /** When the first of them is merged, in Unix milliseconds. */
    public val untilMs: Long,
) {
    internal companion object {
        /** As [Native.listHeld] packs it. */
        fun of(name: String, packed: ByteArray): HeldOfDevice {
            val rest = ByteBuffer.wrap(packed)
            return HeldOfDevice(name.ifEmpty { null }, rest.publicKey(), rest.getLong(), rest.getLong())
        }
    }
}

/** What is held of a vault for this device's clock. */
public data class HeldGroups(
    /** Whose it is. */
    public val devices: List<HeldOfDevice>,
    /** Everybody's is: it is probably this device's own clock that is wrong. */
    public val clockIsLate: Boolean,
)

private fun ByteBuffer.publicKey(): PublicKey = PublicKey.ofBytes(ByteArray(PublicKey.SIZE).also { get(it) })

/** A set of collections that is shared as one. May be used by several threads. */
public class Vault internal constructor(
    token: Long,
    /** The device that it is on; kept open by it. */
    public val device: Device,
) : AutoCloseable {
    internal val handle = Handle(token, "vault", close = Native::vaultClose)

    /** The same on all devices. */
    public val id: VaultId get() = VaultId(handle.call { Native.vaultId(it) })

    /** Its name. */
    public val name: String get() = handle.call { Native.vaultName(it) }.decodeToString()

    /** The names of the collections that hold anything, sorted. */
    public fun collections(): List<String> =
        listOfNative(handle.call { Native.vaultCollections(it) }) { list, index -> Native.listText(list, index).decodeToString() }

    /** The devices that are in. */
    public fun devices(): List<DeviceInfo> =
        listOfNative(handle.call { Native.vaultDevices(it) }) { list, index ->
            DeviceInfo.of(Native.listText(list, index).decodeToString(), Native.listDevice(list, index))
        }

    /** The devices whose stores were copied or put back from a backup, and went on twice. [SyncEvent.Forked] says that there is another. */
    public fun forks(): List<ForksOfDevice> =
        listOfNative(handle.call { Native.vaultForks(it) }) { list, index ->
            ForksOfDevice.of(Native.listText(list, index).decodeToString(), Native.listForks(list, index))
        }

    /** What is held because it was made more than five minutes ahead of this device's clock. [SyncEvent.Held] says when that changes. */
    public fun held(): HeldGroups {
        val late = BooleanArray(1)
        val devices =
            listOfNative(handle.call { Native.vaultHeld(it, late) }) { list, index ->
                HeldOfDevice.of(Native.listText(list, index).decodeToString(), Native.listHeld(list, index))
            }
        return HeldGroups(devices, late[0])
    }

    /** Whether an admin has written what only a newer version understands: nothing is sent before the application is updated. */
    public val isUpdateNeeded: Boolean get() = handle.call { Native.vaultIsUpdateNeeded(it) }

    /** How many segments wait for something that has not arrived. */
    public fun pending(): Long = handle.call { Native.vaultPending(it) }

    /** How far what is here has come to [relay], by default the stored one. */
    public fun delivery(relay: String? = null): Delivery {
        val (held, acknowledged) = handle.call { Native.vaultDelivery(it, utf8(relay.orEmpty())) }
        return Delivery(held, acknowledged)
    }

    /** The collection [name], which need not exist yet. */
    public fun collection(name: String): Collection =
        Collection(handle.call { Native.collectionOpen(it, utf8(name)) }, this, name)

    /**
     * Runs [body] in one write transaction: it commits when [body] returns, and aborts when it throws. Waits at most [timeout] for
     * another one to end ([SubrosaException.BUSY]); one inside of another on the same thread can never begin.
     */
    public fun <T> write(timeout: Duration = WRITER_WAIT, body: (Transaction) -> T): T = begin(Mode.WRITE, timeout).use { tx ->
        val result = body(tx)
        if (tx.isOpen) tx.commit()
        result
    }

    /** Runs [body] on one snapshot. */
    public fun <T> read(body: (Transaction) -> T): T = begin(Mode.READ).use(body)

    /** Begins a transaction that the caller ends, for what [read] and [write] do not fit. */
    public fun begin(mode: Mode, timeout: Duration = WRITER_WAIT): Transaction =
        Transaction(handle.call { Native.txBegin(it, mode.number, timeout.toMs()) }, this, mode)

    /** As [Collection.changes], of all collections. */
    public fun changes(onWatching: suspend () -> Unit = {}): Flow<Change> =
        changesOf(source(), onWatching)

    /** As [Collection.observe], for changes in any collection. */
    public fun <T> observe(read: (Vault) -> T): Flow<T> =
        observed(device, source()) { read(this) }

    private fun source() = Source(device.handle::isOpen) { events -> handle.call { Native.eventsAddVault(events, it, 0) } }

    override fun close() {
        handle.close()
    }

    private companion object {
        val WRITER_WAIT = 10.seconds
    }
}

/** Reads a list of the C ABI and closes it. */
internal inline fun <T> listOfNative(list: Long, item: (Long, Int) -> T): List<T> =
    try {
        List(Native.listLen(list)) { item(list, it) }
    } finally {
        Native.listClose(list)
    }
