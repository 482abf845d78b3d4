import Foundation
import Observation
import Subrosa
import XCTest

@testable import Notes

@MainActor
final class NotesStoreTests: XCTestCase, @unchecked Sendable {
    /// A folder that is removed after the test.
    private func makeFolder() -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("notes-\(UUID().uuidString)")
        addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
        return folder
    }

    /// A device with one vault.
    private func makeVault() throws -> (device: Device, vault: Vault) {
        let device = try Device.create(at: makeFolder(), key: .generate())
        return (device, try device.createVault("personal"))
    }

    /// Waits, as a view does, until what the store shows is as it should be.
    private func shown(_ store: NotesStore, until holds: @escaping @MainActor ([Row<Note>]) -> Bool) async {
        await observed(store) { holds($0.notes) }
    }

    private func observed(_ store: NotesStore, until holds: @escaping @MainActor (NotesStore) -> Bool) async {
        while !holds(store) {
            await withCheckedContinuation { continuation in
                withObservationTracking {
                    _ = (store.notes, store.unreadable)
                } onChange: {
                    continuation.resume()
                }
            }
            // onChange comes before the change.
            await Task.yield()
        }
    }

    func testTheStoreShowsWhatHappens() async throws {
        let (device, vault) = try makeVault()
        let store = try NotesStore(vault: vault, life: AppLife(device: device))
        let following = Task { await store.follow() }
        await store.add("Call Anna")
        await shown(store) { $0.map(\.value.title) == ["Call Anna"] }
        await store.add("Water the roses")
        await shown(store) { $0.count == 2 }
        await store.toggle(store.notes[0])
        await shown(store) { $0.first?.value.done == true }
        // Written elsewhere.
        let other = try device.vault("personal").collection("notes", of: Note.self)
        try other.put(store.notes[1].id, Note(title: "Water the roses today"))
        await shown(store) { $0.last?.value.title == "Water the roses today" }
        await store.removeDone()
        await shown(store) { $0.map(\.value.title) == ["Water the roses today"] }
        XCTAssertNil(store.problem)
        following.cancel()
        await following.value
    }

    func testNotesThatAreThereAreShown() async throws {
        let (device, vault) = try makeVault()
        try vault.collection("notes", of: Note.self).insertMany((0..<1000).map { Note(title: "\($0)") })
        let store = try NotesStore(vault: vault, life: AppLife(device: device))
        let following = Task { await store.follow() }
        await shown(store) { $0.count == 1000 }
        XCTAssertEqual(store.notes.map(\.id), store.notes.map(\.id).sorted())
        following.cancel()
        await following.value
    }

    func testAClosedDeviceEndsTheStoreAndIsToldToTheUser() async throws {
        let (device, vault) = try makeVault()
        let store = try NotesStore(vault: vault, life: AppLife(device: device))
        let following = Task { await store.follow() }
        try await device.close()
        following.cancel()
        await following.value
        await store.add("too late")
        XCTAssertTrue(store.problem?.hasPrefix("CLOSED") == true, store.problem ?? "no problem")
    }

    func testTheAppsLifeIsTheDevices() async throws {
        let (device, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let life = AppLife(device: device)
        try await life.enteredBackground()
        try await life.enteredBackground()
        XCTAssertThrowsError(try notes.count()) { XCTAssertEqual(($0 as? SubrosaError)?.code, .suspended) }
        try life.networkChanged()
        try await life.entersForeground()
        try await life.entersForeground()
        try life.networkChanged()
        XCTAssertEqual(try notes.count(), 0)
    }

    func testWhatWasAskedForLastIsHowTheDeviceEnds() async throws {
        let (folder, key) = (makeFolder(), try Key.generate())
        let device = try await Device.create(at: folder, key: key)
        let life = AppLife(device: device)
        for delay in 0..<20 {
            try await life.enteredBackground()
            // The app leaves before, while and after the device resumes.
            let returning = life.change(to: .inUse)
            for _ in 0..<delay { await Task.yield() }
            try await life.enteredBackground()
            XCTAssertThrowsError(try device.space()) { XCTAssertEqual(($0 as? SubrosaError)?.code, .suspended) }
            try await Device.open(at: folder, key: key).close()
            try await returning.value

            try await life.entersForeground()
            let leaving = life.change(to: .suspended)
            for _ in 0..<delay { await Task.yield() }
            try await life.entersForeground()
            XCTAssertNoThrow(try device.space())
            try await leaving.value
        }
    }

    func testAReturnThatFailsCanBeTriedAgain() async throws {
        let (folder, key) = (makeFolder(), try Key.generate())
        let device = try await Device.create(at: folder, key: key)
        let life = AppLife(device: device)
        try await life.enteredBackground()
        let other = try await Device.open(at: folder, key: key)
        do {
            try await life.entersForeground()
            XCTFail("two have the store")
        } catch SubrosaError.Code.storeLocked {
            // As it should.
        }
        try await other.close()
        try await life.entersForeground()
        XCTAssertNoThrow(try device.space())
    }

    func testTheStoreGoesOnAfterASuspensionWithWhatIsThereByThen() async throws {
        let (folder, key) = (makeFolder(), try Key.generate())
        let device = try await Device.create(at: folder, key: key)
        let vault = try device.createVault("personal")
        let life = AppLife(device: device)
        let store = try NotesStore(vault: vault, life: life)
        // Suspended behind the back of `life`, so that the first read is refused.
        try await device.suspend()
        let following = Task { await store.follow() }
        for _ in 0..<100 { await Task.yield() }
        try await life.enteredBackground()
        try await insert("by an extension", at: folder, key: key)
        try await life.entersForeground()
        await shown(store) { $0.map(\.value.title) == ["by an extension"] }
        // Once more, now from the midst of following.
        try await life.enteredBackground()
        try await insert("by another", at: folder, key: key)
        try await life.entersForeground()
        await shown(store) { $0.map(\.value.title) == ["by an extension", "by another"] }
        await store.add("by the app")
        await shown(store) { $0.count == 3 }
        XCTAssertNil(store.problem)
        following.cancel()
        await following.value
    }

    /// What an extension does that has the store meanwhile.
    private func insert(_ title: String, at folder: URL, key: Key) async throws {
        let device = try await Device.open(at: folder, key: key)
        try device.vault("personal").collection("notes").insert(Note(title: title))
        try await device.close()
    }

    func testRecordsThatAreNoNotesAreSkippedAndReported() async throws {
        let (device, vault) = try makeVault()
        let any = try vault.collection("notes", of: Value.self)
        let odd = try any.insert(["title": 5])
        let clash = try any.insertJSON("{\"\u{e9}\":1,\"e\u{301}\":2}")
        let store = try NotesStore(vault: vault, life: AppLife(device: device))
        let following = Task { await store.follow() }
        await store.add("Call Anna")
        await observed(store) { $0.notes.count == 1 && $0.unreadable == [odd, clash] }
        // One that comes while the store follows, and one that becomes a note.
        let late = try any.insert(["name": "no note"])
        await observed(store) { $0.unreadable == [odd, clash, late] }
        try vault.collection("notes").replace(odd, Note(title: "Water the roses", done: true))
        await observed(store) { $0.notes.count == 2 && $0.unreadable == [clash, late] }
        XCTAssertEqual(store.notes.first?.id, odd)
        // What is shown can be used all the same.
        await store.removeDone()
        try any.delete(late)
        await observed(store) { $0.notes.map(\.value.title) == ["Call Anna"] && $0.unreadable == [clash] }
        XCTAssertNil(store.problem)
        following.cancel()
        await following.value
    }
}
