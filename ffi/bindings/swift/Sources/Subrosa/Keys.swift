import CSubrosa
import Foundation

/// The public half of a device's key: a P-256 point.
public struct PublicKey: Hashable, Sendable {
    /// SEC1, uncompressed: 65 bytes.
    public let bytes: Data

    /// Checks that the 65 bytes are a point on the curve.
    public init(sec1 bytes: Data) throws {
        guard bytes.count == MemoryLayout<subrosa_public_key>.size else {
            throw SubrosaError(.keyEncoding, "a public key has 65 bytes, not \(bytes.count)")
        }
        self.bytes = Data(bytes)
        var raw = raw
        try call { subrosa_public_key_check(&raw, $0) }
    }

    /// Reads a SubjectPublicKeyInfo.
    public init(spki der: Data) throws {
        var raw = subrosa_public_key()
        try der.withBytes { data, length in try call { subrosa_public_key_from_spki(data, length, &raw, $0) } }
        self.init(raw)
    }

    init(_ raw: subrosa_public_key) {
        bytes = withUnsafeBytes(of: raw) { Data($0) }
    }

    var raw: subrosa_public_key {
        var key = subrosa_public_key()
        _ = withUnsafeMutableBytes(of: &key) { bytes.copyBytes(to: $0) }
        return key
    }

    /// As SubjectPublicKeyInfo: 91 bytes.
    public func spki() throws -> Data {
        var raw = raw
        var der = Data(count: 91)
        try der.withUnsafeMutableBytes { out in
            try call { subrosa_public_key_to_spki(&raw, out.baseAddress?.assumingMemoryBound(to: UInt8.self), $0) }
        }
        return der
    }

    /// Throws `BAD_SIGNATURE` unless the key's owner signed this message under this label.
    public func verify(_ signature: Data, of message: Data, label: String) throws {
        guard signature.count == 64 else {
            throw SubrosaError(.badSignature, "a signature has 64 bytes, not \(signature.count)")
        }
        var raw = raw
        try Data(label.utf8).withBytes { label, labelLength in
            try message.withBytes { message, length in
                try signature.withBytes { signature, _ in
                    try call {
                        subrosa_public_key_verify(&raw, label, labelLength, message, length, signature, $0)
                    }
                }
            }
        }
    }
}

/// A device's key pair, in memory or behind a ``KeyProvider``. May be used by any number of threads.
public final class Key: Sendable {
    let handle: Handle

    private init(_ handle: Handle) {
        self.handle = handle
    }

    /// Makes a key pair.
    public static func generate() throws -> Key {
        Key(try .made(closing: subrosa_key_close) { subrosa_key_generate($0, $1) })
    }

    /// Reads a PKCS#8 private key.
    public convenience init(pkcs8 der: Data) throws {
        self.init(
            try der.withBytes { data, length in
                try .made(closing: subrosa_key_close) { subrosa_key_from_pkcs8(data, length, $0, $1) }
            })
    }

    /// A key that lives in hardware or elsewhere.
    public convenience init(provider: some KeyProvider) throws {
        self.init(try ProviderBox(provider).register())
    }

    /// The public half.
    public func publicKey() throws -> PublicKey {
        var raw = subrosa_public_key()
        try handle.use { key in try call { subrosa_key_public(key, &raw, $0) } }
        return PublicKey(raw)
    }

    /// Lends the private key as PKCS#8 and wipes it afterwards. A provider's key answers `KEY_NOT_EXPORTABLE`.
    public func withPKCS8<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try handle.use { key in try withSecret({ subrosa_key_to_pkcs8(key, $0, $1) }, body) }
    }

    /// A copy of the private key as PKCS#8, for the keychain. Nobody wipes the copy; ``withPKCS8(_:)`` makes none.
    public func pkcs8() throws -> Data {
        try withPKCS8 { Data($0) }
    }

    /// Signs a message under a label that says what the signature is for: 64 bytes.
    public func sign(_ message: Data, label: String) throws -> Data {
        var signature = Data(count: 64)
        try handle.use { key in
            try Data(label.utf8).withBytes { label, labelLength in
                try message.withBytes { message, length in
                    try signature.withUnsafeMutableBytes { out in
                        let out = out.baseAddress?.assumingMemoryBound(to: UInt8.self)
                        try call { subrosa_key_sign(key, label, labelLength, message, length, out, $0) }
                    }
                }
            }
        }
        return signature
    }

    /// Lets go of the key now; devices and sessions made with it go on.
    public func close() {
        handle.close()
    }
}
