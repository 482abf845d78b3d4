import Foundation
import Subrosa
import XCTest

final class KeyTests: StoreTestCase {
    func testAKeyGoesOutAndComesBack() throws {
        let key = try Key.generate()
        let again = try Key(pkcs8: key.pkcs8())
        XCTAssertEqual(try again.publicKey(), try key.publicKey())
        let spki = try key.publicKey().spki()
        XCTAssertEqual(spki.count, 91)
        XCTAssertEqual(try PublicKey(spki: spki), try key.publicKey())
        XCTAssertEqual(try PublicKey(sec1: key.publicKey().bytes), try key.publicKey())
        assertThrows(.keyEncoding) { try Key(pkcs8: Data([0])) }
        assertThrows(.keyEncoding) { try PublicKey(sec1: Data([4])) }
        assertThrows(.notOnCurve) { try PublicKey(sec1: Data([4] + [UInt8](repeating: 1, count: 64))) }
    }

    func testSignatures() throws {
        let key = try Key.generate()
        let signature = try key.sign(Data("message".utf8), label: "test")
        XCTAssertNoThrow(try key.publicKey().verify(signature, of: Data("message".utf8), label: "test"))
        assertThrows(.badSignature) { try key.publicKey().verify(signature, of: Data("other".utf8), label: "test") }
        assertThrows(.badSignature) { try key.publicKey().verify(signature, of: Data("message".utf8), label: "x") }
        assertThrows(.badSignature) { try key.publicKey().verify(Data(), of: Data(), label: "test") }
    }

    func testSessions() throws {
        let (one, other) = (try Key.generate(), try Key.generate())
        let profile = Session.Profile.subrosa1(context: Data("test".utf8))
        let out = try Session(key: one, peer: other.publicKey(), profile: profile)
        let back = try Session(key: other, peer: one.publicKey(), profile: profile)
        let (text, aad) = (Data("said in confidence".utf8), Data("note 7".utf8))
        let sealed = try out.seal(text, aad: aad)
        XCTAssertEqual(try back.open(sealed, aad: aad), text)
        XCTAssertEqual(try back.withOpened(sealed, aad: aad) { $0.count }, text.count)
        assertThrows(.notAuthentic) { try back.open(sealed, aad: Data()) }
        assertThrows(.notAuthentic) { try out.open(sealed, aad: aad) }
        assertThrows(.peerIsSelf) { try Session(key: one, peer: one.publicKey(), profile: profile) }
        let plain = try Session(key: one, profile: .supabaseE2EE1)
        XCTAssertEqual(try plain.open(plain.seal(Data())), Data())
        assertThrows(.noAADHere) { try plain.seal(text, aad: aad) }
        plain.close()
        assertThrows(.invalidHandle) { try plain.seal(text) }
    }

    func testADeviceWithAKeyThatLivesElsewhere() throws {
        weak var provider: OpenSSLKey?
        try autoreleased {
            let elsewhere = try OpenSSLKey(folder: folder)
            provider = elsewhere
            let key = try Key(provider: elsewhere)
            XCTAssertEqual(try key.publicKey(), try elsewhere.publicKey())
            assertThrows(.keyNotExportable) { try key.pkcs8() }
            let device = try Device.create(at: path("a"), key: key)
            let id = try device.createVault("personal").collection("notes", of: Note.self).insert(Note(title: "sealed"))
            try device.close()
            let again = try Device.open(at: path("a"), key: key)
            XCTAssertEqual(try again.vault("personal").collection("notes", of: Note.self).get(id)?.title, "sealed")
            try again.close()
            XCTAssertGreaterThan(elsewhere.calls, 0)
        }
        XCTAssertNil(provider, "the library has to let go of a provider that nothing uses")
    }

    func testAProvidersFailureComesBackWithItsCode() throws {
        struct Failing: KeyProvider {
            let real: PublicKey
            let failure: any Error
            func publicKey() -> PublicKey { real }
            func agree(with peer: PublicKey) throws -> Data { throw failure }
            func sign(_ message: Data) throws -> Data { throw failure }
        }
        struct Unplugged: Error {}
        let real = try Key.generate().publicKey()
        let table: [(any Error, Int64)] = [
            (KeyProviderFailure(code: 42), 42), (KeyProviderFailure(code: 0), -1), (Unplugged(), -1),
        ]
        for (failure, code) in table {
            let key = try Key(provider: Failing(real: real, failure: failure))
            XCTAssertThrowsError(try key.sign(Data(), label: "test")) { error in
                XCTAssertEqual((error as? SubrosaError)?.code, .keyProvider)
                XCTAssertEqual((error as? SubrosaError)?.number, code)
            }
            assertThrows(.keyProvider) { try Device.create(at: path("failing"), key: key) }
        }
    }

    func testAProvidersWrongAnswersAreNoKey() throws {
        struct Lying: KeyProvider {
            let real: PublicKey
            let length: Int
            func publicKey() -> PublicKey { real }
            func agree(with peer: PublicKey) -> Data { Data(count: length) }
            func sign(_ message: Data) -> Data { Data(repeating: 1, count: length) }
        }
        let real = try Key.generate().publicKey()
        XCTAssertThrowsError(try Key(provider: Lying(real: real, length: 7)).sign(Data(), label: "test")) { error in
            XCTAssertEqual((error as? SubrosaError)?.code, .keyProvider)
            XCTAssertEqual((error as? SubrosaError)?.number, -2)
        }
        assertThrows(.keyProviderSignature) { try Key(provider: Lying(real: real, length: 64)).sign(Data(), label: "test") }
    }

    /// So that what `body` made is gone afterwards on systems with an autorelease pool too.
    private func autoreleased(_ body: () throws -> Void) rethrows {
        #if canImport(ObjectiveC)
            try autoreleasepool(invoking: body)
        #else
            try body()
        #endif
    }
}
