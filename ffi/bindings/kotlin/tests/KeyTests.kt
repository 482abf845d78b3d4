package dev.subrosa.tests

import dev.subrosa.Device
import dev.subrosa.Key
import dev.subrosa.KeyProvider
import dev.subrosa.KeyProviderException
import dev.subrosa.Profile
import dev.subrosa.PublicKey
import dev.subrosa.Session
import dev.subrosa.SubrosaException
import dev.subrosa.fieldsOf
import java.lang.ref.WeakReference
import java.security.KeyFactory
import java.security.KeyPairGenerator
import java.security.Signature
import java.security.spec.ECGenParameterSpec
import java.security.spec.X509EncodedKeySpec
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicInteger
import javax.crypto.KeyAgreement

/** A provider as one over the Android Keystore would be, with the keys of the JDK. */
class JavaProvider : KeyProvider {
    private val pair = KeyPairGenerator.getInstance("EC").apply { initialize(ECGenParameterSpec("secp256r1")) }.generateKeyPair()
    val calls = AtomicInteger()
    val threads: MutableSet<String> = ConcurrentHashMap.newKeySet()

    @Volatile var throwing: Throwable? = null

    @Volatile var short = false

    override val publicKey: PublicKey get() = PublicKey.fromSpki(pair.public.encoded)

    override fun agree(peer: PublicKey): ByteArray =
        answer {
            val other = KeyFactory.getInstance("EC").generatePublic(X509EncodedKeySpec(peer.toSpki()))
            KeyAgreement.getInstance("ECDH").apply { init(pair.private) }.apply { doPhase(other, true) }.generateSecret()
        }

    override fun sign(message: ByteArray): ByteArray =
        answer { Signature.getInstance("SHA256withECDSAinP1363Format").apply { initSign(pair.private) }.apply { update(message) }.sign() }

    private fun answer(body: () -> ByteArray): ByteArray {
        calls.incrementAndGet()
        threads += Thread.currentThread().name
        throwing?.let { throw it }
        return body().let { if (short) it.copyOf(it.size - 1) else it }
    }
}

/** `tests/thread.c`. */
object NativeThread {
    init {
        System.loadLibrary("subrosa_test")
    }

    @JvmStatic external fun sign(key: Long): Int
}

private fun providerOfClosedKey(): WeakReference<KeyProvider> {
    val provider = JavaProvider()
    Key.fromProvider(provider).use { it.publicKey }
    return WeakReference(provider)
}

private val message = "message".encodeToByteArray()
private val label = "label".encodeToByteArray()

