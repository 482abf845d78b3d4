import CSubrosa

/// The loaded library: its versions and its log.
public enum SubrosaLibrary {
    /// The version of the C ABI that this package was written for.
    public static let abiVersionExpected: UInt32 = 1

    /// The version of the C ABI that the loaded library has.
    public static var abiVersion: UInt32 { subrosa_abi_version() }

    /// The version of the loaded library, such as `0.1.0`.
    public static var version: String { String(cString: subrosa_version()) }

    /// Throws when the loaded library has another C ABI than this package was written for. Everything that makes a first
    /// handle calls this.
    static func check() throws {
        let found = abiVersion
        guard found == abiVersionExpected else {
            throw SubrosaError(
                .abiMismatch, "libsubrosa has ABI \(found), this package needs ABI \(abiVersionExpected)")
        }
    }

    /// How much the log says.
    public enum LogLevel: Int32, Sendable, Comparable {
        case error = 1
        case warning, info, debug, trace

        public static func < (one: LogLevel, other: LogLevel) -> Bool { one.rawValue < other.rawValue }
    }

    /// Sends the library's log to `handler`, from any thread, one message at a time on each; nil turns it off, as it is at the
    /// start. Messages hold ids and numbers, never content. What the handler itself logs by calling the library is dropped.
    public static func log(upTo level: LogLevel, to handler: (@Sendable (LogLevel, String) -> Void)?) throws {
        guard let handler else {
            return try call { subrosa_log_set(level.rawValue, nil, nil, nil, $0) }
        }
        let user = Unmanaged.passRetained(LogHandler(handler)).toOpaque()
        try call {
            subrosa_log_set(
                level.rawValue,
                { user, level, message in
                    guard let user, let message else { return }
                    let log = Unmanaged<LogHandler>.fromOpaque(user).takeUnretainedValue()
                    log.handler(LogLevel(rawValue: level) ?? .trace, String(cString: message))
                },
                user,
                { user in
                    if let user { Unmanaged<LogHandler>.fromOpaque(user).release() }
                },
                $0)
        }
    }
}

private final class LogHandler: Sendable {
    let handler: @Sendable (SubrosaLibrary.LogLevel, String) -> Void

    init(_ handler: @escaping @Sendable (SubrosaLibrary.LogLevel, String) -> Void) {
        self.handler = handler
    }
}
