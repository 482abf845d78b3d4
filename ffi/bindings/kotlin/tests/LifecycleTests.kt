package dev.subrosa.tests

import dev.subrosa.Device
import dev.subrosa.Handle
import dev.subrosa.Key
import dev.subrosa.KeyProvider
import dev.subrosa.LogLevel
import dev.subrosa.LogSink
import dev.subrosa.Native
import dev.subrosa.PhantomReaper
import dev.subrosa.PublicKey
import dev.subrosa.Reaper
import dev.subrosa.Record
import dev.subrosa.RecordId
import dev.subrosa.Subrosa
import dev.subrosa.SubrosaException
import dev.subrosa.VerifyReport
import dev.subrosa.fieldsOf
import java.io.File
import java.lang.ref.WeakReference
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread

/** Not inlined into the test, whose frame would keep what it makes. */
private fun leak(device: Device, count: Int) {
    val vault = device.vault("personal")
    repeat(count) {
        vault.collection("notes")
        Record().set("a", 1)
    }
}

private fun registerGarbage(reaper: Reaper, ran: AtomicInteger): WeakReference<Any> {
    val garbage = Any()
    reaper.register(garbage) { ran.incrementAndGet() }
    return WeakReference(garbage)
}

private fun collectionOfForgottenDevice(dir: File, key: Key) = Device.create(dir, key).createVault("v").collection("c")

private fun logInto(lines: MutableList<String>): WeakReference<LogSink> {
    val sink = LogSink { level, message -> synchronized(lines) { lines += "$level $message" } }
    Subrosa.log(LogLevel.TRACE, sink)
    return WeakReference(sink)
}

/** Opens a store, of which the engine says so in its log. */
private fun openCopy() =
    withFolder { folder ->
        Key.generate().use { key ->
            Device.create(folder.resolve("a"), key).use { it.createVault("personal") }
            folder.resolve("a").copyRecursively(folder.resolve("b"))
            Device.open(folder.resolve("b"), key).close()
        }
    }

/** Runs another class of the tests in a VM of its own; its exit code and output. */
fun child(main: String, vararg args: String): Pair<Int, String> {
    val java = File(System.getProperty("java.home"), "bin/java").path
    val options = listOf("-Xcheck:jni", "-Djava.library.path=" + System.getProperty("java.library.path"))
    val command = listOf(java) + options + listOf("-cp", System.getProperty("java.class.path"), main) + args
    return withFolder { folder ->
        val said = folder.resolve("said")
        val process = ProcessBuilder(command).redirectErrorStream(true).redirectOutput(said).start()
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            process.destroyForcibly().waitFor()
            throw AssertionError("the process did not end: ${said.readText()}")
        }
        process.exitValue() to said.readText()
    }
}

