import Foundation
import Observation
import Subrosa
import XCTest

@testable import Notes

@MainActor
final class NotesStoreTests: XCTestCase, @unchecked Sendable {
    /// A device with one vault, in a folder that is removed after the test.
    private func makeVault() throws -> (device: Device, vault: Vault) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("notes-\(UUID().uuidString)")
        addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
        let device = try Device.create(at: folder, key: .generate())
        return (device, try device.createVault("personal"))
    }

    /// Waits, as a view does, until what the store shows is as it should be.
    private func shown(_ store: NotesStore, until holds: @escaping @MainActor ([Row<Note>]) -> Bool) async {
        while !holds(store.notes) {
            await withCheckedContinuation { continuation in
                withObservationTracking {
                    _ = store.notes
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
        let store = try NotesStore(vault: vault)
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
        let (_, vault) = try makeVault()
        try vault.collection("notes", of: Note.self).insertMany((0..<1000).map { Note(title: "\($0)") })
        let store = try NotesStore(vault: vault)
        let following = Task { await store.follow() }
        await shown(store) { $0.count == 1000 }
        XCTAssertEqual(store.notes.map(\.id), store.notes.map(\.id).sorted())
        following.cancel()
        await following.value
    }

    func testAClosedDeviceEndsTheStoreAndIsToldToTheUser() async throws {
        let (device, vault) = try makeVault()
        let store = try NotesStore(vault: vault)
        let following = Task { await store.follow() }
        try await device.close()
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
}
