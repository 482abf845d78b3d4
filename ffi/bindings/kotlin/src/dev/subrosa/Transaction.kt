package dev.subrosa

/** What a [Transaction] may do. */
public enum class Mode(internal val number: Int) {
    /** Reads one snapshot, whatever others write meanwhile. */
    READ(1),

    /** Writes, one at a time per device. What it did arrives elsewhere at once, or not at all. */
    WRITE(2),
}

/**
 * Several calls as one. Mostly made by [Vault.read] and [Vault.write], which end it. For one thread at a time
 * ([SubrosaException.BUSY]); it may move from thread to thread.
 */
public class Transaction internal constructor(
    token: Long,
    /** The vault that it is of. */
    public val vault: Vault,
    /** What it may do. */
    public val mode: Mode,
) : AutoCloseable {
    internal val handle = Handle(token, "transaction", SubrosaException.TX_OVER, Native::txAbort)

    /** Whether neither [commit] nor [abort] has ended it. Closing or suspending the device ends it as well, which this does not say. */
    public val isOpen: Boolean get() = handle.isOpen

    /** Makes what it wrote durable. The transaction is over afterwards, also when this throws. */
    public fun commit() {
        val token = handle.open()
        handle.forget()
        Native.txCommit(token)
    }

    /** Forgets what it wrote. Harmless when it is over. */
    public fun abort() {
        handle.close()
    }

    /** The same as [abort]. */
    override fun close() {
        abort()
    }
}
