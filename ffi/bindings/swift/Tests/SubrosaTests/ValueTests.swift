import Foundation
import XCTest

@testable import Subrosa

final class ValueTests: StoreTestCase {
    /// Values and the engine's text for them.
    private let table: [(Value, String)] = [
        (["a": nil, "b": true, "c": false], #"{"a":null,"b":true,"c":false}"#),
        (["n": .int(.max), "m": .int(.min)], #"{"m":-9223372036854775808,"n":9223372036854775807}"#),
        (["f": 1.0], #"{"f":1.0}"#),
        (["f": -0.0], #"{"f":-0.0}"#),
        (["f": 1.5e300], #"{"f":1.5e300}"#),
        (["f": 1e16], #"{"f":1e16}"#),
        (["f": 123456789012345.0], #"{"f":123456789012345.0}"#),
        (["f": 9007199254740993.0], #"{"f":9007199254740992.0}"#),
        (["f": 0.0001], #"{"f":0.0001}"#),
        (["f": 0.000099], #"{"f":9.9e-5}"#),
        (["f": .double(.leastNonzeroMagnitude)], #"{"f":5e-324}"#),
        (["f": 120.25], #"{"f":120.25}"#),
        (["t": "a\"\\\n\r\t\u{1}\u{1f}é🌹/"], #"{"t":"a\"\\\n\r\t\u0001\u001fé🌹/"}"#),
        (["d": .bytes(Data([0, 1, 2]))], #"{"d":{"$bytes":"AAEC"}}"#),
        (["d": ["$bytes": "AAEC"]], #"{"d":{"$$bytes":"AAEC"}}"#),
        (["d": ["$$bytes": 7]], #"{"d":{"$$$bytes":7}}"#),
        (["d": ["$bytes": 1, "x": 2]], #"{"d":{"$bytes":1,"x":2}}"#),
        (["d": ["$": ["$text": 1]]], #"{"d":{"$$":{"$$text":1}}}"#),
        (["$text": ["a$": 1]], #"{"$$text":{"a$":1}}"#),
        (["l": [1, 2.5, "y", [], [:]]], #"{"l":[1,2.5,"y",[],{}]}"#),
        (["z": 1, "a": 2, "é": 3, "B": 4, "": 5], #"{"":5,"B":4,"a":2,"z":1,"é":3}"#),
    ]

    func testJsonIsWrittenAsByTheEngineAndReadBack() throws {
        let (_, vault) = try makeVault()
        let any = try vault.collection("any", of: Value.self)
        for (value, json) in table {
            XCTAssertEqual(value.json, json)
            XCTAssertEqual(try Value(json: json), value)
            // Written as packed fields and read as JSON, and the other way round.
            XCTAssertEqual(try any.getJSON(any.insert(value)), json)
            XCTAssertEqual(try any.get(any.insertJSON(json)), value)
        }
    }

    func testRandomValuesAreTheEnginesToo() throws {
        let (_, vault) = try makeVault()
        let any = try vault.collection("any", of: Value.self)
        var random = SplitMix(state: 7)
        let values = (0..<300).map { _ in Value.random(fields: 4, using: &random) }
        let ids = try any.insertMany(values)
        XCTAssertEqual(try any.getMany(ids), values)
        for (id, value) in zip(ids, values) {
            let json = try any.getJSON(id)
            XCTAssertEqual(json, value.json)
            XCTAssertEqual(try Value(json: value.json), value)
        }
    }

    func testWhatIsNoJsonIsRefusedWhereTheEngineRefusesIt() throws {
        let (_, vault) = try makeVault()
        let any = try vault.collection("any", of: Value.self)
        let table = [
            "", "{", #"{"a":1,}"#, #"{"a" 1}"#, "{a", "[1 2]", "[1", "[", "01", "-01", "1.", "1.e1", "1e", "-", "+1", "nul",
            "tru",
            "1e999", "9223372036854775808", "-9223372036854775809", #"{"a":1,"a":2}"#, #"{"b":{},"a":1,"a":2}"#, #""\x""#,
            #""\ud800""#, #""\ud800x""#, #""\ud800\u0041""#, #""\udc00""#, #""\u00g0""#, "\"\u{1}\"", "\"a", #""\"#,
            #"{"$bytes":1}"#, #"{"$bytes":"A"}"#, #"{"$bytes":"AA"}"#, "1 1", "}", "[[],[]", ",",
        ]
        for text in table {
            let record = #"{"field": "# + text
            let ours = refusal { try Value(json: record) }
            let theirs = refusal { try any.insertJSON(record) }
            XCTAssertEqual(ours?.code, .notJSON, text)
            XCTAssertEqual(theirs?.code, .notJSON, text)
            XCTAssertEqual(ours?.number, theirs?.number, text)
        }
        for text in [#"{"$text":1}"#, #"{"$":{}}"#, #"[{"$Bytes":""}]"#] {
            let record = #"{"field": "# + text
            let (ours, theirs) = (refusal { try Value(json: record) }, refusal { try any.insertJSON(record) })
            XCTAssertEqual(ours?.code, .newerForm, text)
            XCTAssertEqual(theirs?.code, .newerForm, text)
            XCTAssertEqual(ours?.number, theirs?.number, text)
        }
        let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
        assertThrows(.notJSON) { try Value(json: deep) }
        XCTAssertNoThrow(try Value(json: String(deep.dropFirst().dropLast())))
    }

    private func refusal<Result>(_ body: () throws -> Result) -> SubrosaError? {
        do {
            _ = try body()
            return nil
        } catch {
            return error as? SubrosaError
        }
    }

    func testWhatNoRecordMayHoldIsRefused() throws {
        let (_, vault) = try makeVault()
        let any = try vault.collection("any", of: Value.self)
        assertThrows(.notFinite) { try any.insert(["f": .double(.infinity)]) }
        assertThrows(.notARecord) { try any.insert([1]) }
        var deep: Value = 1
        for _ in 0..<Value.depthMax { deep = [deep] }
        assertThrows(.tooDeep) { try any.insert(["d": deep]) }
        assertThrows(.fieldName) { try any.insert([String(repeating: "x", count: 70_000): 1]) }
        XCTAssertEqual(try any.count(), 0)
    }

    func testNamesThatDifferOnlyInUnicodeFormAreNotMixedUp() throws {
        let (_, vault) = try makeVault()
        let any = try vault.collection("any", of: Value.self)
        let id = try any.insertJSON("{\"\u{e9}\":1,\"e\u{301}\":2}")
        XCTAssertThrowsError(try any.get(id)) { XCTAssertTrue($0 is DecodingError, "\($0)") }
        XCTAssertEqual(try any.record(id)?.fieldNames().count, 2)
    }

    func testRowsThatDoNotParseAreRefusedWhereverTheyAreCut() throws {
        var writer = RowWriter()
        try writer.append(.put(RecordID(name: "x"), ["a": [1, 2.5, nil, ["b": "text"]], "c": .bytes(Data([1, 2]))]))
        var bytes = writer.bytes
        bytes[4] = 1  // as a result: a record
        XCTAssertEqual(try read(bytes), 1)
        for end in 1..<bytes.count {
            assertThrows(.badRows) { try read(Array(bytes[..<end])) }
        }
        // Whatever one byte says, the reader ends with rows or an error.
        for at in 0..<bytes.count {
            for flip: UInt8 in [1, 0x80, 0xff] {
                var changed = bytes
                changed[at] ^= flip
                _ = try? read(changed)
            }
        }
    }

    private func read(_ bytes: [UInt8]) throws -> Int {
        try bytes.withUnsafeBytes { bytes in
            var reader = RowReader(bytes)
            var count = 0
            while try reader.next() != nil { count += 1 }
            return count
        }
    }
}

/// Random numbers that are the same in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

extension Value {
    /// A map of up to so many fields, with fewer in those within.
    static func random(fields: Int, using random: inout SplitMix) -> Value {
        let names = ["a", "B", "$bytes", "$$bytes", "$", "$text", "é", "", "long name"]
        var map: [String: Value] = [:]
        for _ in 0..<Int.random(in: 0...fields, using: &random) {
            map[names.randomElement(using: &random)!] = item(fields: fields - 1, using: &random)
        }
        return .map(map)
    }

    private static func item(fields: Int, using random: inout SplitMix) -> Value {
        switch Int.random(in: 0..<(fields > 0 ? 8 : 6), using: &random) {
        case 0: .null
        case 1: .bool(.random(using: &random))
        case 2: .int(Int64(bitPattern: random.next()) >> Int64.random(in: 0..<64, using: &random))
        case 3: .double(randomDouble(using: &random))
        case 4:
            .text(
                String(
                    (0..<Int.random(in: 0..<8, using: &random)).map { _ in "a\"\\\u{1}é🌹\n/".randomElement(using: &random)! }
                ))
        case 5:
            .bytes(Data((0..<Int.random(in: 0..<8, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }))
        case 6: .list((0..<Int.random(in: 0..<4, using: &random)).map { _ in item(fields: fields - 1, using: &random) })
        default: .random(fields: fields, using: &random)
        }
    }

    private static func randomDouble(using random: inout SplitMix) -> Double {
        let any = Double(bitPattern: random.next())
        return any.isFinite && Bool.random(using: &random) ? any : Double(Int.random(in: -1000...1000, using: &random)) / 8
    }
}
