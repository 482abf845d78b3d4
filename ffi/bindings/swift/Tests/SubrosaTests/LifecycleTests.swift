import XCTest

@testable import Subrosa

final class LifecycleTests: StoreTestCase {
    func testTheLoadedLibraryHasTheAbiThatThisPackageNeeds() {
        XCTAssertEqual(SubrosaLibrary.abiVersion, SubrosaLibrary.abiVersionExpected)
        XCTAssertFalse(SubrosaLibrary.version.isEmpty)
    }

    func testAStoreKeepsItsRecords() throws {
        let key = try Key.generate()
        let id: RecordID
        do {
            let device = try Device.create(at: path("a"), key: key, options: .init(name: "laptop"))
            let notes = try device.createVault("personal").collection("notes", of: Note.self)
            id = try notes.insert(Note(title: "Call Anna"))
            try device.close()
        }
        let device = try Device.open(at: path("a"), key: key)
        XCTAssertEqual(try device.name(), "laptop")
        XCTAssertEqual(try device.publicKey(), try key.publicKey())
        XCTAssertEqual(try device.vaults(), ["personal"])
        let notes = try device.vault("personal").collection("notes", of: Note.self)
        XCTAssertEqual(try notes.get(id), Note(title: "Call Anna"))
        XCTAssertTrue(try device.verify().isGood)
        try device.compact()
        XCTAssertGreaterThan(try device.space().fileBytes, 0)
    }

    func testADevicesNameIsChecked() throws {
        for name in ["a\nb", String(repeating: "x", count: 129)] {
            assertThrows(.invalidArgument) { try Device.create(at: path("a"), key: .generate(), options: .init(name: name)) }
        }
    }

    func testLettingGoOfEverythingClosesTheStore() throws {
        let key = try Key.generate()
        do {
            // Only the collection is left: it keeps the device open.
            let notes: Vault.Collection<Note>
            do {
                notes = try Device.create(at: path("a"), key: key).createVault("personal").collection("notes")
            }
            try notes.insert(Note(title: "still open"))
            assertThrows(.storeLocked) { try Device.open(at: path("a"), key: key) }
        }
        XCTAssertEqual(try Device.open(at: path("a"), key: key).vaults(), ["personal"])
    }

    func testAClosedDeviceAnswersClosedThroughItsChildren() throws {
        let (device, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let transaction = try vault.begin(.write)
        try device.close()
        try device.close()
        assertThrows(.closed) { try notes.count() }
        assertThrows(.closed) { try vault.collections() }
        XCTAssertThrowsError(try transaction.commit())
        assertThrows(.invalidHandle) { try device.vaults() }
    }

    func testAClosedChildIsAnErrorAndHarmless() throws {
        let (device, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        notes.close()
        notes.close()
        assertThrows(.invalidHandle) { try notes.count() }
        vault.close()
        assertThrows(.invalidHandle) { try vault.name() }
        XCTAssertEqual(try device.vaults(), ["personal"])
    }

    func testAbandonedHandlesAreClosed() throws {
        let (device, vault) = try makeVault()
        // Far more than a process may hold at once if none were closed.
        for number in 0..<20_000 {
            let notes = try device.vault("personal").collection("notes", of: Note.self)
            _ = try Record()
            if number % 1000 == 0 { try notes.insert(Note(title: "\(number)")) }
        }
        XCTAssertEqual(try vault.collection("notes", of: Note.self).count(), 20)
    }

    func testAnAbandonedTransactionLetsTheNextOneWrite() throws {
        let (_, vault) = try makeVault()
        do {
            let transaction = try vault.begin(.write)
            try vault.collection("notes", of: Note.self).insert(Note(title: "lost"), in: transaction)
        }
        try vault.write { _ in }
        XCTAssertEqual(try vault.collections(), [])
    }

    func testSuspendAndResume() async throws {
        let (device, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let id = try notes.insert(Note(title: "kept"))
        try await device.suspend()
        assertThrows(.suspended) { try notes.get(id) }
        try await device.resume()
        XCTAssertEqual(try notes.get(id), Note(title: "kept"))
        try device.networkChanged()
    }

    func testACancelledTaskStillSuspendsResumesAndCloses() async throws {
        let key = try Key.generate()
        let device = try await Device.create(at: path("a"), key: key)
        try await inACancelledTask { try await device.suspend() }
        assertThrows(.suspended) { try device.space() }
        try await Device.open(at: path("a"), key: key).close()
        try await inACancelledTask { try await device.resume() }
        XCTAssertNoThrow(try device.space())
        try await inACancelledTask { try await device.close() }
        assertThrows(.invalidHandle) { try device.vaults() }
        try await Device.open(at: path("a"), key: key).close()
    }

    private func inACancelledTask(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await body()
        }.value
    }

    func testTheAsyncFormsOpenAndClose() async throws {
        let key = try Key.generate()
        let made = try await Device.create(at: path("a"), key: key)
        _ = try made.createVault("personal")
        try await made.close()
        let opened = try await Device.open(at: path("a"), key: key)
        XCTAssertEqual(try opened.vaults(), ["personal"])
    }

    func testARelayIsStoredAndForgotten() throws {
        let (device, _) = try makeVault()
        XCTAssertNil(try device.relay())
        assertThrows(.relayAddress) { try device.setRelay("no relay") }
        assertThrows(.noRelay) { try device.sync() }
        try device.setRelay(nil)
        XCTAssertNil(try device.relay())
    }

    func testOnlyBadSegmentsAreAFault() {
        func report(bad: UInt64) -> VerifyReport {
            VerifyReport(
                vaults: 1, logs: 1, segments: 1, badSegments: bad, uncertifiedLogs: 1, quarantined: 1, repaired: true)
        }
        XCTAssertTrue(report(bad: 0).isGood)
        XCTAssertFalse(report(bad: 1).isGood)
    }

    func testAVaultIsFoundByItsId() throws {
        let (device, vault) = try makeVault()
        let id = try vault.id()
        XCTAssertEqual(try device.vault(id: id).name(), "personal")
        XCTAssertEqual(VaultID(bytes: id.bytes), id)
        XCTAssertNil(VaultID(bytes: id.bytes.dropLast()))
        let devices = try vault.devices()
        XCTAssertEqual(devices.map(\.name), ["laptop"])
        XCTAssertEqual(devices.map(\.role), [.admin])
        XCTAssertEqual(devices.map(\.publicKey), [try device.publicKey()])
        XCTAssertEqual(try vault.pending(), 0)
    }
}
