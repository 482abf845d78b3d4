import CSubrosa
import Foundation

extension Device {
    /// Starts to sync with a relay (nil: the stored one) and goes on as long as the ``Sync`` or events of it are referenced,
    /// through lost networks and suspends. One per device: `BUSY` when one runs.
    public func sync(relay: String? = nil) throws -> Sync {
        try handle.use { device in
            try relay.withText { relay, length in
                Sync(
                    try .made(closing: { _ = subrosa_sync_stop($0, nil) }) {
                        subrosa_sync_start(device, relay, length, $0, $1)
                    }, of: self)
            }
        }
    }
}

/// A running sync. It stops when nobody refers to it or to events of it, or by ``stop()``. May be used by any number of threads.
public final class Sync: Sendable {
    let handle: Handle
    private let device: Device

    init(_ handle: Handle, of device: Device) {
        self.handle = handle
        self.device = device
    }

    public enum State: Sendable, Hashable {
        case offline, connecting, syncing, live, refused, suspended
        /// A state that this package does not know.
        case unknown(Int32)

        init(_ raw: Int32) {
            switch raw {
            case SUBROSA_SYNC_OFFLINE: self = .offline
            case SUBROSA_SYNC_CONNECTING: self = .connecting
            case SUBROSA_SYNC_SYNCING: self = .syncing
            case SUBROSA_SYNC_LIVE: self = .live
            case SUBROSA_SYNC_REFUSED: self = .refused
            case SUBROSA_SYNC_SUSPENDED: self = .suspended
            default: self = .unknown(raw)
            }
        }
    }

    /// Why the last attempt failed.
    public enum Failure: Sendable, Hashable {
        case noSocket, noAddress, unreachable, wrongKey, lost, link, peer, store, other
        /// A reason that this package does not know.
        case unknown(Int32)

        init?(_ raw: Int32) {
            switch raw {
            case SUBROSA_FAILURE_NONE: return nil
            case SUBROSA_FAILURE_NO_SOCKET: self = .noSocket
            case SUBROSA_FAILURE_NO_ADDRESS: self = .noAddress
            case SUBROSA_FAILURE_UNREACHABLE: self = .unreachable
            case SUBROSA_FAILURE_WRONG_KEY: self = .wrongKey
            case SUBROSA_FAILURE_LOST: self = .lost
            case SUBROSA_FAILURE_LINK: self = .link
            case SUBROSA_FAILURE_PEER: self = .peer
            case SUBROSA_FAILURE_STORE: self = .store
            case SUBROSA_FAILURE_OTHER: self = .other
            default: self = .unknown(raw)
            }
        }
    }

    public struct Status: Sendable, Equatable {
        public let state: State
        /// The relay's code while it refuses, else 0.
        public let refusedCode: Int32
        public let failure: Failure?
        public let segmentsDone, segmentsKnown, bytesDone, bytesKnown: UInt64
        /// By how much this device's clock is ahead of the relay's, negative if behind, where that is more than five minutes;
        /// else 0.
        public let clockAheadMilliseconds: Int64
        /// When the first of what is held for the clock is merged, in Unix milliseconds; 0 while nothing is held.
        /// ``Vault/held()`` says whose it is.
        public let heldUntilMilliseconds: UInt64
    }

    /// Where sync is now.
    public func status() throws -> Status {
        var raw = subrosa_sync_status()
        raw.struct_size = UInt32(MemoryLayout<subrosa_sync_status>.size)
        try handle.use { sync in try call { subrosa_sync_status_of(sync, &raw, $0) } }
        return Status(
            state: State(raw.state), refusedCode: raw.refused, failure: Failure(raw.failure),
            segmentsDone: raw.segments_done, segmentsKnown: raw.segments_known,
            bytesDone: raw.bytes_done, bytesKnown: raw.bytes_known,
            clockAheadMilliseconds: raw.clock_ahead_ms, heldUntilMilliseconds: raw.held_until_ms)
    }

    /// The vaults with which not all is well at the relay; empty while all is well.
    public func vaults() throws -> [VaultAtRelay] {
        try handle.use { sync in try List.made { subrosa_sync_vaults(sync, $0, $1) }.vaultsAtRelay() }
    }

    /// The state in words, with the reason: `live`, `refused: quota`.
    public func reason() throws -> String {
        try handle.use { sync in try withBuffer({ subrosa_sync_reason(sync, $0, $1) }, \.text) }
    }

    /// Waits until everything is here and there. `NO_PROGRESS` after `idle` without a step (nil: never); `SUSPENDED` at
    /// once while the device is; `CancellationError` when the task is cancelled. All of these leave sync running.
    public func wait(idle: Duration? = .seconds(30)) async throws {
        try await Subrosa.wait { cancel in
            try self.handle.use { sync in try call { subrosa_sync_wait(sync, idle.milliseconds, cancel, $0) } }
        }
    }

    /// Stops, and returns when nothing runs any more. Twice does nothing.
    public func stop() throws {
        try handle.use { sync in
            do {
                try call { subrosa_sync_stop(sync, $0) }
            } catch let error as SubrosaError where error.code == .invalidHandle {
                // Stopped before.
            }
        }
    }
}
