import Foundation
import Subrosa
import XCTest

/// A test with a folder of its own, which is removed afterwards.
class StoreTestCase: XCTestCase {
    private(set) var folder = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("subrosa-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    func path(_ name: String) -> URL { folder.appendingPathComponent(name) }

    /// A device with one vault.
    func makeVault() throws -> (device: Device, vault: Vault) {
        let device = try Device.create(at: path("a"), key: .generate(), options: .init(name: "laptop"))
        return (device, try device.createVault("personal"))
    }

    /// The test relay's URL, or a skipped test.
    func relay() throws -> String {
        guard let url = ProcessInfo.processInfo.environment["SUBROSA_TEST_RELAY"] else {
            throw XCTSkip("SUBROSA_TEST_RELAY is not set")
        }
        return url
    }
}

/// What most tests store.
struct Note: Codable, Sendable, Hashable {
    var title: String
    var done = false
}

/// Checks that `body` throws this code of the library.
func assertThrows<Result>(
    _ code: SubrosaError.Code, file: StaticString = #filePath, line: UInt = #line, _ body: () throws -> Result
) {
    XCTAssertThrowsError(try body(), file: file, line: line) { error in
        XCTAssertEqual((error as? SubrosaError)?.code, code, "\(error)", file: file, line: line)
    }
}

/// As `assertThrows`, of an async body.
func assertThrowsAsync<Result>(
    _ code: SubrosaError.Code, file: StaticString = #filePath, line: UInt = #line, _ body: () async throws -> Result
) async {
    do {
        _ = try await body()
        XCTFail("did not throw", file: file, line: line)
    } catch {
        XCTAssertEqual((error as? SubrosaError)?.code, code, "\(error)", file: file, line: line)
    }
}