fun lifecycleTests(): List<Test> =
    suite("lifecycle") {
        test("the library says its versions") {
            same(1, Subrosa.abiVersion)
            holds(Regex("""\d+\.\d+\.\d+.*""").matches(Subrosa.version), "a version has three numbers")
        }
        test("a code that the wrapper does not know survives") {
            val unknown = SubrosaException(99_999, "from the future")
            same(99_999, unknown.code)
            same("UNKNOWN", unknown.name)
        }
        test("a record survives closing and opening") {
            withFolder { folder ->
                Key.generate().use { key ->
                    val dir = folder.resolve("new folder/größe")
                    dir.parentFile.mkdirs()
                    val id =
                        Device.create(dir, key, "laptop").use { device ->
                            same("laptop", device.name)
                            same(key.publicKey, device.publicKey)
                            device.createVault("personal").collection("notes").insert(fieldsOf("title" to "Call Anna"))
                        }
                    Device.open(dir, key).use { device ->
                        same(fieldsOf("title" to "Call Anna"), device.vault("personal").collection("notes").get(id))
                    }
                }
            }
        }
        device("closing twice is harmless, use after close is an exception") { device ->
            val vault = device.vault("personal")
            vault.close()
            vault.close()
            fails(SubrosaException.CLOSED) { vault.name }
            val record = Record()
            record.close()
            fails(SubrosaException.CLOSED) { record.set("a", 1) }
        }
        test("closing under a call is no other exception") {
            val record = Record()
            val underCall = {
                record.handle.call { token ->
                    record.close()
                    Native.recordLen(token)
                }
            }
            fails(SubrosaException.CLOSED) { underCall() }
            val stale = Record().use { it.handle.open() }
            Record().use { open -> fails(SubrosaException.INVALID_HANDLE) { open.handle.call { Native.recordLen(stale) } } }
        }
        device("what was made of a closed device is closed") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val id = notes.insert(fieldsOf("a" to 1))
            device.close()
            device.close()
            fails(SubrosaException.CLOSED) { device.vaults() }
            fails(SubrosaException.CLOSED) { vault.devices() }
            fails(SubrosaException.CLOSED) { notes.get(id) }
            fails(SubrosaException.CLOSED) { vault.write { } }
            notes.close()
            vault.close()
        }
        device("the key may be closed while its device lives") { device -> same(1, device.vault("personal").devices().size) }
        device("a suspended device says so, and goes on afterwards") { device ->
            val notes = device.vault("personal").collection("notes")
            val id = notes.insert(fieldsOf("a" to 1))
            device.suspend()
            fails(SubrosaException.SUSPENDED) { notes.get(id) }
            device.resume()
            same(fieldsOf("a" to 1), notes.get(id))
        }
        test("suspending waits for a resumption under way, and has the last word") {
            withFolder { folder ->
                val provider = WaitingProvider()
                Key.fromProvider(provider).use { key ->
                    Device.create(folder.resolve("s"), key).use { suspendWhileResuming(it, provider) }
                }
            }
        }
        test("a store is good that has logs of devices that are not listed yet") {
            val report = VerifyReport(false, vaults = 1, logs = 2, segments = 3, badSegments = 0, uncertifiedLogs = 1, quarantined = 1)
            same(true, report.isGood)
            same(false, report.copy(badSegments = 1).isGood)
        }
        device("forgotten objects are closed by the garbage collector") { device ->
            val before = Subrosa.abandonedHandles
            leak(device, 200)
            eventually("200 collections, 200 records and a vault are closed") { Subrosa.abandonedHandles >= before + 401 }
        }
        test("the fallback for old Androids runs its actions once") {
            val ran = AtomicInteger()
            val reaper = PhantomReaper()
            registerGarbage(reaper, ran)
            eventually("the action ran") { ran.get() == 1 }
            val kept = Any()
            reaper.register(kept) { ran.incrementAndGet() }.run()
            registerGarbage(reaper, ran)
            eventually("only the second one ran") { ran.get() == 2 }
            holds(kept.hashCode() == kept.hashCode(), "kept")
        }
        test("an object keeps alive what it was made of") {
            withFolder { folder ->
                Key.generate().use { key ->
                    val notes = collectionOfForgottenDevice(folder.resolve("s"), key)
                    val before = Subrosa.abandonedHandles
                    leakRecord()
                    eventually("a record is closed") { Subrosa.abandonedHandles > before }
                    same(null, notes.get(RecordId.fromName("x")))
                    notes.vault.device.close()
                }
            }
        }
        test("a handle is not closed under the call of its last user") {
            // The optimising compiler is what forgets a reference that is not used again: it has to have seen this often.
            repeat(30_000) { Record().use { record -> lenDuring(record, null) } }
            repeat(5) { same(1, lenDuring(Record().set("a", 1), ::collectGarbage)) }
        }
        test("the log can be taken and given back") {
            val lines = mutableListOf<String>()
            val sink = logInto(lines)
            openCopy()
            holds(lines.any { it.startsWith("INFO ") && "is open" in it }, "that a store is open is worth a line: $lines")
            Subrosa.logOff()
            lines.clear()
            openCopy()
            same(emptyList<String>(), lines)
            eventually("the sink is let go") { sink.get() == null }
        }
        test("a process ends with live flows, syncs and transactions") {
            withFolder { folder ->
                val (code, output) = child("dev.subrosa.tests.ExitProbe", folder.path, System.getenv("SUBROSA_TEST_RELAY").orEmpty())
                same("watching\n", output)
                same(0, code)
            }
        }
    }

/** Stops in [agree] when told to. */
private class WaitingProvider(private val keys: JavaProvider = JavaProvider()) : KeyProvider by keys {
    @Volatile var goOn: CountDownLatch? = null
    val asked = CountDownLatch(1)

    override fun agree(peer: PublicKey): ByteArray {
        goOn?.let {
            asked.countDown()
            it.await()
        }
        return keys.agree(peer)
    }
}

private fun suspendWhileResuming(device: Device, provider: WaitingProvider) {
    device.suspend()
    val goOn = CountDownLatch(1).also { provider.goOn = it }
    val resuming = thread { device.resume() }
    provider.asked.await()
    val suspending = thread { device.suspend() }
    eventually("suspending has begun") { suspending.stackTrace.any { it.className == Device::class.java.name } }
    goOn.countDown()
    resuming.join()
    suspending.join()
    fails(SubrosaException.SUSPENDED) { device.space() }
    same(Device.State.SUSPENDED, device.state.value)
}

private fun leakRecord() {
    Record()
}

/** Returns when the reaper has closed something that is garbage. */
fun collectGarbage() {
    val before = Handle.abandoned.get()
    leakRecord()
    eventually("another record is closed") { Handle.abandoned.get() > before }
}

/** Nothing but the call itself refers to [record] in the course of it. */
private fun lenDuring(record: Record, during: (() -> Unit)?): Int =
    record.handle.call { token ->
        during?.invoke()
        Native.recordLen(token)
    }
