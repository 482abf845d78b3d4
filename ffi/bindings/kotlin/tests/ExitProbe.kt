package dev.subrosa.tests

import dev.subrosa.Device
import dev.subrosa.Key
import dev.subrosa.Mode
import java.io.File
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** Returns from main with everything open: the process has to end by itself. */
object ExitProbe {
    @OptIn(DelicateCoroutinesApi::class)
    @JvmStatic
    fun main(args: Array<String>) {
        val device = Device.create(File(args[0], "store"), Key.generate())
        val vault = device.createVault("personal")
        val watching = CompletableDeferred<Unit>()
        GlobalScope.launch { vault.changes { watching.complete(Unit) }.collect { } }
        runBlocking { watching.await() }
        if (args[1].isNotEmpty()) {
            val sync = device.sync(args[1])
            GlobalScope.launch { sync.events().collect { } }
        }
        vault.begin(Mode.WRITE)
        println("watching")
    }
}
