import CSubrosa
import Foundation

/// A P-256 key that lives elsewhere, such as in the Secure Enclave.
///
/// The methods are called on any thread, may block (a fingerprint prompt), and must not call this library. What they throw
/// comes back from the call that needed the key as `KEY_PROVIDER`, with the ``KeyProviderFailure``'s code as its number.
public protocol KeyProvider: Sendable {
    /// Asked once, when the ``Key`` is made.
    func publicKey() throws -> PublicKey

    /// The x coordinate of the agreement with `peer`: 32 bytes.
    func agree(with peer: PublicKey) throws -> Data

    /// ECDSA over P-256 and SHA-256 of `message`, as r and s: 64 bytes.
    func sign(_ message: Data) throws -> Data
}

/// A provider's own code for what went wrong, not 0.
public struct KeyProviderFailure: Error, Sendable {
    public let code: Int32

    public init(code: Int32) {
        self.code = code
    }

    /// What stands for any other error of a provider.
    static let other: Int32 = -1
    /// The provider gave an answer of another length.
    static let badLength: Int32 = -2

    static func code(of error: any Error) -> Int32 {
        guard let failure = error as? KeyProviderFailure, failure.code != 0 else { return other }
        return failure.code
    }
}

/// Owns a provider for the library, which lets go of it by `user_free`.
final class ProviderBox: Sendable {
    private let provider: any KeyProvider

    init(_ provider: some KeyProvider) {
        self.provider = provider
    }

    func register() throws -> Handle {
        var table = subrosa_key_provider()
        table.struct_size = UInt32(MemoryLayout<subrosa_key_provider>.size)
        table.public_key = try provider.publicKey().raw
        table.user = Unmanaged.passRetained(self).toOpaque()
        table.user_free = { user in
            if let user { Unmanaged<ProviderBox>.fromOpaque(user).release() }
        }
        table.agree = { user, peer, out in
            guard let user, let peer, let out else { return KeyProviderFailure.other }
            return ProviderBox.answer(user, out, length: 32) { try $0.agree(with: PublicKey(peer.pointee)) }
        }
        table.sign = { user, message, length, out in
            guard let user, let out else { return KeyProviderFailure.other }
            let message = message.map { Data(bytes: $0, count: length) } ?? Data()
            return ProviderBox.answer(user, out, length: 64) { try $0.sign(message) }
        }
        return try .made(closing: subrosa_key_close) { subrosa_key_from_provider(&table, $0, $1) }
    }

    /// Asks the provider and copies what it gave; its secret copy is wiped as far as it is ours alone.
    private static func answer(
        _ user: UnsafeMutableRawPointer, _ out: UnsafeMutablePointer<UInt8>, length: Int,
        _ ask: (any KeyProvider) throws -> Data
    ) -> Int32 {
        let box = Unmanaged<ProviderBox>.fromOpaque(user).takeUnretainedValue()
        do {
            var answer = try ask(box.provider)
            defer { answer.resetBytes(in: answer.startIndex..<answer.endIndex) }
            guard answer.count == length else { return KeyProviderFailure.badLength }
            answer.copyBytes(to: out, count: length)
            return 0
        } catch {
            return KeyProviderFailure.code(of: error)
        }
    }
}
