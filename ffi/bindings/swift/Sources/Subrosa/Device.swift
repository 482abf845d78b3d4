import CSubrosa
import Dispatch
import Foundation

/// What a device is opened with.
public struct DeviceOptions: Sendable {
    /// The name that other devices see, 1 to 128 bytes without control characters: `INVALID_ARGUMENT`. Nil, or none, is
    /// `device`. Used by create and pairing; a store that is opened keeps its own.
    public var name: String?
    /// Bytes of cache for the store's file. 0 is 16 MiB.
    public var cacheBytes: UInt64
    /// How long a write outside of a transaction waits for a transaction of another thread before it fails with `BUSY`, which
    /// is retryable. Nil is as long as it takes.
    public var writeWait: Duration?

    public init(name: String? = nil, cacheBytes: UInt64 = 0, writeWait: Duration? = nil) {
        self.name = name
        self.cacheBytes = cacheBytes
        self.writeWait = writeWait
    }

    func withRaw<Result>(_ body: (UnsafePointer<subrosa_device_options>) throws -> Result) rethrows -> Result {
        try name.withText { text, length in
            var raw = subrosa_device_options()
            raw.struct_size = UInt32(MemoryLayout<subrosa_device_options>.size)
            raw.cache_bytes = cacheBytes
            raw.device_name = text
            raw.device_name_len = length
            raw.write_wait_ms = writeWaitMilliseconds
            return try body(&raw)
        }
    }

    /// The library's 0 is "as long as it takes", so that the shortest wait is a millisecond.
    private var writeWaitMilliseconds: UInt32 {
        guard let milliseconds = writeWait?.milliseconds, milliseconds >= 0 else { return 0 }
        return UInt32(max(milliseconds, 1))
    }
}

/// One device's store: a folder with its vaults, opened with its key.
///
/// Local calls touch the disk and return; they never wait for the network. Those that may take longer than a frame have an
/// async form of the same name, which leaves the calling actor. A device stays open as long as it, or a vault, collection or
/// sync of it, or one of their events, is referenced; ``close()`` ends it at once. May be used by any number of threads.
public final class Device: Sendable {
    let handle: Handle
    /// One writes at a time, so async writers wait in line here instead of each blocking a thread.
    let writers = DispatchQueue(label: "subrosa-write", qos: .userInitiated)

    init(_ handle: Handle) {
        self.handle = handle
    }

    /// Closing reports what went wrong only where somebody asked: see ``close()``.
    static let closing: @Sendable (OpaquePointer) -> Void = { _ = subrosa_device_close($0, nil) }

    /// Makes a store in a folder that has none: `STORE_EXISTS` otherwise.
    public static func create(at folder: URL, key: Key, options: DeviceOptions = .init()) throws -> Device {
        try make(at: folder, key: key, options: options, by: subrosa_device_create)
    }

    /// Opens the store in a folder. `STORE_MISSING`, `STORE_LOCKED` (another process has it), `WRONG_KEY`, `NEWER_FORMAT`.
    public static func open(at folder: URL, key: Key, options: DeviceOptions = .init()) throws -> Device {
        try make(at: folder, key: key, options: options, by: subrosa_device_open)
    }

    /// As the other `create`, off the calling actor.
    public static func create(at folder: URL, key: Key, options: DeviceOptions = .init()) async throws -> Device {
        try await offload { try make(at: folder, key: key, options: options, by: subrosa_device_create) }
    }

    /// As the other `open`, off the calling actor.
    public static func open(at folder: URL, key: Key, options: DeviceOptions = .init()) async throws -> Device {
        try await offload { try make(at: folder, key: key, options: options, by: subrosa_device_open) }
    }

    private typealias Making = (
        UnsafePointer<CChar>?, Int, OpaquePointer?, UnsafePointer<subrosa_device_options>?,
        UnsafeMutablePointer<OpaquePointer?>?, UnsafeMutablePointer<OpaquePointer?>?
    ) -> Int32

    private static func make(at folder: URL, key: Key, options: DeviceOptions, by make: Making) throws -> Device {
        let handle = try folder.path.withText { path, length in
            try options.withRaw { options in
                try key.handle.use { key in
                    try Handle.made(closing: closing) { make(path, length, key, options, $0, $1) }
                }
            }
        }
        return Device(handle)
    }

    /// Stops sync, ends waits and transactions (they throw `CLOSED`), and closes the file. Twice does nothing.
    public func close() throws {
        try handle.use { device in
            do {
                try call { subrosa_device_close(device, $0) }
            } catch let error as SubrosaError where error.code == .invalidHandle {
                // Closed before.
            }
        }
    }

    /// As the other `close`, off the calling actor; in a cancelled task too.
    public func close() async throws {
        try await offloadAlways { try self.closeNow() }
    }

    private func closeNow() throws { try close() }

    /// This device's public key: what others know it by.
    public func publicKey() throws -> PublicKey {
        var raw = subrosa_public_key()
        try handle.use { device in try call { subrosa_device_public_key(device, &raw, $0) } }
        return PublicKey(raw)
    }

