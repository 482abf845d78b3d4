package dev.subrosa

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.suspendCancellableCoroutine
import kotlinx.coroutines.withContext

/**
 * Where calls wait. A view of [Dispatchers.IO] with threads of its own: a hundred open flows do not take a thread from what the
 * application does there.
 */
internal val waits: CoroutineDispatcher = Dispatchers.IO.limitedParallelism(1024, "subrosa-waits")

/** A cancel token of the C ABI. */
internal class CancelToken : AutoCloseable {
    private val handle = Handle(Native.cancelNew(), "cancel token", close = Native::cancelClose)

    inline fun <T> call(body: (Long) -> T): T = handle.call(body)

    /** Harmless at any time: the wait may be over and the token closed when the coroutine is cancelled. */
    fun fire() {
        try {
            handle.call { Native.cancelFire(it) }
        } catch (e: SubrosaException) {
            if (e.code != SubrosaException.CLOSED) throw e
        }
    }

    override fun close() {
        handle.close()
    }
}

/**
 * Runs [body] with a token that fires when the coroutine is cancelled, on the thread that cancels it: it depends on no free thread.
 * The coroutine ends after the waits with the token have.
 */
internal suspend fun <T> cancellable(body: suspend CoroutineScope.(CancelToken) -> T): T =
    coroutineScope {
        CancelToken().use { token ->
            val watch =
                launch(Dispatchers.Unconfined, CoroutineStart.UNDISPATCHED) {
                    suspendCancellableCoroutine<Unit> { never -> never.invokeOnCancellation { token.fire() } }
                }
            try {
                body(token)
            } catch (e: SubrosaException) {
                if (e.code == SubrosaException.CANCELLED) ensureActive()
                throw e
            } finally {
                watch.cancel()
            }
        }
    }

/** A call of the C ABI that waits. */
internal suspend fun <T> waiting(call: (cancel: Long) -> T): T =
    withContext(waits) { cancellable { token -> token.call(call) } }

/** Makes something on a thread for I/O; [undo]es it when the coroutine was cancelled before it could have it. */
internal suspend fun <T : Any> made(make: suspend () -> T, undo: (T) -> Unit): T {
    var done: T? = null
    try {
        return withContext(waits) { make().also { done = it } }
    } catch (e: CancellationException) {
        done?.let(undo)
        throw e
    }
}
