import CSubrosa
import Foundation

/// Names a record: 128 bits, written as a UUID.
public struct RecordID: Hashable, Sendable {
    // Big endian, so that comparing the halves compares the bytes.
    private let high: UInt64
    private let low: UInt64

    /// The id that this name has on every device and in every language.
    public init(name: String) throws {
        var id = subrosa_id()
        try name.withText { text, length in try call { subrosa_id_from_name(text, length, &id, $0) } }
        self.init(id)
    }

    /// Reads a hyphenated UUID; anything else is `NOT_AN_ID`.
    public init(parsing text: String) throws {
        var id = subrosa_id()
        try text.withText { text, length in try call { subrosa_id_parse(text, length, &id, $0) } }
        self.init(id)
    }

    init(_ id: subrosa_id) {
        self = withUnsafeBytes(of: id) { RecordID(bytes: $0) }
    }

    /// `bytes` are 16.
    init(bytes: UnsafeRawBufferPointer) {
        high = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    static let zero = RecordID(subrosa_id())

    /// The 16 bytes.
    public var bytes: Data {
        var data = Data(capacity: 16)
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { data.append(contentsOf: $0) }
        return data
    }

    var raw: subrosa_id {
        var id = subrosa_id()
        withUnsafeMutableBytes(of: &id) { target in
            withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { target.copyMemory(from: $0) }
        }
        return id
    }
}

extension RecordID: Comparable {
    public static func < (one: RecordID, other: RecordID) -> Bool {
        (one.high, one.low) < (other.high, other.low)
    }
}

extension RecordID: LosslessStringConvertible {
    /// Reads a hyphenated UUID.
    public init?(_ description: String) {
        guard let id = try? RecordID(parsing: description) else { return nil }
        self = id
    }

    public var description: String {
        var raw = raw
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(SUBROSA_ID_TEXT_LEN) + 1) { text in
            subrosa_id_text(&raw, text.baseAddress)
            return String(cString: text.baseAddress!)
        }
    }
}

extension RecordID: Codable {
    public init(from decoder: any Decoder) throws {
        self = try RecordID(parsing: decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Names a vault: 32 bytes.
public struct VaultID: Hashable, Sendable, CustomStringConvertible {
    /// The 32 bytes.
    public let bytes: Data

    init(_ id: subrosa_vault_id) {
        bytes = withUnsafeBytes(of: id) { Data($0) }
    }

    /// Nil unless `bytes` are 32.
    public init?(bytes: Data) {
        guard bytes.count == MemoryLayout<subrosa_vault_id>.size else { return nil }
        self.bytes = Data(bytes)
    }

    var raw: subrosa_vault_id {
        var id = subrosa_vault_id()
        _ = withUnsafeMutableBytes(of: &id) { bytes.copyBytes(to: $0) }
        return id
    }

    /// In hexadecimal.
    public var description: String { bytes.hex }
}

extension Data {
    /// Two digits a byte.
    var hex: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
