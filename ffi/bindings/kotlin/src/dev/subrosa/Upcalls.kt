package dev.subrosa

/** What the JNI glue calls. Nothing here throws. */
internal object Upcalls {
    @JvmStatic
    fun exception(code: Int, message: ByteArray, causes: Array<ByteArray>, retryable: Boolean, number: Long): Throwable =
        SubrosaException(code, message.decodeToString(), causes.map { it.decodeToString() }, retryable, number)

    @JvmStatic
    fun agree(provider: Any, peer: ByteArray, out: ByteArray): Int =
        (provider as ProviderCall).agree(peer, out)

    @JvmStatic
    fun sign(provider: Any, message: ByteArray, out: ByteArray): Int =
        (provider as ProviderCall).sign(message, out)

    @JvmStatic
    fun log(sink: Any, level: Int, message: ByteArray) {
        (sink as LogSink).log(LogLevel.of(level), message.decodeToString())
    }
}

/** One provider as the engine sees it: it answers with bytes, or with a code. */
internal class ProviderCall(private val provider: KeyProvider) {
    @Volatile var failure: Throwable? = null

    fun agree(peer: ByteArray, out: ByteArray): Int =
        codeOf {
            val shared = provider.agree(PublicKey.ofBytes(peer))
            give(shared, out).also { shared.fill(0) }
        }

    fun sign(message: ByteArray, out: ByteArray): Int = codeOf { give(provider.sign(message), out) }

    private fun give(answer: ByteArray, out: ByteArray): Int {
        if (answer.size == out.size) {
            answer.copyInto(out)
            return 0
        }
        failure = IllegalArgumentException("the provider gave ${answer.size} bytes for ${out.size}")
        return WRONG_LENGTH
    }

    private inline fun codeOf(ask: () -> Int): Int =
        try {
            ask()
        } catch (e: KeyProviderException) {
            failure = e
            if (e.code == 0) THREW else e.code
        } catch (@Suppress("TooGenericExceptionCaught") e: Throwable) {
            failure = e // the code is all that can cross the engine; `Key.providerFailure` keeps the rest
            THREW
        }

    private companion object {
        const val THREW = -2
        const val WRONG_LENGTH = -3
    }
}
