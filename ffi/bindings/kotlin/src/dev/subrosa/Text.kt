package dev.subrosa

import java.nio.ByteBuffer
import java.nio.CharBuffer
import java.nio.charset.CharacterCodingException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.nanoseconds

/**
 * UTF-8, refusing half of a surrogate pair: `String.getBytes` would make it a question mark, and the record would say something
 * else than was written. A question mark in the result is the only trace of that, so only then the slow way decides.
 */
internal fun utf8(text: String): ByteArray {
    val bytes = text.toByteArray(Charsets.UTF_8)
    return if (bytes.contains('?'.code.toByte())) utf8Strictly(text) else bytes
}

private fun utf8Strictly(text: String): ByteArray =
    try {
        val encoded: ByteBuffer = Charsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text))
        ByteArray(encoded.remaining()).also { encoded.get(it) }
    } catch (_: CharacterCodingException) {
        throw SubrosaException(SubrosaException.INVALID_UTF8, "the text is not Unicode")
    }

/** Milliseconds of the C ABI: 0 is at once, negative is no limit; never shorter than what was asked for. */
internal fun Duration.toMs(): Int =
    when {
        this == Duration.ZERO -> 0
        isNegative() || isInfinite() -> -1
        else -> (this + 999_999.nanoseconds).inWholeMilliseconds.coerceAtMost(Int.MAX_VALUE.toLong()).toInt()
    }

/** The same where the C ABI has 0 for no limit: at once becomes a millisecond. */
internal fun Duration.toBoundMs(): Int = toMs().let { if (it < 0) 0 else maxOf(it, 1) }

internal fun hex(bytes: ByteArray): String =
    buildString(bytes.size * 2) {
        for (byte in bytes) {
            append(HEX[(byte.toInt() shr 4) and 15])
            append(HEX[byte.toInt() and 15])
        }
    }

private const val HEX = "0123456789abcdef"
