import Foundation
import Subrosa
import XCTest

final class ConcurrencyTests: StoreTestCase {
    func testEightTasksUseOneCollection() async throws {
        let (device, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let changes = try notes.changes()
        try await withThrowingTaskGroup(of: [RecordID].self) { group in
            for task in 0..<8 {
                group.addTask {
                    var ids: [RecordID] = []
                    for number in 0..<25 {
                        let id = try await vault.write { tx in
                            try notes.insert(Note(title: "\(task) \(number)"), in: tx)
                        }
                        ids.append(id)
                        let title = try await vault.read { tx in try notes.get(id, in: tx)?.title }
                        XCTAssertEqual(title, "\(task) \(number)")
                        XCTAssertEqual(try device.vaults(), ["personal"])
                    }
                    return ids
                }
            }
            var ids = Set<RecordID>()
            for try await more in group { ids.formUnion(more) }
            XCTAssertEqual(ids.count, 200)
            var seen = Set<RecordID>()
            var iterator = changes.makeAsyncIterator()
            while seen.count < 200, case .inserted(let id, _) = try await iterator.next() { seen.insert(id) }
            XCTAssertEqual(seen, ids)
        }
        XCTAssertEqual(try notes.count(), 200)
    }

    func testClosingWhileOthersWorkEndsThemAll() async throws {
        let (device, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let changes = try notes.changes()
        await withTaskGroup(of: SubrosaError.Code?.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    do {
                        while true { try await vault.write { tx in try notes.insert(Note(title: "x"), in: tx) } }
                    } catch {
                        return (error as? SubrosaError)?.code
                    }
                }
            }
            // Close once they are at it.
            group.addTask {
                do {
                    _ = try await changes.first { _ in true }
                    try await device.close()
                    return .closed
                } catch {
                    return (error as? SubrosaError)?.code
                }
            }
            for await code in group { XCTAssertTrue(code == .closed || code == .txOver, "\(String(describing: code))") }
        }
    }

    func testMoreWaitsThanADispatchQueueHasThreads() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let sequences = try (0..<100).map { _ in try notes.changes() }
        let consumers = sequences.map { sequence in Task { try await sequence.first { _ in true } } }
        let id = try await vault.write { tx in try notes.insert(Note(title: "for all"), in: tx) }
        for consumer in consumers {
            let change = try await consumer.value
            XCTAssertEqual(change, .inserted(id, collection: "notes"))
        }
    }

    func testMoreWritersThanADispatchQueueHasThreads() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let (begun, ended) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            do {
                try vault.write { _ in
                    begun.signal()
                    ended.wait()
                }
            } catch {
                XCTFail("\(error)")
            }
        }
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                begun.wait()
                continuation.resume()
            }
        }
        async let count = withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    _ = try await vault.write(timeout: nil) { tx in
                        try notes.insert(Note(title: "\(number)"), in: tx)
                    }
                }
            }
            try await group.waitForAll()
            return try notes.count()
        }
        // Readers get through while two hundred writers wait for the first.
        let before = try await vault.read { tx in try notes.count(in: tx) }
        XCTAssertEqual(before, 0)
        ended.signal()
        let after = try await count
        XCTAssertEqual(after, 200)
    }

    func testAWriteWaitsForATransactionAsLongAsTheOptionsSay() throws {
        let device = try Device.create(at: path("a"), key: .generate(), options: .init(writeWait: .milliseconds(20)))
        let vault = try device.createVault("personal")
        let notes = try vault.collection("notes", of: Note.self)
        let transaction = try vault.begin(.write)
        XCTAssertThrowsError(try onAnotherThread { _ = try notes.insert(Note(title: "x")) }) { error in
            XCTAssertEqual((error as? SubrosaError)?.code, .busy, "\(error)")
            XCTAssertEqual((error as? SubrosaError)?.retryable, true)
        }
        // The thread of the transaction would wait for itself.
        XCTAssertThrowsError(try notes.insert(Note(title: "x"))) { error in
            XCTAssertEqual((error as? SubrosaError)?.code, .busy, "\(error)")
            XCTAssertEqual((error as? SubrosaError)?.retryable, false)
        }
        try transaction.commit()
        try onAnotherThread { try notes.insert(Note(title: "x")) }
        XCTAssertEqual(try notes.count(), 1)
    }

    private func onAnotherThread(_ body: @escaping @Sendable () throws -> Void) throws {
        nonisolated(unsafe) var result = Result<Void, any Error>.success(())
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            result = Result(catching: body)
            ended.signal()
        }
        ended.wait()
        try result.get()
    }

    func testATransactionUsedByTwoThreadsIsBusyAndSound() throws {
        // Transaction is not Sendable, so the compiler has to be told to look away.
        struct Smuggled: @unchecked Sendable { let transaction: Transaction }
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let smuggled = Smuggled(transaction: try vault.begin(.write))
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for _ in 0..<50 {
                do {
                    try notes.insert(Note(title: "x"), in: smuggled.transaction)
                } catch {
                    XCTAssertEqual((error as? SubrosaError)?.code, .busy, "\(error)")
                }
            }
        }
        try smuggled.transaction.commit()
        XCTAssertTrue(try vault.collections() == ["notes"])
    }
}