    /// The name that it was created with.
    public func name() throws -> String {
        try handle.use { device in try withBuffer({ subrosa_device_name(device, $0, $1) }, \.text) }
    }
}

// MARK: - Life in an app

extension Device {
    /// Stops sync, ends transactions and closes the file, so that the system may freeze the process: iOS kills an app that
    /// holds a file lock in a shared container. Calls throw `SUSPENDED` until ``resume()``.
    public func suspend(deadline: Duration = .seconds(5)) throws {
        try handle.use { device in try call { subrosa_suspend(device, deadline.milliseconds, $0) } }
    }

    /// As the other `suspend`, off the calling actor; in a cancelled task too, since a background task whose time is over
    /// must still give up the file.
    public func suspend(deadline: Duration = .seconds(5)) async throws {
        try await offloadAlways {
            try self.handle.use { device in try call { subrosa_suspend(device, deadline.milliseconds, $0) } }
        }
    }

    /// Opens the file again and goes on to sync if it did.
    public func resume() throws {
        try handle.use { device in try call { subrosa_resume(device, $0) } }
    }

    /// As the other `resume`, off the calling actor; in a cancelled task too.
    public func resume() async throws {
        try await offloadAlways { try self.handle.use { device in try call { subrosa_resume(device, $0) } } }
    }

    /// Says that the network is another one, so that sync dials again at once instead of waiting for a timeout.
    public func networkChanged() throws {
        try handle.use { device in try call { subrosa_network_changed(device, $0) } }
    }
}

// MARK: - Care of the store

/// What a check of the whole store found.
public struct VerifyReport: Sendable, Equatable {
    public let vaults, logs, segments, badSegments, uncertifiedLogs, quarantined: UInt64
    /// The account of free pages was wrong and has been made anew.
    public let repaired: Bool

    /// Every segment's place, chain and signature hold. Logs of devices that no control entry lists here so far are no fault.
    public var isGood: Bool { badSegments == 0 }
}

/// What the store's file is filled with.
public struct SpaceReport: Sendable, Equatable {
    public let fileBytes, liveBytes, deadBytes: UInt64
}

extension Device {
    /// Reads and checks everything that is stored.
    public func verify() throws -> VerifyReport {
        var raw = subrosa_verify_report()
        raw.struct_size = UInt32(MemoryLayout<subrosa_verify_report>.size)
        try handle.use { device in try call { subrosa_device_verify(device, &raw, $0) } }
        return VerifyReport(
            vaults: raw.vaults, logs: raw.logs, segments: raw.segments, badSegments: raw.bad_segments,
            uncertifiedLogs: raw.uncertified_logs, quarantined: raw.quarantined, repaired: raw.repaired != 0)
    }

    /// Gives free pages of the file back to the system.
    public func compact() throws {
        try handle.use { device in try call { subrosa_device_compact(device, $0) } }
    }

    /// How large the file is, and how much of it is needed.
    public func space() throws -> SpaceReport {
        var raw = subrosa_space_report()
        raw.struct_size = UInt32(MemoryLayout<subrosa_space_report>.size)
        try handle.use { device in try call { subrosa_device_space(device, &raw, $0) } }
        return SpaceReport(fileBytes: raw.file_bytes, liveBytes: raw.live_bytes, deadBytes: raw.dead_bytes)
    }
}

// MARK: - The relay

extension Device {
    /// Stores the relay's URL for later starts; nil forgets it.
    public func setRelay(_ url: String?) throws {
        try handle.use { device in
            try url.withText { url, length in try call { subrosa_device_set_relay(device, url, length, $0) } }
        }
    }

    /// The stored relay's URL. It may hold an invite, which is a secret until it is used; nobody wipes the string.
    public func relay() throws -> String? {
        let url = try handle.use { device in try withSecret({ subrosa_device_relay(device, $0, $1) }, \.text) }
        return url.isEmpty ? nil : url
    }
}

// MARK: - Vaults

extension Device {
    /// The names of the vaults that this device is in.
    public func vaults() throws -> [String] {
        try handle.use { device in try List.made { subrosa_device_vaults(device, $0, $1) }.texts() }
    }

    /// Makes a vault: `VAULT_EXISTS`, `VAULT_NAME`.
    public func createVault(_ name: String) throws -> Vault {
        try makeVault { device, out, error in
            name.withText { subrosa_vault_create(device, $0, $1, out, error) }
        }
    }

    /// The vault of this name: `NO_VAULT`.
    public func vault(_ name: String) throws -> Vault {
        try makeVault { device, out, error in
            name.withText { subrosa_vault_open(device, $0, $1, out, error) }
        }
    }

    /// The vault with this id: `NO_VAULT`.
    public func vault(id: VaultID) throws -> Vault {
        var raw = id.raw
        return try makeVault { device, out, error in subrosa_vault_open_by_id(device, &raw, out, error) }
    }

    private func makeVault(
        by make: (OpaquePointer, UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    ) throws -> Vault {
        try handle.use { device in
            Vault(try .made(closing: subrosa_vault_close) { make(device, $0, $1) }, of: self)
        }
    }
}
