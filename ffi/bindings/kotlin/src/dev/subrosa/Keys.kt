package dev.subrosa

/** The key pair of a device: it opens the store, and it is what other devices know this one by. */
public class Key private constructor(internal val handle: Handle, private val provider: ProviderCall?) : AutoCloseable {
    /** The public half. */
    public val publicKey: PublicKey get() = handle.call { PublicKey.ofBytes(Native.keyPublic(it)) }

    /**
     * What the [KeyProvider] of this key threw last, if it has one and it did: only its code crosses the engine, as
     * [SubrosaException.number] of [SubrosaException.KEY_PROVIDER].
     */
    public val providerFailure: Throwable? get() = provider?.failure

    /**
     * The private key as PKCS#8, to be wiped by the caller (`fill(0)`) as soon as it is stored; copies that the garbage collector
     * made cannot be. The key of a provider is [SubrosaException.KEY_NOT_EXPORTABLE].
     */
    public fun toPkcs8(): ByteArray = handle.call { Native.keyToPkcs8(it) }

    /** Signs [message] for the purpose [label]: 64 bytes, for [PublicKey.verify]. */
    public fun sign(label: ByteArray, message: ByteArray): ByteArray = handle.call { Native.keySign(it, label, message) }

    /** Devices and sessions that were made with the key go on. */
    override fun close() {
        handle.close()
    }

    /** Makes keys. */
    public companion object {
        internal const val SIGNATURE_SIZE = 64

        private fun of(token: Long, provider: ProviderCall? = null): Key = Key(Handle(token, "key", close = Native::keyClose), provider)

        /** A new key from the randomness of the system. */
        public fun generate(): Key = of(Native.keyGenerate())

        /** A key that [toPkcs8] gave. The array stays the caller's to wipe. */
        public fun fromPkcs8(der: ByteArray): Key = of(Native.keyFromPkcs8(der))

        /** A key that lives elsewhere, such as in the Android Keystore. */
        public fun fromProvider(provider: KeyProvider): Key {
            val call = ProviderCall(provider)
            return of(Native.keyFromProvider(provider.publicKey.bytes, call), call)
        }
    }
}

/**
 * A private key on P-256 that never leaves where it is (StrongBox, a TEE, a TPM, a token).
 *
 * The functions run on the calling thread or on one of the engine, by several at once; they may block, as for a fingerprint, and must
 * not call the library. What they throw fails the call that needed them with [SubrosaException.KEY_PROVIDER].
 */
public interface KeyProvider {
    /** The public half. Asked for once. */
    public val publicKey: PublicKey

    /** ECDH: the 32 bytes of the shared point's x. The array is wiped as soon as it is read: a new one for each call. */
    public fun agree(peer: PublicKey): ByteArray

    /** ECDSA with SHA-256 over [message], which is not hashed yet: the 64 bytes r and s. */
    public fun sign(message: ByteArray): ByteArray
}

/** Thrown by a [KeyProvider] to say why, in its own numbers; 0 is no code and becomes -2, as for any other exception. */
public class KeyProviderException(
    /** The provider's own code. */
    public val code: Int,
    message: String? = null,
    cause: Throwable? = null,
) : RuntimeException(message, cause)

/** Which format a [Session] speaks. */
public enum class Profile(internal val number: Int) {
    /** Subrosa's own, with a context and additional data. */
    SUBROSA_1(1),

    /** That of supabase-e2ee: no context, no additional data. */
    SUPABASE_E2EE_V1(2),
}

/** Seals and opens single messages, to oneself or with one peer. May be used by several threads. */
public class Session private constructor(private val handle: Handle) : AutoCloseable {
    /** Encrypts [plain]; [aad] is not contained, and has to be the same for [open]. */
    public fun seal(plain: ByteArray, aad: ByteArray = NONE): ByteArray = handle.call { Native.sessionSeal(it, aad, plain) }

    /** What was sealed, or [SubrosaException.NOT_AUTHENTIC]. The array is the caller's to wipe. */
    public fun open(sealed: ByteArray, aad: ByteArray = NONE): ByteArray = handle.call { Native.sessionOpen(it, aad, sealed) }

    override fun close() {
        handle.close()
    }

    /** Makes sessions. */
    public companion object {
        private val NONE = ByteArray(0)

        private fun of(token: Long): Session = Session(Handle(token, "session", close = Native::sessionClose))

        /** What only the holder of [key] can open. [context] says what the session is for. */
        public fun withSelf(key: Key, context: ByteArray = NONE, profile: Profile = Profile.SUBROSA_1): Session =
            key.handle.call { of(Native.sessionSelf(it, profile.number, context)) }

        /** What the holder of [key] and that of [peer] can open, each in one direction. */
        public fun withPeer(
            key: Key,
            peer: PublicKey,
            context: ByteArray = NONE,
            profile: Profile = Profile.SUBROSA_1,
        ): Session = key.handle.call { of(Native.sessionPeer(it, peer.bytes, profile.number, context)) }
    }
}
