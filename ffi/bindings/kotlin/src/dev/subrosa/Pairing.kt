package dev.subrosa

import kotlin.time.Duration
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.withContext

/** A device that asks to be let in. */
public data class PairRequest(
    /** Six digits that the new device has to show as well: if it shows others, someone is in between. */
    public val code: String,
    /** The name that it gave itself. */
    public val deviceName: String,
) {
    /** Without the code. */
    override fun toString(): String = "PairRequest($deviceName)"
}

/**
 * Pairing on the device that is in already: show [link], [awaitRequest], compare the codes, [confirm]. The new device gets no
 * further than to the relay while nobody waits in [awaitRequest].
 */
public class PairOffer internal constructor(
    token: Long,
    /** The device that lets in. */
    public val device: Device,
) : AutoCloseable {
    private val handle = Handle(token, "pairing offer", close = Native::pairOfferClose)

    /** What the new device needs, to be shown as a QR code. Whoever has it can ask to be let in: do not log it. */
    public val link: String get() = handle.call { Native.pairOfferLink(it) }.decodeToString()

    /** Waits until a device asks, at most [timeout]. May be called again after [SubrosaException.TIMEOUT]. */
    public suspend fun awaitRequest(timeout: Duration = Duration.INFINITE): PairRequest {
        waiting { cancel -> handle.call { Native.pairOfferWait(it, timeout.toMs(), cancel) } }
        return request()
    }

    /** Who asks; [SubrosaException.NOT_READY] before someone does. */
    public fun request(): PairRequest {
        val packed = handle.call { Native.pairOfferRequest(it) }
        return PairRequest(packed.decodeToString(0, CODE), packed.decodeToString(CODE))
    }

    /**
     * Lets the device in, given the code that its user read there and typed here; null says that the user compared the codes and
     * they are equal. A wrong code ends the offer; an empty one is [SubrosaException.INVALID_ARGUMENT], and the offer stands. Runs on
     * a thread for I/O, for up to a minute; it cannot be taken back, and so not be cancelled either.
     */
    public suspend fun confirm(typed: String?): DeviceInfo =
        withContext(waits) {
            val name = request().deviceName
            DeviceInfo.of(name, handle.call { offer -> Native.pairOfferConfirm(offer, typed?.let(::utf8)) })
        }

    /** Tells the new device no. */
    public fun decline() {
        handle.call { Native.pairOfferDecline(it) }
    }

    /** Withdraws the link. */
    override fun close() {
        handle.close()
    }

    private companion object {
        const val CODE = 6
    }
}

/** Pairing on the new device: [awaitCode], show it, [awaitDevice]; one after the other ([SubrosaException.BUSY]). */
public class PairJoin internal constructor(token: Long) : AutoCloseable {
    private val handle = Handle(token, "pairing join", close = Native::pairJoinClose)

    /** The six digits to show, as soon as the other device has answered; at most [timeout]. */
    public suspend fun awaitCode(timeout: Duration = Duration.INFINITE): String =
        waiting { cancel -> handle.call { Native.pairJoinWaitCode(it, timeout.toMs(), cancel) } }.decodeToString()

    /** The device, as soon as the other one has let it in; at most [timeout]. Hands it out once. */
    public suspend fun awaitDevice(timeout: Duration = Duration.INFINITE): Device {
        var device: Device? = null
        try {
            return waiting { cancel ->
                handle.call { Device(Native.pairJoinWaitDevice(it, timeout.toMs(), cancel)) }.also { device = it }
            }
        } catch (e: CancellationException) {
            device?.close() // it came and the coroutine was cancelled: nobody else has it
            throw e
        }
    }

    override fun close() {
        handle.close()
    }
}
