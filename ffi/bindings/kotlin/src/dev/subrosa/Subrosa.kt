package dev.subrosa

/** The library itself. */
public object Subrosa {
    /** The version of the native library, such as "0.1.0". */
    public val version: String get() = Native.version()

    /** The ABI of the native library; the wrapper refuses to load another than its own. */
    public val abiVersion: Int get() = Native.abiVersion()

    /**
     * How many objects became garbage without having been closed, since the start of the process. They were closed then, late and
     * on another thread. Something other than 0 in a test is a leak.
     */
    public val abandonedHandles: Long get() = Handle.abandoned.get()

    /**
     * Sends the log of the engine to [sink], up to [level]; off by default. It is called on any thread, by one at a time, and must
     * not call back. The lines hold ids, numbers and durations, never content.
     */
    public fun log(level: LogLevel, sink: LogSink) {
        Native.logSet(level.number, sink)
    }

    /** Ends the log. */
    public fun logOff() {
        Native.logSet(0, null)
    }
}

/** How much a line of the log matters. */
public enum class LogLevel(internal val number: Int) {
    /** A bug, or lost data. */
    ERROR(1),

    /** Something that should be looked at. */
    WARN(2),

    /** What a person may want to know. */
    INFO(3),

    /** For those who look for a fault. */
    DEBUG(4),

    /** Everything. */
    TRACE(5),
    ;

    internal companion object {
        fun of(number: Int): LogLevel = entries.firstOrNull { it.number == number } ?: TRACE
    }
}

/** Takes the lines of the log. */
public fun interface LogSink {
    /** One line; must return soon and must not call the library. What it throws is dropped. */
    public fun log(level: LogLevel, message: String)
}