fun keyTests(): List<Test> =
    suite("keys") {
        test("a key survives PKCS#8, and Java reads it") {
            Key.generate().use { key ->
                val der = key.toPkcs8()
                Key.fromPkcs8(der).use { same(key.publicKey, it.publicKey) }
                val read = KeyFactory.getInstance("EC").generatePrivate(java.security.spec.PKCS8EncodedKeySpec(der))
                same("EC", read.algorithm)
            }
        }
        test("a public key survives SPKI and bytes") {
            Key.generate().use { key ->
                val public = key.publicKey
                public.check()
                same(public, PublicKey.fromSpki(public.toSpki()))
                same(public, PublicKey.ofBytes(public.toBytes()))
            }
            fails(SubrosaException.KEY_ENCODING) { PublicKey.ofBytes(ByteArray(64)) }
            fails(SubrosaException.NOT_ON_CURVE) { PublicKey.ofBytes(ByteArray(65).also { it[0] = 4 }).check() }
        }
        test("a signature holds for its label and message only") {
            Key.generate().use { key ->
                val signature = key.sign(label, message)
                key.publicKey.verify(label, message, signature)
                fails(SubrosaException.BAD_SIGNATURE) { key.publicKey.verify(message, label, signature) }
                fails(SubrosaException.BAD_SIGNATURE) { key.publicKey.verify(label, message, ByteArray(1)) }
            }
        }
        test("what is no key is refused with its name") {
            same("KEY_ENCODING", fails(SubrosaException.KEY_ENCODING) { Key.fromPkcs8(ByteArray(3)) }.name)
        }
        test("sessions seal and open large and empty messages") {
            Key.generate().use { key ->
                Session.withSelf(key, "test".encodeToByteArray()).use { session ->
                    for (size in listOf(0, 1, 512, 513, 3_000_000)) {
                        val plain = ByteArray(size) { it.toByte() }
                        holds(session.open(session.seal(plain, label), label).contentEquals(plain), "$size bytes come back")
                    }
                    fails(SubrosaException.NOT_AUTHENTIC) { session.open(session.seal(message, label)) }
                }
                Session.withSelf(key, profile = Profile.SUPABASE_E2EE_V1).use { session ->
                    holds(session.open(session.seal(message)).contentEquals(message), "the other profile works")
                }
            }
        }
        test("a device lives on the key of a provider") {
            withFolder { folder ->
                val provider = JavaProvider()
                Key.fromProvider(provider).use { key ->
                    same(provider.publicKey, key.publicKey)
                    fails(SubrosaException.KEY_NOT_EXPORTABLE) { key.toPkcs8() }
                    val id = Device.create(folder.resolve("s"), key).use { it.createVault("v").collection("c").insert(fieldsOf("a" to 1)) }
                    Device.open(folder.resolve("s"), key).use { same(fieldsOf("a" to 1), it.vault("v").collection("c").get(id)) }
                    holds(provider.calls.get() > 0, "the provider was asked")
                }
            }
        }
        test("what a provider throws becomes its code, and is kept") {
            val provider = JavaProvider()
            Key.fromProvider(provider).use { key ->
                val cases = listOf(KeyProviderException(42, "locked") to 42L, IllegalStateException("gone") to -2L, KeyProviderException(0) to -2L)
                for ((thrown, number) in cases) {
                    provider.throwing = thrown
                    same(number, fails(SubrosaException.KEY_PROVIDER) { key.sign(label, message) }.number)
                    same(thrown, key.providerFailure)
                }
                provider.throwing = StackOverflowError()
                same(-2L, fails(SubrosaException.KEY_PROVIDER) { key.sign(label, message) }.number)
                provider.throwing = null
                provider.short = true
                same(-3L, fails(SubrosaException.KEY_PROVIDER) { key.sign(label, message) }.number)
                provider.short = false
                key.publicKey.verify(label, message, key.sign(label, message))
            }
        }
        test("what a provider agreed on is wiped") {
            withFolder { folder ->
                val honest = JavaProvider()
                val shared = mutableListOf<ByteArray>()
                val keeping = object : KeyProvider by honest { override fun agree(peer: PublicKey) = honest.agree(peer).also(shared::add) }
                Key.fromProvider(keeping).use { key -> Device.create(folder.resolve("s"), key).close() }
                holds(shared.isNotEmpty() && shared.all { secret -> secret.all { it == 0.toByte() } }, "the arrays are empty")
            }
        }
        test("a thread of the engine may ask a provider, and is gone from the VM when it ends") {
            val provider = JavaProvider()
            Key.fromProvider(provider).use { key ->
                repeat(200) { same(0, key.handle.call { NativeThread.sign(it) }) }
                same(setOf("subrosa"), provider.threads.toSet())
                holds(Thread.getAllStackTraces().keys.none { it.name == "subrosa" }, "no thread is left")
                provider.throwing = KeyProviderException(42)
                same(SubrosaException.KEY_PROVIDER, key.handle.call { NativeThread.sign(it) })
            }
        }
        test("a provider that signs with another key is caught") {
            val honest = JavaProvider()
            val other = JavaProvider()
            val lying = object : KeyProvider by honest { override fun sign(message: ByteArray) = other.sign(message) }
            Key.fromProvider(lying).use { key -> fails(SubrosaException.KEY_PROVIDER_SIGNATURE) { key.sign(label, message) } }
        }
        test("the provider of a closed key is garbage") {
            val provider = providerOfClosedKey()
            eventually("the provider is collected") { provider.get() == null }
        }
    }
