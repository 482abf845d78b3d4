package dev.subrosa.tests

import dev.subrosa.Device
import dev.subrosa.Key
import dev.subrosa.SubrosaException
import java.io.File
import java.nio.file.Files
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** A test: a name, and what must not throw. */
class Test(val name: String, val body: () -> Unit)

/** Collects tests. */
class Suite(private val prefix: String) {
    val tests = mutableListOf<Test>()

    fun test(name: String, body: () -> Unit) {
        tests += Test("$prefix: $name", body)
    }

    /** A test with coroutines; none takes longer than a minute. */
    fun suspending(name: String, body: suspend CoroutineScope.() -> Unit) =
        test(name) { runBlocking { withTimeout(60_000, body) } }

    /** A test with a device of its own that has the vault "personal". */
    fun device(name: String, body: (Device) -> Unit) = test(name) { withDevice(body) }
}

fun suite(prefix: String, build: Suite.() -> Unit): List<Test> = Suite(prefix).apply(build).tests

inline fun <T> withFolder(body: (File) -> T): T {
    val folder = Files.createTempDirectory("subrosa-kotlin").toFile()
    try {
        return body(folder)
    } finally {
        folder.deleteRecursively()
    }
}

inline fun <T> withDevice(body: (Device) -> T): T =
    withFolder { folder ->
        Key.generate().use { key ->
            Device.create(folder.resolve("store"), key, "laptop").use { device ->
                device.createVault("personal").close()
                body(device)
            }
        }
    }

fun same(expected: Any?, found: Any?) {
    if (expected != found) throw AssertionError("expected $expected, found $found")
}

fun holds(condition: Boolean, says: String) {
    if (!condition) throw AssertionError(says)
}

fun fails(code: Int, body: () -> Unit): SubrosaException {
    try {
        body()
    } catch (e: SubrosaException) {
        if (e.code != code) throw AssertionError("expected code $code", e)
        return e
    }
    throw AssertionError("expected code $code, and nothing was thrown")
}

/** Looks again until [condition] holds, a minute at most. For what the VM does in its own time. */
fun eventually(says: String, condition: () -> Boolean) {
    val end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60)
    while (!condition()) {
        if (System.nanoTime() > end) throw AssertionError(says)
        System.gc()
        Thread.yield()
    }
}

/** Runs the tests whose names contain every argument, quietly unless `-v` is among them. Exit code 1 if one failed. */
fun main(args: Array<String>) {
    val relay = System.getenv("SUBROSA_TEST_RELAY").orEmpty()
    val all =
        codecTests() + lifecycleTests() + keyTests() + recordTests() + transactionTests() + flowTests() + threadTests() +
            pairingTests(relay)
    val chosen = all.filter { test -> args.filter { it != "-v" }.all { it in test.name } }
    var failed = 0
    for (test in chosen) {
        if ("-v" in args) println(test.name)
        try {
            test.body()
        } catch (e: Throwable) {
            failed++
            println("FAILED ${test.name}")
            println(e.stackTraceToString().prependIndent("    "))
        }
    }
    println("kotlin: ${chosen.size} tests, $failed failed")
    System.exit(if (failed == 0 && chosen.isNotEmpty()) 0 else 1)
}
