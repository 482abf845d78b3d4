import Foundation

/// Turns Codable types into ``Value``.
///
/// Whole numbers become `int`, floats `double`, `Data` bytes, `URL` text, and `Date` the whole milliseconds since 1970 as
/// `int`, which every language can read. An optional that is nil and synthesized is left out, as with other encoders.
public struct ValueEncoder: Sendable {
    public init() {}

    public func encode(_ value: some Encodable) throws -> Value {
        let slot = Slot()
        try ValueEncoding(slot: slot, codingPath: []).encode(value)
        return slot.value
    }
}

/// Where one value will stand; containers fill it while they live.
final class Slot {
    private enum Content {
        case empty
        case value(Value)
        case fields([String: Slot])
        case items([Slot])
    }

    private var content = Content.empty

    func set(_ value: Value) {
        content = .value(value)
    }

    /// Makes this a map, unless it is one: a type may ask for its container twice.
    func becomeMap() {
        if case .fields = content { return }
        content = .fields([:])
    }

    func becomeList() {
        if case .items = content { return }
        content = .items([])
    }

    func field(_ name: String) -> Slot {
        guard case .fields(var fields) = content else { preconditionFailure("a keyed container fills a map") }
        let slot = Slot()
        fields[name] = slot
        content = .fields(fields)
        return slot
    }

    func item() -> Slot {
        guard case .items(var items) = content else { preconditionFailure("an unkeyed container fills a list") }
        let slot = Slot()
        content = .empty  // one owner, so that append does not copy
        items.append(slot)
        content = .items(items)
        return slot
    }

    var count: Int {
        guard case .items(let items) = content else { return 0 }
        return items.count
    }

    /// What encodes nothing at all is an empty map.
    var value: Value {
        switch content {
        case .empty: .map([:])
        case .value(let value): value
        case .fields(let fields): .map(fields.mapValues(\.value))
        case .items(let items): .list(items.map(\.value))
        }
    }
}

struct ValueEncoding: Encoder {
    let slot: Slot
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        slot.becomeMap()
        return KeyedEncodingContainer(KeyedEncoding<Key>(slot: slot, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        slot.becomeList()
        return UnkeyedEncoding(slot: slot, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    private func set<Number: BinaryInteger>(_ number: Number) throws {
        guard let exact = Int64(exactly: number) else {
            throw EncodingError.invalidValue(
                number, .init(codingPath: codingPath, debugDescription: "a whole number beyond 64 signed bits"))
        }
        slot.set(.int(exact))
    }

    private func set(_ number: Double) throws {
        guard number.isFinite else {
            throw EncodingError.invalidValue(
                number, .init(codingPath: codingPath, debugDescription: "a float that is no finite number"))
        }
        slot.set(.double(number))
    }
}

extension ValueEncoding: SingleValueEncodingContainer {
    func encodeNil() throws { slot.set(.null) }
    func encode(_ value: Bool) throws { slot.set(.bool(value)) }
    func encode(_ value: String) throws { slot.set(.text(value)) }
    func encode(_ value: Double) throws { try set(value) }
    func encode(_ value: Float) throws { try set(Double(value)) }
    func encode(_ value: Int) throws { try set(value) }
    func encode(_ value: Int8) throws { try set(value) }
    func encode(_ value: Int16) throws { try set(value) }
    func encode(_ value: Int32) throws { try set(value) }
    func encode(_ value: Int64) throws { try set(value) }
    func encode(_ value: UInt) throws { try set(value) }
    func encode(_ value: UInt8) throws { try set(value) }
    func encode(_ value: UInt16) throws { try set(value) }
    func encode(_ value: UInt32) throws { try set(value) }
    func encode(_ value: UInt64) throws { try set(value) }

    func encode<T: Encodable>(_ value: T) throws {
        switch value {
        case let value as Value: slot.set(value)
        case let value as Data: slot.set(.bytes(value))
        case let value as URL: slot.set(.text(value.absoluteString))
        case let value as Date:
            let milliseconds = (value.timeIntervalSince1970 * 1000).rounded()
            guard let exact = Int64(exactly: milliseconds) else {
                throw EncodingError.invalidValue(
                    value, .init(codingPath: codingPath, debugDescription: "a date beyond 64 bits of milliseconds"))
            }
            slot.set(.int(exact))
        default: try value.encode(to: self)
        }
    }
}

private struct KeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let slot: Slot
    let codingPath: [any CodingKey]

    private func field(_ key: any CodingKey) -> ValueEncoding {
        ValueEncoding(slot: slot.field(key.stringValue), codingPath: codingPath + [key])
    }

    func encodeNil(forKey key: Key) throws { try field(key).encodeNil() }
    func encode<T: Encodable>(_ value: T, forKey key: Key) throws { try field(key).encode(value) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
        field(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { field(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { field(NameKey("super")) }
    func superEncoder(forKey key: Key) -> any Encoder { field(key) }
}

private struct UnkeyedEncoding: UnkeyedEncodingContainer {
    let slot: Slot
    let codingPath: [any CodingKey]
    var count: Int { slot.count }

    private func item() -> ValueEncoding {
        ValueEncoding(slot: slot.item(), codingPath: codingPath + [NameKey(slot.count - 1)])
    }

    func encodeNil() throws { try item().encodeNil() }
    func encode<T: Encodable>(_ value: T) throws { try item().encode(value) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        item().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { item().unkeyedContainer() }
    func superEncoder() -> any Encoder { item() }
}

/// A key that is a name or a place in a list.
struct NameKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(_ name: String) { (stringValue, intValue) = (name, nil) }
    init(_ index: Int) { (stringValue, intValue) = (String(index), index) }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(intValue) }
}
