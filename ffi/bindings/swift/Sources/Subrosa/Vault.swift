import CSubrosa
import Foundation

/// A vault: collections of records that a group of devices shares. May be used by any number of threads.
public final class Vault: Sendable {
    let handle: Handle
    /// Keeps the device open while the vault is in use.
    let device: Device

    init(_ handle: Handle, of device: Device) {
        self.handle = handle
        self.device = device
    }

    /// What names the vault on every device.
    public func id() throws -> VaultID {
        var raw = subrosa_vault_id()
        try handle.use { vault in try call { subrosa_vault_id_of(vault, &raw, $0) } }
        return VaultID(raw)
    }

    public func name() throws -> String {
        try handle.use { vault in try withBuffer({ subrosa_vault_name(vault, $0, $1) }, \.text) }
    }

    /// The names of the collections that hold a record.
    public func collections() throws -> [String] {
        try handle.use { vault in try List.made { subrosa_vault_collections(vault, $0, $1) }.texts() }
    }

    /// The devices that are in the vault.
    public func devices() throws -> [DeviceInfo] {
        try handle.use { vault in try List.made { subrosa_vault_devices(vault, $0, $1) }.devices() }
    }

    /// The devices whose stores were copied or put back from a backup, and went on twice. ``SyncEvent/forked(_:)`` says that there
    /// is another.
    public func forks() throws -> [ForksOfDevice] {
        try handle.use { vault in try List.made { subrosa_vault_forks(vault, $0, $1) }.forks() }
    }

    /// What is held because it was made more than five minutes ahead of this device's clock.
    /// ``SyncEvent/held(untilMilliseconds:)`` says when that changes.
    public func held() throws -> HeldGroups {
        var late = false
        let devices = try handle.use { vault in
            try List.made { list, error in subrosa_vault_held(vault, list, &late, error) }.held()
        }
        return HeldGroups(devices: devices, clockIsLate: late)
    }

    /// Whether an admin has written what only a newer version understands: nothing is sent before the application is updated.
    public func isUpdateNeeded() throws -> Bool {
        var needed = false
        try handle.use { vault in try call { subrosa_vault_is_update_needed(vault, &needed, $0) } }
        return needed
    }

    /// How much waits for sealing: records with edits that no segment holds yet, and parts of bulk writes.
    public func pending() throws -> UInt64 {
        var count: UInt64 = 0
        try handle.use { vault in try call { subrosa_vault_pending(vault, &count, $0) } }
        return count
    }

    /// How many sealed segments are held here, and how many of them `relay` (nil: the stored one) is known to hold durably:
    /// `RELAY_ADDRESS`, `NO_RELAY`.
    public func delivery(relay: String? = nil) throws -> Delivery {
        var held: UInt64 = 0
        var acknowledged: UInt64 = 0
        try handle.use { vault in
            try relay.withText { relay, length in
                try call { subrosa_vault_delivery(vault, relay, length, &held, &acknowledged, $0) }
            }
        }
        return Delivery(held: held, acknowledged: acknowledged)
    }

    /// A collection by name, 1 to 128 bytes; it need not hold anything yet.
    public func collection<Element>(
        _ name: String, of type: Element.Type = Element.self
    ) throws -> Collection<Element> {
        try handle.use { vault in
            try name.withText { text, length in
                Collection(
                    try .made(closing: subrosa_collection_close) {
                        subrosa_collection_open(vault, text, length, $0, $1)
                    }, name: name, of: self)
            }
        }
    }

    /// Lets go of the vault now; collections of it go on.
    public func close() {
        handle.close()
    }
}

/// How much of a vault a relay has.
public struct Delivery: Sendable, Equatable {
    /// Sealed segments that are held here.
    public let held: UInt64
    /// Those of them that the relay is known to hold durably.
    public let acknowledged: UInt64
}

// MARK: - Transactions

extension Vault {
    /// Whether a transaction may write.
    public enum Mode: Sendable {
        /// A snapshot: what others do meanwhile does not show.
        case read
        /// One at a time per device; what it did arrives everywhere at once, or not at all.
        case write
    }

    /// Begins a transaction, to be ended with ``Transaction/commit()`` or ``Transaction/abort()``. ``read(_:)`` and
    /// ``write(timeout:_:)`` do both and are harder to get wrong. A second writer waits as long as `timeout`: then `BUSY`; at
    /// once where the first was begun on the same thread, so do not hold a write transaction across an `await`.
    public func begin(_ mode: Mode, timeout: Duration? = .zero) throws -> Transaction {
        let raw = mode == .write ? SUBROSA_TX_WRITE : SUBROSA_TX_READ
        return try handle.use { vault in
            Transaction(
                try .made(closing: subrosa_tx_abort) {
                    subrosa_tx_begin(vault, raw, timeout.milliseconds, $0, $1)
                }, of: self)
        }
    }

    /// Runs `body` in a write transaction: commits what it did when it returns, undoes it when it throws.
    @discardableResult
    public func write<Result>(timeout: Duration? = .seconds(30), _ body: (Transaction) throws -> Result) throws -> Result {
        let transaction = try begin(.write, timeout: timeout)
        defer { transaction.abort() }
        let result = try body(transaction)
        try transaction.commit()
        return result
    }

    /// Runs `body` on a snapshot.
    public func read<Result>(_ body: (Transaction) throws -> Result) throws -> Result {
        let transaction = try begin(.read)
        defer { transaction.abort() }
        return try body(transaction)
    }

    /// As the other `write`, off the calling actor. Async writers take their turns in order; `timeout` is for writers of the
    /// other kind.
    @discardableResult
    public func write<Result: Sendable>(
        timeout: Duration? = .seconds(30), _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        let blocking: @Sendable () throws -> Result = { try self.write(timeout: timeout, body) }
        return try await offload(to: device.writers, blocking)
    }

    /// As the other `read`, off the calling actor.
    public func read<Result: Sendable>(
        _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        let blocking: @Sendable () throws -> Result = { try self.read(body) }
        return try await offload(blocking)
    }
}

/// A transaction of one vault. One thread at a time: it is not Sendable, and the library answers `BUSY` to a second one.
public final class Transaction {
    let handle: Handle
    private let vault: Vault

    init(_ handle: Handle, of vault: Vault) {
        self.handle = handle
        self.vault = vault
    }

    /// Stores what the transaction did. It is over, whatever this throws.
    public func commit() throws {
        try handle.use { transaction in try call { subrosa_tx_commit(transaction, $0) } }
    }

    /// Undoes what the transaction did; nothing after it was committed.
    public func abort() {
        handle.close()
    }
}

@available(*, unavailable)
extension Transaction: Sendable {}

extension Optional where Wrapped == Transaction {
    /// NULL is "a transaction of its own".
    func use<Result>(_ body: (OpaquePointer?) throws -> Result) rethrows -> Result {
        guard let self else { return try body(nil) }
        return try self.handle.use { try body($0) }
    }
}
