package dev.subrosa.tests

import dev.subrosa.Device
import dev.subrosa.Key
import dev.subrosa.Mode
import dev.subrosa.SubrosaException
import dev.subrosa.Transaction
import dev.subrosa.Vault
import dev.subrosa.fieldsOf
import java.util.concurrent.Callable
import java.util.concurrent.Executors
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

fun transactionTests(): List<Test> =
    suite("transactions") {
        device("a write commits, and its result is returned") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val id =
                vault.write { tx ->
                    val id = notes.insert(fieldsOf("a" to 1), tx)
                    notes.put(id, fieldsOf("b" to 2), tx)
                    same(null, notes.get(id))
                    same(fieldsOf("a" to 1, "b" to 2), notes.get(id, tx))
                    same(1L, notes.count(tx))
                    same(1, notes.scan(tx = tx).count())
                    id
                }
            same(fieldsOf("a" to 1, "b" to 2), notes.get(id))
        }
        device("an exception aborts, and comes through") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val mine = IllegalStateException("mine")
            val thrown =
                runCatching {
                    vault.write<Unit> { tx ->
                        notes.insert(fieldsOf("a" to 1), tx)
                        throw mine
                    }
                }.exceptionOrNull()
            same(mine, thrown)
            same(0L, notes.count())
            vault.write { notes.insert(fieldsOf("a" to 1), it) }
            same(1L, notes.count())
        }
        device("a write that ended itself is not committed again") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            vault.write { tx ->
                notes.insert(fieldsOf("a" to 1), tx)
                tx.abort()
            }
            same(0L, notes.count())
        }
        device("a snapshot stays as it was, and refuses writes") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val id = notes.insert(fieldsOf("a" to 1))
            vault.read { tx ->
                notes.put(id, fieldsOf("a" to 2))
                same(fieldsOf("a" to 1), notes.get(id, tx))
                fails(SubrosaException.READ_ONLY) { notes.put(id, fieldsOf("a" to 3), tx) }
                fails(SubrosaException.READ_ONLY) { notes.insertJson("{}", tx) }
            }
            same(fieldsOf("a" to 2), notes.get(id))
        }
        device("a second writer is told at once, or waits") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val first = vault.begin(Mode.WRITE)
            same(false, fails(SubrosaException.BUSY) { vault.begin(Mode.WRITE, Duration.ZERO) }.retryable)
            val thread = Executors.newSingleThreadExecutor()
            val busy = thread.submit(Callable { fails(SubrosaException.BUSY) { vault.begin(Mode.WRITE, Duration.ZERO) } }).get()
            holds(busy.message.orEmpty().isNotEmpty(), "it says why")
            same(true, busy.retryable)
            val second = thread.submit(Callable { vault.write(30.seconds) { notes.insert(fieldsOf("b" to 2), it) } })
            notes.insert(fieldsOf("a" to 1), first)
            first.commit()
            same(fieldsOf("b" to 2), notes.get(second.get()))
            same(2L, notes.count())
            thread.shutdown()
        }
        test("a write by itself waits for a transaction no longer than it may") {
            withFolder { folder ->
                Key.generate().use { key ->
                    val made = Device.create(folder.resolve("s"), key, writeWait = 20.milliseconds)
                    made.use { writeBesideTransaction(it.createVault("personal")) }
                    Device.open(folder.resolve("s"), key, writeWait = 20.milliseconds).use { writeBesideTransaction(it.vault("personal")) }
                }
            }
        }
        device("a transaction that is over says so") { device ->
            val vault = device.vault("personal")
            val notes = vault.collection("notes")
            val committed = vault.begin(Mode.WRITE).apply { commit() }
            val aborted = vault.begin(Mode.WRITE).apply { abort() }
            for (tx in listOf(committed, aborted)) {
                same(false, tx.isOpen)
                fails(SubrosaException.TX_OVER) { notes.insert(fieldsOf("a" to 1), tx) }
                fails(SubrosaException.TX_OVER) { tx.commit() }
                tx.close()
            }
        }
        device("a forgotten transaction does not block writers for ever") { device ->
            val vault = device.vault("personal")
            forget { vault.begin(Mode.WRITE) }
            eventually("another one can write") { runCatching { vault.write(Duration.ZERO) { } }.isSuccess }
        }
        device("suspending ends a transaction") { device ->
            val vault = device.vault("personal")
            val tx = vault.begin(Mode.WRITE)
            device.suspend()
            fails(SubrosaException.SUSPENDED) { tx.commit() }
            device.resume()
            vault.write { }
        }
        device("a transaction of another vault is refused") { device ->
            val notes = device.vault("personal").collection("notes")
            device.createVault("work").write { tx -> fails(SubrosaException.WRONG_DEVICE) { notes.insert(fieldsOf("a" to 1), tx) } }
        }
    }

private fun writeBesideTransaction(vault: Vault) {
    val notes = vault.collection("notes")
    val thread = Executors.newSingleThreadExecutor()
    val tx = thread.submit(Callable { vault.begin(Mode.WRITE) }).get()
    same(true, fails(SubrosaException.BUSY) { notes.insert(fieldsOf("a" to 1)) }.retryable)
    tx.abort()
    notes.insert(fieldsOf("a" to 1))
    thread.shutdown()
}

/** In a frame of its own, which is gone when it returns. */
private fun forget(make: () -> Transaction) {
    make()
}
