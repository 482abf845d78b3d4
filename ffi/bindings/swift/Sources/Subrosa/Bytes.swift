import CSubrosa
import Foundation

extension String {
    /// The text as the library takes it: UTF-8 and its length.
    func withText<Result>(_ body: (UnsafePointer<CChar>?, Int) throws -> Result) rethrows -> Result {
        var copy = self
        return try copy.withUTF8 { bytes in
            try bytes.withMemoryRebound(to: CChar.self) { try body($0.baseAddress, $0.count) }
        }
    }
}

extension Optional where Wrapped == String {
    /// Nil is `NULL, 0`, which the library takes as "the default".
    func withText<Result>(_ body: (UnsafePointer<CChar>?, Int) throws -> Result) rethrows -> Result {
        guard let self else { return try body(nil, 0) }
        return try self.withText(body)
    }
}

extension Data {
    /// The bytes as the library takes them.
    func withBytes<Result>(_ body: (UnsafePointer<UInt8>?, Int) throws -> Result) rethrows -> Result {
        try withUnsafeBytes { raw in
            try body(raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count)
        }
    }
}

/// Bytes that a function of the library wrote, handed to `body` and freed after it.
func withBuffer<Result>(
    _ fill: (UnsafeMutablePointer<subrosa_buf>, UnsafeMutablePointer<OpaquePointer?>) -> Int32,
    _ body: (UnsafeRawBufferPointer) throws -> Result
) throws -> Result {
    var buffer = subrosa_buf()
    defer { subrosa_buf_free(&buffer) }
    try call { fill(&buffer, $0) }
    return try body(UnsafeRawBufferPointer(start: buffer.data, count: buffer.len))
}

/// Secret bytes that a function of the library wrote, handed to `body`, then wiped and freed.
func withSecret<Result>(
    _ fill: (UnsafeMutablePointer<subrosa_secret>, UnsafeMutablePointer<OpaquePointer?>) -> Int32,
    _ body: (UnsafeRawBufferPointer) throws -> Result
) throws -> Result {
    var secret = subrosa_secret()
    defer { subrosa_secret_free(&secret) }
    try call { fill(&secret, $0) }
    return try body(UnsafeRawBufferPointer(start: secret.data, count: secret.len))
}

extension UnsafeRawBufferPointer {
    /// The library gives valid UTF-8.
    var text: String { String(decoding: self, as: UTF8.self) }
}

extension Duration {
    /// Whole milliseconds for the library, rounded up so that a short wait is not "at once"; more than 24 days is "no limit".
    var milliseconds: Int32 {
        let (seconds, attoseconds) = components
        guard self > .zero else { return 0 }
        guard seconds < 2_000_000 else { return -1 }
        let perMillisecond: Int64 = 1_000_000_000_000_000
        return Int32(seconds * 1000 + (attoseconds + perMillisecond - 1) / perMillisecond)
    }
}

extension Optional where Wrapped == Duration {
    /// Nil is "no limit".
    var milliseconds: Int32 { self?.milliseconds ?? -1 }
}
