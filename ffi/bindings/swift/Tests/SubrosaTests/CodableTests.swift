import Foundation
import Subrosa
import XCTest

final class CodableTests: StoreTestCase {
    private enum Colour: String, Codable { case red, blue }

    private enum Shape: Codable, Hashable {
        case circle(radius: Double)
        case named(String)
    }

    private class Base: Codable {
        var base = 1
    }

    private final class Derived: Base {
        var own = 2
        private enum CodingKeys: String, CodingKey { case own }

        override init() { super.init() }

        required init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            own = try container.decode(Int.self, forKey: .own)
            try super.init(from: container.superDecoder())
        }

        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(own, forKey: .own)
            try super.encode(to: container.superEncoder())
        }
    }

    private struct Everything: Codable, Sendable, Hashable {
        var bool = true
        var int = Int.min
        var small: Int8 = -7
        var large = UInt64(Int64.max)
        var double = 1.0
        var float: Float = 0.5
        var text = "Grüße"
        var data = Data([0, 255])
        var date = Date(timeIntervalSince1970: 1_700_000_000.25)
        var url = URL(string: "https://example.org/a?b=c")!
        var uuid = UUID()
        var id = try? RecordID(name: "x")
        var list = [1, 2, 3]
        var lists = [[1], [], [2, 3]]
        var optionals: [Int?] = [1, nil]
        var map = ["a": Data([1]), "$bytes": Data()]
        var colour = Colour.blue
        var shape = Shape.circle(radius: 2)
        var shapes = [Shape.named("x")]
        var missing: Int?
        var value: Value = ["any": [1, 1.0, nil]]
    }

    func testEverythingComesBack() throws {
        let (_, vault) = try makeVault()
        let things = try vault.collection("things", of: Everything.self)
        let thing = Everything()
        let id = try things.insert(thing)
        XCTAssertEqual(try things.get(id), thing)
    }

    func testKindsAreThoseOfTheEngine() throws {
        let value = try ValueEncoder().encode(Everything())
        XCTAssertEqual(value["double"], .double(1))
        XCTAssertEqual(value["large"], .int(.max))
        XCTAssertEqual(value["data"], .bytes(Data([0, 255])))
        XCTAssertEqual(value["date"], .int(1_700_000_000_250))
        XCTAssertEqual(value["url"], .text("https://example.org/a?b=c"))
        XCTAssertEqual(value["colour"], .text("blue"))
        XCTAssertEqual(value["optionals"], [1, nil])
        XCTAssertEqual(value["map"], .map(["a": .bytes(Data([1])), "$bytes": .bytes(Data())]))
        XCTAssertNil(value["missing"])
    }

    func testClassesEncodeTheirBase() throws {
        let value = try ValueEncoder().encode(Derived())
        XCTAssertEqual(value, ["own": 2, "super": ["base": 1]])
        let back = try ValueDecoder().decode(Derived.self, from: ["own": 5, "super": ["base": 6]])
        XCTAssertEqual([back.own, back.base], [5, 6])
    }

    func testWhatDoesNotFitIsRefused() {
        XCTAssertThrowsError(try ValueEncoder().encode(["n": UInt64.max]))
        XCTAssertThrowsError(try ValueEncoder().encode(["n": Double.nan]))
        XCTAssertThrowsError(try ValueDecoder().decode(Int8.self, from: 128))
        XCTAssertThrowsError(try ValueDecoder().decode(Int.self, from: 1.0))
        XCTAssertThrowsError(try ValueDecoder().decode(Double.self, from: .int(.max)))
        XCTAssertThrowsError(try ValueDecoder().decode([Int].self, from: [1, "2"]))
        XCTAssertThrowsError(try ValueDecoder().decode(Data.self, from: "AA=="))
        XCTAssertEqual(try ValueDecoder().decode(Double.self, from: 3), 3.0)
    }

    func testAnErrorOfDecodingNamesTheFieldAndNotItsContent() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Note.self)
        let id = try notes.insertJSON(#"{"title":12345,"done":true}"#)
        XCTAssertThrowsError(try notes.get(id)) { error in
            guard case DecodingError.typeMismatch(_, let context) = error else { return XCTFail("\(error)") }
            XCTAssertEqual(context.codingPath.map(\.stringValue), ["title"])
            XCTAssertFalse("\(error)".contains("12345"))
        }
        XCTAssertEqual(try vault.collection("notes", of: Value.self).get(id), ["title": 12345, "done": true])
    }

    func testPutLeavesFieldsThatAnOptionalLeftOut() throws {
        struct Draft: Codable, Sendable, Hashable {
            var title: String?
            var rank: Int?
        }
        let (_, vault) = try makeVault()
        let drafts = try vault.collection("drafts", of: Draft.self)
        let id = try drafts.insert(Draft(title: "a", rank: 1))
        try drafts.put(id, Draft(title: "b", rank: nil))
        XCTAssertEqual(try drafts.get(id), Draft(title: "b", rank: 1))
        try drafts.replace(id, Draft(title: "c", rank: nil))
        XCTAssertEqual(try drafts.get(id), Draft(title: "c", rank: nil))
    }
}
