import CSubrosa

/// One handle of the library: a token, not memory, so it may be copied between threads.
///
/// The handle is closed when the last owner lets go, or earlier by ``close()``. The library answers a call on a closed
/// token with `INVALID_HANDLE`, and closing twice does nothing.
final class Handle: Sendable {
    private let token: UInt
    private let closing: @Sendable (OpaquePointer) -> Void

    init(_ pointer: OpaquePointer, closing: @escaping @Sendable (OpaquePointer) -> Void) {
        token = UInt(bitPattern: pointer)
        self.closing = closing
    }

    /// Runs `body` with the token; it is not closed by `deinit` before `body` returns.
    func use<Result>(_ body: (OpaquePointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(pointer) }
    }

    func close() {
        closing(pointer)
    }

    /// The library never gives out a NULL handle with OK, and `init` took one that was not.
    private var pointer: OpaquePointer { OpaquePointer(bitPattern: token)! }

    deinit {
        closing(pointer)
    }
}

extension Handle {
    /// Makes a handle by a function of the library that writes it to its `out` parameter.
    static func made(
        closing: @escaping @Sendable (OpaquePointer) -> Void,
        by make: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    ) throws -> Handle {
        try SubrosaLibrary.check()
        var out: OpaquePointer?
        try call { make(&out, $0) }
        guard let out else { throw SubrosaError(.invalidHandle, "the library gave no handle") }
        return Handle(out, closing: closing)
    }
}

/// Runs one function of the library; a status that is not OK becomes a ``SubrosaError``.
func call(_ function: (UnsafeMutablePointer<OpaquePointer?>) -> Int32) throws {
    var error: OpaquePointer?
    let status = function(&error)
    guard status == SUBROSA_OK else { throw SubrosaError(status: status, taking: error) }
}
