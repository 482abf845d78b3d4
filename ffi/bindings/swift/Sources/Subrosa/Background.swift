import CSubrosa
import Dispatch
import Foundation

/// For local calls that touch the disk and come back soon.
let localCalls = DispatchQueue(label: "subrosa", qos: .userInitiated, attributes: .concurrent)

/// Runs a short blocking call off the threads that Swift's tasks share, unless the task is cancelled already.
func offload<Result: Sendable>(
    to queue: DispatchQueue = localCalls, _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try Task.checkCancellation()
    return try await offloadAlways(to: queue, body)
}

/// As `offload`, whatever the task's state: for calls that tidy up, which a cancelled task has to make as well.
func offloadAlways<Result: Sendable>(
    to queue: DispatchQueue = localCalls, _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    let work = Work(body)
    return try await withCheckedThrowingContinuation { continuation in
        queue.async { continuation.resume(with: work.run()) }
    }
}

/// Runs a call that may block without a bound on a thread of its own, since a dispatch queue has only some tens of them.
func block<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    let work = Work(body)
    return try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: work.run()) }
        thread.name = "subrosa-wait"
        thread.stackSize = 512 << 10
        thread.start()
    }
}

/// A body that is let go as soon as it has run. The thread that ran it may end after the caller has gone on, and must not keep
/// a device open until then.
private final class Work<Result: Sendable>: @unchecked Sendable {
    private var body: (@Sendable () throws -> Result)?

    init(_ body: @escaping @Sendable () throws -> Result) {
        self.body = body
    }

    /// Once, on one thread.
    func run() -> Swift.Result<Result, any Error> {
        defer { body = nil }
        return .init { try body!() }
    }
}

/// Runs a waiting call of the library with a cancel token that fires when the task is cancelled. A call that ended so
/// throws `CancellationError`, as Swift's own waits do.
func wait<Result: Sendable>(_ body: @escaping @Sendable (OpaquePointer) throws -> Result) async throws -> Result {
    try Task.checkCancellation()
    let cancel = try Handle.made(closing: subrosa_cancel_close) { subrosa_cancel_new($0, $1) }
    return try await withTaskCancellationHandler {
        do {
            return try await block { try cancel.use(body) }
        } catch let error as SubrosaError where error.code == .cancelled {
            throw CancellationError()
        }
    } onCancel: {
        // Firing fails only for a closed token, and this one is open as long as the wait.
        cancel.use { _ = subrosa_cancel_fire($0, nil) }
    }
}
