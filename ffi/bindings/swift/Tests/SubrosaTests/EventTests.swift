import Subrosa
import XCTest

final class EventTests: StoreTestCase {
    func testChangesArriveInTheirOrder() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        var changes = try notes.changes().makeAsyncIterator()
        let id = try notes.insert(Note(title: "a"))
        try vault.collection("others", of: Note.self).insert(Note(title: "not watched"))
        try notes.put(id, Note(title: "b"))
        try notes.delete(id)
        let expected: [Change] = [
            .inserted(id, collection: "notes"), .updated(id, collection: "notes"), .removed(id, collection: "notes"),
        ]
        for change in expected {
            let next = try await changes.next()
            XCTAssertEqual(next, change)
        }
    }

    func testAWaitingConsumerSeesAChange() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let changes = try vault.changes()
        let first = Task { try await changes.first { _ in true } }
        let id = try notes.insert(Note(title: "a"))
        let change = try await first.value
        XCTAssertEqual(change, .inserted(id, collection: "notes"))
    }

    func testCancellingTheConsumerEndsTheSequence() async throws {
        let (_, vault) = try makeVault()
        for delay in 0..<20 {
            let changes = try vault.changes()
            let consumer = Task {
                for try await _ in changes { XCTFail("nothing changes") }
                return true
            }
            // Cancelled before, while and after it begins to wait.
            for _ in 0..<delay * 50 { await Task.yield() }
            consumer.cancel()
            let ended = try await consumer.value
            XCTAssertTrue(ended)
        }
    }

    func testClosingTheDeviceEndsTheSequence() async throws {
        let (device, vault) = try makeVault()
        let changes = try vault.changes()
        let consumer = Task {
            for try await _ in changes { XCTFail("nothing changes") }
            return true
        }
        try await device.close()
        let ended = try await consumer.value
        XCTAssertTrue(ended)
    }

    func testClosingTheSequenceWakesItsConsumer() async throws {
        let (_, vault) = try makeVault()
        let changes = try vault.changes()
        let consumer = Task { for try await _ in changes {} }
        await Task.yield()
        changes.close()
        try await consumer.value
        var again = changes.makeAsyncIterator()
        let after = try await again.next()
        XCTAssertNil(after)
    }

    func testAQueueHasManySources() async throws {
        let (device, vault) = try makeVault()
        let work = try device.createVault("work")
        let queue = try EventQueue()
        try queue.add(vault, tag: 1)
        try queue.add(work, tag: 2)
        XCTAssertNil(try queue.poll())
        try vault.collection("a", of: Note.self).insert(Note(title: "1"))
        try work.collection("b", of: Note.self).insert(Note(title: "2"))
        let first = try await queue.next(timeout: .seconds(10))
        let second = try await queue.next(timeout: .seconds(10))
        XCTAssertEqual([first?.tag, second?.tag], [1, 2])
        try work.collection("b", of: Note.self).insert(Note(title: "3"))
        try queue.remove(tag: 2)
        XCTAssertNil(try queue.poll())
        let none = try await queue.next(timeout: .milliseconds(1))
        XCTAssertNil(none)
        queue.close()
        await assertThrowsAsync(.invalidHandle) { try await queue.next() }
    }

    func testAWaitOnAQueueIsCancelled() async throws {
        let queue = try EventQueue()
        let waiting = Task { try await queue.next() }
        waiting.cancel()
        do {
            _ = try await waiting.value
            XCTFail("nothing came")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
        XCTAssertNil(try queue.poll())
    }

    func testWhoListensKeepsTheDeviceOpen() async throws {
        let key = try Key.generate()
        func make(_ name: String) throws -> Vault {
            try Device.create(at: path(name), key: key).createVault("personal")
        }
        func isOpen(_ name: String) throws -> Bool {
            do {
                try Device.open(at: path(name), key: key).close()
                return false
            } catch SubrosaError.Code.storeLocked {
                return true
            }
        }
        let queue = try EventQueue()
        do {
            let changes = try make("sequence").changes()
            let iterator = try make("iterator").collection("notes", of: Note.self).changes().makeAsyncIterator()
            try queue.add(make("removed"), tag: 1)
            try queue.add(make("closed"), tag: 2)
            try withExtendedLifetime((changes, iterator)) {
                for name in ["sequence", "iterator", "removed", "closed"] { XCTAssertTrue(try isOpen(name), name) }
            }
        }
        XCTAssertFalse(try isOpen("sequence"))
        XCTAssertFalse(try isOpen("iterator"))
        try queue.remove(tag: 1)
        XCTAssertFalse(try isOpen("removed"))
        XCTAssertTrue(try isOpen("closed"))
        queue.close()
        XCTAssertFalse(try isOpen("closed"))
    }

    func testAConsumerThatFallsBehindIsToldSo() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        var changes = try notes.changes().makeAsyncIterator()
        // More than the 65536 that the library keeps for one who does not read.
        let written = 2 * 35_000
        for _ in 0..<2 { try notes.insertMany(Array(repeating: Note(title: ""), count: written / 2)) }
        var told = false
        // Never waits: if nothing was dropped, there is an event for each.
        for _ in 0..<written where !told { told = try await changes.next() == .lagged }
        XCTAssertTrue(told)
    }

    func testTheProcessMayEndWithLiveEvents() async throws {
        // Never ended: the test process has to exit with it waiting.
        let queue = try EventQueue()
        Task.detached { try await queue.next() }
        await Task.yield()
    }
}
