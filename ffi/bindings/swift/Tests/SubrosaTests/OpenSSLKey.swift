import Foundation
import Subrosa

/// A key that this process never sees: the `openssl` command holds it, as the Secure Enclave would.
final class OpenSSLKey: KeyProvider, @unchecked Sendable {
    private let key: URL
    private let folder: URL
    private let lock = NSLock()
    private var count = 0

    /// How often the key was asked for.
    var calls: Int { lock.withLock { count } }

    init(folder: URL) throws {
        self.folder = folder
        key = folder.appendingPathComponent("key-\(UUID().uuidString).pem")
        _ = try Self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key.path)
    }

    func publicKey() throws -> PublicKey {
        try PublicKey(spki: Self.openssl("pkey", "-in", key.path, "-pubout", "-outform", "DER"))
    }

    func agree(with peer: PublicKey) throws -> Data {
        try lock.withLock {
            count += 1
            // A provider must not call the library, so the point is wrapped here.
            let prefix: [UInt8] = [
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ]
            let file = folder.appendingPathComponent("peer.der")
            try (Data(prefix) + peer.bytes).write(to: file)
            return try Self.openssl(
                "pkeyutl", "-derive", "-inkey", key.path, "-peerkey", file.path, "-peerform", "DER")
        }
    }

    func sign(_ message: Data) throws -> Data {
        try lock.withLock {
            count += 1
            let file = folder.appendingPathComponent("message")
            try message.write(to: file)
            return try Self.plain(Self.openssl("dgst", "-sha256", "-sign", key.path, file.path))
        }
    }

    /// The DER of an ECDSA signature as r and s, 32 bytes each.
    private static func plain(_ der: Data) throws -> Data {
        var out = Data()
        var at = 2
        for _ in 0..<2 {
            guard at + 1 < der.count, der[at] == 2 else { throw KeyProviderFailure(code: 3) }
            let number = der[(at + 2)..<(at + 2 + Int(der[at + 1]))].drop { $0 == 0 }
            out += Data(count: 32 - number.count) + number
            at += 2 + Int(der[at + 1])
        }
        return out
    }

    private static func openssl(_ arguments: String...) throws -> Data {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw KeyProviderFailure(code: process.terminationStatus) }
        return data
    }
}
