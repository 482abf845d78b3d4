import Foundation
import Observation
import Subrosa

/// A note as it is stored.
public struct Note: Codable, Sendable, Hashable {
    public var title: String
    public var done: Bool

    public init(title: String, done: Bool = false) {
        self.title = title
        self.done = done
    }
}

/// What the views show. Owns the collection and follows its changes, whoever makes them: this device or another.
@MainActor
@Observable
public final class NotesStore {
    /// The notes in the order of their ids, which is the order in which they were made.
    public private(set) var notes: [Row<Note>] = []
    /// Records of the collection that are no notes, such as those of a later version of the app.
    public private(set) var unreadable: Set<RecordID> = []
    /// What the last action failed with.
    public private(set) var problem: String?

    @ObservationIgnored private let vault: Vault
    @ObservationIgnored private let collection: Vault.Collection<Note>
    @ObservationIgnored private let life: AppLife

    public init(vault: Vault, life: AppLife) throws {
        self.vault = vault
        self.life = life
        collection = try vault.collection("notes")
    }

    /// Shows the notes and what happens to them, until the task is cancelled: `.task { await store.follow() }`. Begins anew
    /// whenever the device is in use again after it was suspended.
    public func follow() async {
        var showing: Task<Void, Never>?
        for await _ in life.timesInUse() {
            showing?.cancel()
            await showing?.value
            showing = Task { await show() }
        }
        showing?.cancel()
        await showing?.value
    }

    private func show() async {
        do {
            // Subscribed before the first read, so that nothing falls between the two.
            let changes = try collection.changes()
            try await reload()
            for try await change in changes { try await apply(change) }
        } catch is CancellationError {
            // The view went away, or the device was suspended and is in use again.
        } catch SubrosaError.Code.suspended {
            // Everything is read again once the device is in use.
        } catch {
            problem = "\(error)"
        }
    }

    /// Makes a note.
    public func add(_ title: String) async {
        await act { collection, tx in try collection.insert(Note(title: title), in: tx) }
    }

    /// Ticks a note off, or on again.
    public func toggle(_ row: Row<Note>) async {
        var note = row.value
        note.done.toggle()
        let changed = note
        await act { collection, tx in try collection.put(row.id, changed, in: tx) }
    }

    /// Removes the notes that are ticked off, all at once.
    public func removeDone() async {
        await act { collection, tx in
            for row in try collection.allResults(in: tx) {
                if let note = try? row.value.get(), note.done { try collection.delete(row.id, in: tx) }
            }
        }
    }

    /// Writes off the main actor. The views change when the change comes back by ``follow()``, as those of others do.
    private func act(_ body: @escaping @Sendable (Vault.Collection<Note>, Transaction) throws -> some Any) async {
        let collection = collection
        do {
            try await vault.write { tx in _ = try body(collection, tx) }
            problem = nil
        } catch {
            problem = "\(error)"
        }
    }

    private func reload() async throws {
        let collection = collection
        let rows = try await vault.read { tx in try collection.allResults(in: tx) }
        notes = rows.compactMap { row in (try? row.value.get()).map { Row(id: row.id, value: $0) } }
        unreadable = Set(rows.map(\.id)).subtracting(notes.map(\.id))
    }

    private func apply(_ change: Change) async throws {
        switch change {
        case .inserted(let id, _), .updated(let id, _): try await reload(id)
        case .removed(let id, _): hide(id)
        case .lagged: try await reload()
        }
    }

    private func reload(_ id: RecordID) async throws {
        let collection = collection
        do {
            // Without one it was removed meanwhile, and that comes as the next change.
            guard let note = try await vault.read({ tx in try collection.get(id, in: tx) }) else { return }
            place(Row(id: id, value: note))
        } catch is DecodingError {
            hide(id)
            unreadable.insert(id)
        }
    }

    private func place(_ row: Row<Note>) {
        unreadable.remove(row.id)
        if let index = notes.firstIndex(where: { $0.id >= row.id }) {
            if notes[index].id == row.id { notes[index] = row } else { notes.insert(row, at: index) }
        } else {
            notes.append(row)
        }
    }

    private func hide(_ id: RecordID) {
        unreadable.remove(id)
        notes.removeAll { $0.id == id }
    }
}
