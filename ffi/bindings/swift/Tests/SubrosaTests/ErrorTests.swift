import Subrosa
import XCTest

final class ErrorTests: StoreTestCase {
    func testEveryKnownCodeIsTheLibrarys() {
        for code in SubrosaError.Code.known {
            XCTAssertNotEqual(code.name, "UNKNOWN", "\(code.rawValue)")
        }
        XCTAssertEqual(Set(SubrosaError.Code.known).count, SubrosaError.Code.known.count)
    }

    func testNamesAreTheLibrarys() {
        let table: [(SubrosaError.Code, Int32, String)] = [
            (.wrongKey, 104, "WRONG_KEY"), (.notJSON, 300, "NOT_JSON"), (.invalidUTF8, 4, "INVALID_UTF8"),
            (.noAADHere, 212, "NO_AAD_HERE"), (.pairBundle, 611, "PAIR_BUNDLE"), (.io, 108, "IO"),
        ]
        for (code, number, name) in table {
            XCTAssertEqual(code.rawValue, number)
            XCTAssertEqual(code.name, name)
        }
        XCTAssertEqual(SubrosaError.Code(rawValue: 987_654).name, "UNKNOWN")
    }

    func testAnErrorSaysWhatHappened() throws {
        let (_, vault) = try makeVault()
        let notes = try vault.collection("notes", of: Value.self)
        do {
            try notes.insertJSON(#"{"a":1} x"#)
            XCTFail("took what is no JSON")
        } catch let error as SubrosaError {
            XCTAssertEqual(error.code, .notJSON)
            XCTAssertEqual(error.name, "NOT_JSON")
            XCTAssertEqual(error.number, 8)
            XCTAssertFalse(error.message.isEmpty)
            XCTAssertFalse(error.retryable)
            XCTAssertTrue(error.description.hasPrefix("NOT_JSON: "))
            XCTAssertEqual(error.localizedDescription, error.description)
        }
    }

    func testACodeCanBeCaughtAlone() throws {
        let key = try Key.generate()
        do {
            _ = try Device.open(at: path("none"), key: key)
            XCTFail("opened nothing")
        } catch SubrosaError.Code.storeMissing {
            // As it should.
        }
    }

    func testTheWrongKeyOpensNothing() throws {
        let (device, _) = try makeVault()
        try device.close()
        assertThrows(.wrongKey) { try Device.open(at: path("a"), key: .generate()) }
    }

    func testTheLogIsHandedOutAndLetGo() throws {
        final class Witness: Sendable {}
        weak var witness: Witness?
        do {
            let alive = Witness()
            witness = alive
            try SubrosaLibrary.log(upTo: .trace) { _, _ in withExtendedLifetime(alive) {} }
        }
        XCTAssertNotNil(witness)
        _ = try makeVault()
        try SubrosaLibrary.log(upTo: .error, to: nil)
        XCTAssertNil(witness)
    }
}
