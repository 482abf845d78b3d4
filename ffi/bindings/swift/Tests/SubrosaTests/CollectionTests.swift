import Subrosa
import XCTest

final class CollectionTests: StoreTestCase {
    func testOneRecord() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let id = try notes.insert(Note(title: "Call Anna"))
        try notes.put(id, Note(title: "Call Anna", done: true))
        XCTAssertEqual(try notes.get(id), Note(title: "Call Anna", done: true))
        XCTAssertEqual(try notes.getJSON(id), #"{"done":true,"title":"Call Anna"}"#)
        XCTAssertTrue(try notes.delete(id))
        XCTAssertFalse(try notes.delete(id))
        XCTAssertNil(try notes.get(id))
        XCTAssertNil(try notes.getJSON(id))
        XCTAssertNil(try notes.record(id))
    }

    func testIdsAreTextBytesAndOrder() throws {
        let id = try RecordID(name: "today")
        XCTAssertEqual(RecordID(id.description), id)
        XCTAssertNil(RecordID("no id"))
        assertThrows(.notAnID) { try RecordID(parsing: "no id") }
        XCTAssertEqual(id.bytes.count, 16)
        let ids = try (0..<50).map { try RecordID(name: "\($0)") }
        XCTAssertEqual(
            ids.sorted(), ids.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) })
        XCTAssertEqual(try ValueEncoder().encode(id), .text(id.description))
        XCTAssertEqual(try ValueDecoder().decode(RecordID.self, from: .text(id.description)), id)
    }

    func testManyRecordsAllOrNone() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let ids = try notes.insertMany((0..<1000).map { Note(title: "\($0)") })
        XCTAssertEqual(try notes.getMany(ids.reversed()).map { $0?.title }, (0..<1000).reversed().map { "\($0)" })
        let named = try RecordID(name: "x")
        let written = try notes.write([
            .put(named, Note(title: "put")), .delete(ids[0]), .replace(ids[1], Note(title: "new")),
            .insert(Note(title: "last")),
        ])
        XCTAssertEqual(Array(written[..<3]), [named, ids[0], ids[1]])
        XCTAssertEqual(
            try notes.getMany([named, ids[0], ids[1], written[3]]).map { $0?.title }, ["put", nil, "new", "last"])
        XCTAssertEqual(try notes.getMany([]), [])
        XCTAssertEqual(try notes.write([]), [])
        XCTAssertThrowsError(try notes.insertMany(Array(repeating: Note(title: ""), count: 65_537)))
        XCTAssertEqual(try notes.count(), 1001)
    }

    func testReadingThroughInPages() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let ids = try notes.insertMany((0..<10).map { Note(title: "\($0)") }).sorted()
        for size in [1, 3, 5, 10, 11] {
            var seen: [RecordID] = []
            try notes.forEach(pageSize: size) { seen.append($0.id) }
            XCTAssertEqual(seen, ids)
            seen = []
            for try await row in notes.scan(pageSize: size) { seen.append(row.id) }
            XCTAssertEqual(seen, ids)
        }
        XCTAssertEqual(try notes.all().map(\.id), ids)
        let page = try notes.page(after: ids[6], limit: 2)
        XCTAssertEqual(page.rows.map(\.id), [ids[7], ids[8]])
        XCTAssertTrue(page.more)
        assertThrows(.invalidArgument) { try notes.page(limit: 0) }
    }

    func testARecordThatDoesNotDecodeDoesNotHideTheOthers() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let any = try vault.collection("notes", of: Value.self)
        let first = try notes.insert(Note(title: "a"))
        let odd = try any.insert(["title": 5])
        let clash = try any.insertJSON("{\"\u{e9}\":1,\"e\u{301}\":2}")
        let last = try notes.insert(Note(title: "b"))
        XCTAssertThrowsError(try notes.all()) { XCTAssertTrue($0 is DecodingError, "\($0)") }
        let rows = try notes.allResults()
        XCTAssertEqual(rows.map(\.id), [first, odd, clash, last])
        XCTAssertEqual(rows.map { try? $0.value.get().title }, ["a", nil, nil, "b"])
    }

    func testAWriteTransactionIsOneStep() throws {
        struct Stop: Error {}
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let id = try vault.write { tx in
            let id = try notes.insert(Note(title: "a"), in: tx)
            XCTAssertEqual(try notes.get(id, in: tx), Note(title: "a"))
            XCTAssertNil(try notes.get(id))
            return id
        }
        XCTAssertEqual(try notes.get(id), Note(title: "a"))
        XCTAssertThrowsError(
            try vault.write { tx in
                try notes.delete(id, in: tx)
                throw Stop()
            }
        ) { XCTAssertTrue($0 is Stop) }
        XCTAssertEqual(try notes.count(), 1)
    }

    func testAReadTransactionSeesOneMoment() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        try notes.insert(Note(title: "a"))
        try vault.read { tx in
            try notes.insert(Note(title: "b"))
            XCTAssertEqual(try notes.count(in: tx), 1)
            XCTAssertEqual(try notes.all(in: tx).map(\.value.title), ["a"])
            assertThrows(.readOnly) { try notes.insert(Note(title: "c"), in: tx) }
        }
        XCTAssertEqual(try notes.count(), 2)
    }

    func testATransactionThatIsOverTakesNothing() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        var kept: Transaction?
        try vault.write { kept = $0 }
        XCTAssertThrowsError(try notes.insert(Note(title: "late"), in: kept))
        XCTAssertEqual(try notes.count(), 0)
    }

    func testASecondWriterWaitsOrIsBusy() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let first = try vault.begin(.write)
        assertThrows(.busy) { try vault.begin(.write) }
        async let second: Void = vault.write { tx in try notes.insert(Note(title: "second"), in: tx) }
        try notes.insert(Note(title: "first"), in: first)
        try first.commit()
        try await second
        XCTAssertEqual(try notes.count(), 2)
    }

    func testTheAsyncFormsOfTransactions() async throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let id = try await vault.write { tx in try notes.insert(Note(title: "a"), in: tx) }
        let found = try await vault.read { tx in try notes.get(id, in: tx) }
        XCTAssertEqual(found, Note(title: "a"))
    }

    func testRecordsFieldByField() throws {
        let (_, vault) = try makeVault()
        let any = try vault.collection("any", of: Value.self)
        let record = try Record()
        let fields: [String: Value] = [
            "b": true, "i": .int(.min), "f": -0.5, "t": "naïve", "d": .bytes(Data([0, 255])), "n": nil,
            "l": [1, 2.5], "m": ["x": .bytes(Data([1]))],
        ]
        for (name, value) in fields { try record.set(name, value) }
        XCTAssertEqual(try record.fieldNames(), fields.keys.sorted())
        XCTAssertEqual(try record.json(), Value.map(fields).json)
        let id = try any.insert(record: record)
        let back = try XCTUnwrap(try any.record(id))
        for (name, value) in fields { XCTAssertEqual(try back.value(name), value) }
        XCTAssertNil(try back.value("none"))
        assertThrows(.noField) { try back.int("none") }
        assertThrows(.wrongKind) { try back.int("t") }
        XCTAssertTrue(try back.remove("t"))
        XCTAssertFalse(try back.remove("t"))
        try any.replace(id, record: back)
        XCTAssertNil(try any.get(id)?["t"])
        back.close()
        assertThrows(.invalidHandle) { try back.json() }
    }
}
