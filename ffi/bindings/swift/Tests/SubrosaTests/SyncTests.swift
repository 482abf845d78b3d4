import Foundation
import Subrosa
import XCTest

final class SyncTests: StoreTestCase {
    func testTwoDevicesPairAndSync() async throws {
        let relay = try relay()
        let (laptop, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let id = try notes.insert(Note(title: "Call Anna"))
        let sync = try laptop.sync(relay: relay)
        assertThrows(.busy) { try laptop.sync(relay: relay) }
        try await sync.wait()
        // Live, unless something is just on its way.
        XCTAssertTrue([.live, .syncing].contains(try sync.status().state))
        XCTAssertNil(try sync.status().failure)
        let reason = try sync.reason()
        XCTAssertTrue(reason.hasPrefix("live") || reason.hasPrefix("syncing"), reason)

        let (phone, info) = try await pair(laptop, with: relay, name: "phone")
        XCTAssertEqual(info.name, "phone")
        XCTAssertEqual(info.publicKey, try phone.publicKey())
        XCTAssertEqual(try vault.devices().map(\.name), ["laptop", "phone"])

        let theirs = try phone.sync()
        let personal = try phone.vault("personal")
        let copy = try personal.collection("notes", of: Note.self)
        try await theirs.wait()
        XCTAssertEqual(try copy.get(id), Note(title: "Call Anna"))
        XCTAssertGreaterThan(try vault.delivery(relay: relay).acknowledged, 0)

        var changes = try notes.changes().makeAsyncIterator()
        try copy.put(id, Note(title: "Call Anna", done: true))
        let change = try await changes.next()
        XCTAssertEqual(change, .updated(id, collection: "notes"))
        XCTAssertEqual(try notes.get(id)?.done, true)
        try sync.stop()
        try sync.stop()
        assertThrows(.invalidHandle) { try sync.status() }
    }

    func testSyncEventsEndWithTheSync() async throws {
        let relay = try relay()
        let (device, vault) = try makeVault()
        try vault.collection("notes", of: Note.self).insert(Note(title: "a"))
        let sync = try device.sync(relay: relay)
        let (events, id) = (try sync.events(), try vault.id())
        let consumer = Task {
            var seen: [SyncEvent] = []
            for try await event in events { seen.append(event) }
            return seen
        }
        try await sync.wait()
        try sync.stop()
        let seen = try await consumer.value
        XCTAssertTrue(seen.contains(.synced(id)), "\(seen)")
        XCTAssertTrue(seen.allSatisfy { if case .synced(let vault) = $0 { vault == id } else { true } }, "\(seen)")
    }

    func testASyncRunsAsLongAsItsEventsAreReadAndNoLonger() async throws {
        let relay = try relay()
        let (device, vault) = try makeVault()
        let id = try vault.id()
        try await untilSynced(id, try device.sync(relay: relay).events())
        // Another may start.
        try device.sync(relay: relay).stop()
    }

    private func untilSynced(_ vault: VaultID, _ events: EventSequence<SyncEvent>) async throws {
        for try await event in events where event == .synced(vault) { return }
        XCTFail("the sync ended")
    }

    func testWhoAsksLaterIsToldOfAStoreThatWentOnTwice() async throws {
        let relay = try relay()
        let key = try Key.generate()
        let (first, copied) = (path("a"), path("copied"))
        let device = try Device.create(at: first, key: key, options: .init(name: "laptop"))
        let vault = try device.createVault("personal")
        XCTAssertEqual(try vault.forks(), [])
        XCTAssertEqual(try vault.held(), HeldGroups(devices: [], clockIsLate: false))
        XCTAssertFalse(try vault.isUpdateNeeded())
        try await writeAndSync(device, with: relay)
        try FileManager.default.copyItem(at: first, to: copied)
        try await writeAndSync(try Device.open(at: first, key: key), with: relay)
        try await writeAndSync(try Device.open(at: copied, key: key), with: relay)
        let later = try Device.open(at: copied, key: key)
        let forks = try later.vault("personal").forks()
        XCTAssertEqual(forks.map(\.name), ["laptop"])
        XCTAssertEqual(forks.map(\.isThis), [true])
        XCTAssertEqual(forks.map(\.futures), [1])
        XCTAssertEqual(forks.map(\.publicKey), [try later.publicKey()])
    }

    private func writeAndSync(_ device: Device, with relay: String) async throws {
        try device.vault("personal").collection("notes", of: Note.self).insert(Note(title: "a"))
        let sync = try device.sync(relay: relay)
        try await sync.wait()
        XCTAssertEqual(try sync.vaults(), [])
        let status = try sync.status()
        XCTAssertEqual(status.clockAheadMilliseconds, 0)
        XCTAssertEqual(status.heldUntilMilliseconds, 0)
        try await device.close()
    }

    func testAWaitForAnAbsentRelayIsCancelled() async throws {
        let (device, _) = try makeVault()
        let sync = try device.sync(relay: absent())
        for delay in 0..<10 {
            let waiting = Task { try await sync.wait(idle: nil) }
            for _ in 0..<delay * 50 { await Task.yield() }
            waiting.cancel()
            let result = await waiting.result
            XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
        }
        XCTAssertNotEqual(try sync.status().state, .live)
    }

    func testAWaitWithoutProgressEnds() async throws {
        let (device, _) = try makeVault()
        let sync = try device.sync(relay: absent())
        await assertThrowsAsync(.noProgress) { try await sync.wait(idle: .milliseconds(50)) }
    }

    func testClosingTheDeviceEndsAWait() async throws {
        let (device, _) = try makeVault()
        let sync = try device.sync(relay: absent())
        async let waiting: Void = sync.wait(idle: nil)
        try await device.close()
        do {
            try await waiting
            XCTFail("nothing was synced")
        } catch let error as SubrosaError {
            XCTAssertTrue([.closed, .syncStopped, .invalidHandle].contains(error.code), "\(error)")
        }
    }

    func testAnOfferThatNobodyAnswers() async throws {
        let relay = try relay()
        let (device, _) = try makeVault()
        let offer = try device.pairOffer(relay: relay)
        XCTAssertFalse(try offer.link().isEmpty)
        await assertThrowsAsync(.timeout) { try await offer.request(timeout: .milliseconds(20)) }
        await assertThrowsAsync(.notReady) { try await offer.confirm(typed: "123456") }
        let waiting = Task { try await offer.request() }
        waiting.cancel()
        let result = await waiting.result
        XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
        offer.close()
        assertThrows(.invalidHandle) { try offer.link() }
    }

    func testADeviceThatIsTurnedAway() async throws {
        let relay = try relay()
        let (device, _) = try makeVault()
        let offer = try device.pairOffer(relay: relay)
        let join = try Device.pairJoin(at: path("b"), key: .generate(), link: offer.link())
        async let code = join.code(timeout: .seconds(30))
        let request = try await offer.request(timeout: .seconds(30))
        let shown = try await code
        XCTAssertEqual(request.code, shown)
        try offer.decline()
        await assertThrowsAsync(.pairDeclined) { try await join.device(timeout: .seconds(30)) }
        assertThrows(.pairLink) { try Device.pairJoin(at: self.path("c"), key: .generate(), link: "no link") }
    }

    private func pair(
        _ old: Device, with relay: String, name: String
    ) async throws -> (device: Device, info: DeviceInfo) {
        let offer = try old.pairOffer(relay: relay)
        let join = try Device.pairJoin(at: path(name), key: .generate(), options: .init(name: name), link: offer.link())
        async let code = join.code(timeout: .seconds(30))
        _ = try await offer.request(timeout: .seconds(30))
        let typed = try await code
        async let device = join.device(timeout: .seconds(30))
        let info = try await offer.confirm(typed: typed)
        return (try await device, info)
    }

    /// The address of a relay that is not there: the discard port, and a key of nobody.
    private func absent() throws -> String {
        guard let url = ProcessInfo.processInfo.environment["SUBROSA_TEST_RELAY"],
            let address = url.firstMatch(of: /127\.0\.0\.1:[0-9]+/)
        else { throw XCTSkip("SUBROSA_TEST_RELAY is not set") }
        return url.replacingCharacters(in: address.range, with: "127.0.0.1:9")
    }
}
