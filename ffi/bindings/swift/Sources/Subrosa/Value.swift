import Foundation

/// What a field of a record may hold.
///
/// Whole numbers and floats are distinct kinds: `1` is not `1.0`. Bytes are a kind of their own.
public enum Value: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    /// Finite; others are refused with `NOT_FINITE` when they are written.
    case double(Double)
    case text(String)
    case bytes(Data)
    case list([Value])
    case map([String: Value])

    /// The field of a map; nil when there is none, or when this is no map.
    public subscript(field: String) -> Value? {
        guard case .map(let fields) = self else { return nil }
        return fields[field]
    }

    /// How deep lists and maps may lie in each other; a record is the first level.
    static let depthMax = 64
}

extension Value: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(arrayLiteral elements: Value...) { self = .list(elements) }
    public init(dictionaryLiteral elements: (String, Value)...) {
        self = .map(Dictionary(elements) { _, last in last })
    }
}

extension Value: Codable {
    // ``ValueEncoder`` and ``ValueDecoder`` pass a Value through as it is and never come here. Another coder gets the
    // nearest it has.

    public init(from decoder: any Decoder) throws {
        if let decoder = decoder as? ValueDecoding {
            self = decoder.value
            return
        }
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .int(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([Value].self) {
            self = .list(value)
        } else {
            self = .map(try container.decode([String: Value].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        if let encoder = encoder as? ValueEncoding {
            encoder.slot.set(self)
            return
        }
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .bytes(let value): try container.encode(value)
        case .list(let values): try container.encode(values)
        case .map(let fields): try container.encode(fields)
        }
    }
}
