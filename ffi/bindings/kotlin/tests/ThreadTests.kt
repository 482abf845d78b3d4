package dev.subrosa.tests

import dev.subrosa.Native
import dev.subrosa.Record
import dev.subrosa.RecordId
import dev.subrosa.SubrosaException
import dev.subrosa.fieldsOf
import java.util.concurrent.Callable
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.seconds

private const val THREADS = 8

/** Runs [body] on eight threads that begin together; their results. */
private fun <T> together(body: (thread: Int) -> T): List<T> {
    val threads = Executors.newFixedThreadPool(THREADS)
    val begin = CountDownLatch(THREADS)
    try {
        return List(THREADS) { thread ->
            threads.submit(
                Callable {
                    begin.countDown()
                    begin.await()
                    body(thread)
                },
            )
        }.map { it.get(2, TimeUnit.MINUTES) }
    } finally {
        threads.shutdownNow()
    }
}

fun threadTests(): List<Test> =
    suite("threads") {
        device("eight threads write and read one collection") { device ->
            val notes = device.vault("personal").collection("notes")
            val ids =
                together { thread ->
                    List(50) { n ->
                        notes.insert(fieldsOf("thread" to thread, "n" to n)).also { id ->
                            same(fieldsOf("thread" to thread, "n" to n), notes.get(id))
                        }
                    }
                }
            same(THREADS * 50L, notes.count())
            same(ids.flatten().toSet(), notes.scan(pageSize = 70).map { it.id }.toSet())
        }
        device("eight threads count up in transactions, and none is lost") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val id = RecordId.fromName("counter")
            notes.put(id, fieldsOf("n" to 0))
            together { repeat(20) { vault.write(60.seconds) { tx -> notes.put(id, fieldsOf("n" to notes.get(id, tx)!!.long("n") + 1), tx) } } }
            same(THREADS * 20L, notes.get(id)!!.long("n"))
        }
        device("closing under eight threads is an exception for each") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val codes =
                together { thread ->
                    try {
                        while (true) {
                            val id = notes.insert(fieldsOf("a" to 1))
                            notes.getMany(listOf(id))
                            if (thread == 0) device.close()
                        }
                        0
                    } catch (e: SubrosaException) {
                        e.code
                    }
                }
            same(setOf<Any>(SubrosaException.CLOSED), codes.toSet())
        }
        test("one record on eight threads is busy or works") {
            Record().use { record ->
                together { thread ->
                    repeat(500) { n ->
                        try {
                            record.set("$thread", n)
                        } catch (e: SubrosaException) {
                            same(SubrosaException.BUSY, e.code)
                        }
                    }
                }
                holds(record.size <= THREADS, "a field for each thread")
            }
        }
        test("more exceptions than there are handles leave nothing behind, and the last one has its message") {
            repeat(300_000) {
                val message = fails(SubrosaException.INVALID_ARGUMENT) { Native.recordLen(0) }.message.orEmpty()
                holds(message.isNotEmpty(), "exception $it has a message")
            }
        }
    }
