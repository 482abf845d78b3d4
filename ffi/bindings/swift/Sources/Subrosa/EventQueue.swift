import CSubrosa
import Foundation

/// What happened to a record.
public enum Change: Sendable, Hashable {
    case inserted(RecordID, collection: String)
    case updated(RecordID, collection: String)
    case removed(RecordID, collection: String)
    /// More happened than the queue holds: read again what you show. Changes after this one follow.
    case lagged
}

/// What happened in sync.
public enum SyncEvent: Sendable, Hashable {
    case state(Sync.State)
    /// What the relay had of this vault is stored here.
    case caughtUp(VaultID)
    /// Everything of this vault is here and there.
    case synced(VaultID)
    /// The relay refuses this vault with its code (docs/PROTOCOL.md), and is asked again later.
    case refused(VaultID, code: Int32, retryAfter: Duration)
    /// The relay hides or has lost something of this vault.
    case disagrees(VaultID)
    /// An admin of this vault uses a newer version: it is received, and nothing is sent before an update.
    case updateNeeded(VaultID)
    /// The relay claims another future of this device's log in this vault and does not show it: nothing is sent to it.
    case disputed(VaultID)
    /// A device's store was copied or put back and went on twice in this vault; everything of both is kept and merged.
    case forked(VaultID)
    /// This device's clock and the relay's differ by more than five minutes: by so much it is ahead, or behind if negative; zero once
    /// they agree again. Sync goes on all the same.
    case clock(ahead: Duration)
    /// Something that was made more than five minutes ahead of this device's clock is held, the first of it until then, in Unix
    /// milliseconds; 0 when nothing is held any more.
    case held(untilMilliseconds: Int64)
    /// More happened than the queue holds.
    case lagged
}

/// One event of an ``EventQueue``.
public struct Event: Sendable, Hashable {
    /// What the source was added with.
    public let tag: UInt64
    public let kind: Kind

    public enum Kind: Sendable, Hashable {
        case change(Change)
        case sync(SyncEvent)
        /// Too much happened at this source.
        case lagged
        /// The source has ended: its device was closed or its sync stopped.
        case over
        /// An event that this package does not know.
        case unknown(Int32)
    }
}

/// A queue of events from any number of sources. ``Vault/changes()``, ``Vault/Collection/changes()`` and ``Sync/events()``
/// are made of it and easier to use.
///
/// Events are pulled: nothing is delivered to a thread that does not ask. The queue closes when nobody refers to it. It keeps
/// its sources, and so their device and sync, alive until they are removed or the queue is closed.
public final class EventQueue: Sendable {
    private let handle: Handle
    private let sources = Sources()

    public init() throws {
        handle = try .made(closing: { _ = subrosa_events_close($0, nil) }) { subrosa_events_new($0, $1) }
    }

    /// Adds what happens in a vault from now on.
    public func add(_ vault: Vault, tag: UInt64 = 0) throws {
        try add(vault, vault.handle, tag) { subrosa_events_add_vault($0, $1, tag, $2) }
    }

    /// Adds what happens in a collection from now on.
    public func add<Element>(_ collection: Vault.Collection<Element>, tag: UInt64 = 0) throws {
        try add(collection, collection.handle, tag) { subrosa_events_add_collection($0, $1, tag, $2) }
    }

    /// Adds what happens in a sync from now on.
    public func add(_ sync: Sync, tag: UInt64 = 0) throws {
        try add(sync, sync.handle, tag) { subrosa_events_add_sync($0, $1, tag, $2) }
    }

