package dev.subrosa

import java.lang.ref.PhantomReference
import java.lang.ref.ReferenceQueue
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicLong

/**
 * A handle of the C ABI that is closed once: by [close], or by the [Reaper] when it was forgotten.
 *
 * It is an atomic only to have something of its own to write after every call: as long as that write is to come, this object
 * is reachable, and the reaper cannot close the handle under a call of its last user.
 * (`Reference.reachabilityFence` would say so plainly, and is missing before Android 9.)
 */
internal class Handle(
    token: Long,
    private val what: String,
    private val closedCode: Int = SubrosaException.CLOSED,
    close: (Long) -> Unit,
) : AtomicBoolean(), AutoCloseable {
    private val state = HandleState(token, close)
    private val unregister = reaper.register(this, state)

    inline fun <T> call(body: (Long) -> T): T {
        val token = open()
        try {
            return body(token)
        } catch (e: SubrosaException) {
            throw asClosed(e)
        } finally {
            lazySet(false)
        }
    }

    /** Closed by another thread when the call had its token already, the handle is none to the library. */
    fun asClosed(e: SubrosaException): SubrosaException =
        if (e.code == SubrosaException.INVALID_HANDLE && !isOpen) closed() else e

    fun open(): Long {
        val token = state.token.get()
        if (token == 0L) throw closed()
        return token
    }

    private fun closed() = SubrosaException(closedCode, "the $what is closed")

    val isOpen: Boolean get() = state.token.get() != 0L

    /** The C function ended the handle itself: nothing is left to close. */
    fun forget() {
        state.token.set(0)
        unregister.run()
    }

    override fun close() {
        val token = state.token.getAndSet(0)
        if (token == 0L) return
        unregister.run()
        state.close(token)
    }

    companion object {
        /** Handles that nobody closed before they became garbage. */
        val abandoned: AtomicLong = AtomicLong()

        private val reaper: Reaper =
            try {
                CleanerReaper()
            } catch (_: NoClassDefFoundError) {
                PhantomReaper() // Android before 13
            }
    }
}

/** What is left of a [Handle] when the handle itself is garbage. Must not refer to it. */
internal class HandleState(token: Long, val close: (Long) -> Unit) : Runnable {
    val token: AtomicLong = AtomicLong(token)

    override fun run() {
        val left = token.getAndSet(0)
        if (left == 0L) return
        Handle.abandoned.incrementAndGet()
        try {
            close(left)
        } catch (_: SubrosaException) {
            // Nobody is there to be told, and the token is gone either way.
        }
    }
}

/** Runs an action when an object has become garbage. */
internal interface Reaper {
    /** [action] must not refer to [referent]. The result ends the registration; running it then is harmless. */
    fun register(referent: Any, action: Runnable): Runnable
}

/** In a class of its own, so that [java.lang.ref.Cleaner] is only looked up where this is tried. */
internal class CleanerReaper : Reaper {
    private val cleaner = java.lang.ref.Cleaner.create()

    override fun register(referent: Any, action: Runnable): Runnable {
        val registered = cleaner.register(referent, action)
        return Runnable { registered.clean() }
    }
}

/** The same with what every Java and Android has. */
internal class PhantomReaper : Reaper {
    private val queue = ReferenceQueue<Any>()
    private val waiting = ConcurrentHashMap<Registered, Unit>()

    init {
        Thread(::reap, "subrosa-reaper").apply { isDaemon = true }.start()
    }

    override fun register(referent: Any, action: Runnable): Runnable {
        val registered = Registered(referent, action)
        waiting[registered] = Unit
        return Runnable {
            registered.clear()
            waiting.remove(registered)
        }
    }

    private fun reap() {
        while (true) {
            val registered = queue.remove() as Registered
            if (waiting.remove(registered) != null) registered.action.run()
        }
    }

    private inner class Registered(referent: Any, val action: Runnable) : PhantomReference<Any>(referent, queue)
}