    private func add(
        _ source: any Sendable, _ sourceHandle: Handle, _ tag: UInt64,
        by add: (OpaquePointer, OpaquePointer, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    ) throws {
        try handle.use { events in try sourceHandle.use { source in try call { add(events, source, $0) } } }
        sources.hold(source, tag: tag)
    }

    /// Removes all sources of this tag, and their queued events.
    public func remove(tag: UInt64) throws {
        try handle.use { events in try call { subrosa_events_remove(events, tag, $0) } }
        sources.letGo(tag: tag)
    }

    /// The next event that is there already, or nil. Does not wait.
    public func poll() throws -> Event? {
        try take(timeout: 0, cancel: nil)
    }

    /// Waits for the next event; nil when none came in time. Nil is no limit. Throws `CancellationError` when the task is
    /// cancelled, and `CLOSED` when the queue is closed.
    public func next(timeout: Duration? = nil) async throws -> Event? {
        try Task.checkCancellation()
        // A thread waits only when there is nothing to take.
        if let event = try poll() { return event }
        return try await wait { try self.take(timeout: timeout.milliseconds, cancel: $0) }
    }

    /// Ends waits, and the queue.
    public func close() {
        handle.close()
        sources.letGo()
    }

    private func take(timeout: Int32, cancel: OpaquePointer?) throws -> Event? {
        var raw = subrosa_event()
        raw.struct_size = UInt32(MemoryLayout<subrosa_event>.size)
        defer { subrosa_event_free(&raw) }
        try handle.use { events in try call { subrosa_events_wait(events, timeout, cancel, &raw, $0) } }
        return raw.kind == SUBROSA_EVENT_NONE ? nil : Event(raw)
    }
}

/// What feeds a queue, by tag. What is let go may close its device, so that happens without the lock.
private final class Sources: @unchecked Sendable {
    private let lock = NSLock()
    private var held: [UInt64: [any Sendable]] = [:]

    func hold(_ source: any Sendable, tag: UInt64) {
        lock.withLock { held[tag, default: []].append(source) }
    }

    func letGo(tag: UInt64) {
        _ = lock.withLock { held.removeValue(forKey: tag) }
    }

    func letGo() {
        _ = lock.withLock {
            defer { held = [:] }
            return held
        }
    }
}

extension Event {
    init(_ raw: subrosa_event) {
        tag = raw.tag
        let vault = VaultID(raw.vault)
        switch raw.kind {
        case SUBROSA_EVENT_RECORD: kind = Self.change(raw).map(Kind.change) ?? .unknown(raw.kind)
        case SUBROSA_EVENT_LAGGED: kind = .lagged
        case SUBROSA_EVENT_SYNC_STATE: kind = .sync(.state(Sync.State(raw.detail)))
        case SUBROSA_EVENT_CAUGHT_UP: kind = .sync(.caughtUp(vault))
        case SUBROSA_EVENT_SYNCED: kind = .sync(.synced(vault))
        case SUBROSA_EVENT_REFUSED:
            kind = .sync(.refused(vault, code: raw.detail, retryAfter: .milliseconds(raw.number)))
        case SUBROSA_EVENT_DISAGREES: kind = .sync(.disagrees(vault))
        case SUBROSA_EVENT_UPDATE_NEEDED: kind = .sync(.updateNeeded(vault))
        case SUBROSA_EVENT_DISPUTED: kind = .sync(.disputed(vault))
        case SUBROSA_EVENT_FORKED: kind = .sync(.forked(vault))
        case SUBROSA_EVENT_CLOCK: kind = .sync(.clock(ahead: .milliseconds(raw.number)))
        case SUBROSA_EVENT_HELD: kind = .sync(.held(untilMilliseconds: raw.number))
        case SUBROSA_EVENT_OVER: kind = .over
        default: kind = .unknown(raw.kind)
        }
    }

    private static func change(_ raw: subrosa_event) -> Change? {
        let id = RecordID(raw.record)
        let collection = UnsafeRawBufferPointer(start: raw.text.data, count: raw.text.len).text
        return switch raw.detail {
        case SUBROSA_CHANGE_INSERTED: .inserted(id, collection: collection)
        case SUBROSA_CHANGE_UPDATED: .updated(id, collection: collection)
        case SUBROSA_CHANGE_REMOVED: .removed(id, collection: collection)
        default: nil
        }
    }
}
