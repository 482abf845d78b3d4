import CSubrosa
import Foundation

// Packed rows, little endian, without padding (subrosa.h, "many rows in one call"):
//   row    = length u32 (of all that follows) | op u8 | format u8 | zero u16 | id[16] | payload
//   fields = count u32 | count x (name length u16 | name | value)
//   value  = kind u8 | what the kind has

/// What is done to one record in ``Vault/Collection/write(_:in:)``.
public enum Write<Element> {
    /// Makes a record.
    case insert(Element)
    /// Sets these fields and leaves others.
    case put(RecordID, Element)
    /// Sets these fields and removes others.
    case replace(RecordID, Element)
    /// As `put`, for a record that was exported: it may have more fields than a write may add.
    case `import`(RecordID, Element)
    /// Removes the record.
    case delete(RecordID)

    func map<Other>(_ transform: (Element) throws -> Other) rethrows -> Write<Other> {
        switch self {
        case .insert(let element): .insert(try transform(element))
        case .put(let id, let element): .put(id, try transform(element))
        case .replace(let id, let element): .replace(id, try transform(element))
        case .import(let id, let element): .import(id, try transform(element))
        case .delete(let id): .delete(id)
        }
    }
}

extension Write: Sendable where Element: Sendable {}

/// Packs rows for `subrosa_write_many`.
struct RowWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ write: Write<Value>) throws {
        switch write {
        case .insert(let value): try row(SUBROSA_ROW_INSERT, .zero, value)
        case .put(let id, let value): try row(SUBROSA_ROW_PUT, id, value)
        case .replace(let id, let value): try row(SUBROSA_ROW_REPLACE, id, value)
        case .import(let id, let value): try row(SUBROSA_ROW_IMPORT, id, value)
        case .delete(let id): try row(SUBROSA_ROW_DELETE, id, nil)
        }
    }

    private mutating func row(_ op: Int32, _ id: RecordID, _ value: Value?) throws {
        let start = bytes.count
        append(UInt32(0))
        bytes += [UInt8(op), value == nil ? 0 : UInt8(SUBROSA_FORMAT_FIELDS), 0, 0]
        bytes += id.bytes
        if let value {
            guard case .map(let map) = value else {
                throw SubrosaError(.notARecord, "a record is a map of fields")
            }
            try fields(map, depth: Value.depthMax)
        }
        let length = try length32(bytes.count - start - 4)
        withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(start..<start + 4, with: $0) }
    }

    private mutating func fields(_ map: [String: Value], depth: Int) throws {
        guard depth > 0 else { throw SubrosaError(.tooDeep, "nested deeper than \(Value.depthMax)") }
        append(try length32(map.count))
        for (name, value) in map {
            guard let length = UInt16(exactly: name.utf8.count) else {
                throw SubrosaError(.fieldName, "a field's name of \(name.utf8.count) bytes")
            }
            append(length)
            bytes += name.utf8
            try self.value(value, depth: depth - 1)
        }
    }

    private mutating func value(_ value: Value, depth: Int) throws {
        switch value {
        case .null: kind(SUBROSA_KIND_NULL)
        case .bool(let bool):
            kind(SUBROSA_KIND_BOOL)
            bytes.append(bool ? 1 : 0)
        case .int(let number):
            kind(SUBROSA_KIND_I64)
            append(number)
        case .double(let number):
            guard number.isFinite else { throw SubrosaError(.notFinite, "a float that is no finite number") }
            kind(SUBROSA_KIND_F64)
            append(number.bitPattern)
        case .text(let text):
            kind(SUBROSA_KIND_TEXT)
            append(try length32(text.utf8.count))
            bytes += text.utf8
        case .bytes(let data):
            kind(SUBROSA_KIND_BYTES)
            append(try length32(data.count))
            bytes += data
        case .list(let items):
            guard depth > 0 else { throw SubrosaError(.tooDeep, "nested deeper than \(Value.depthMax)") }
            kind(SUBROSA_KIND_LIST)
            append(try length32(items.count))
            for item in items { try self.value(item, depth: depth - 1) }
        case .map(let map):
            kind(SUBROSA_KIND_MAP)
            try fields(map, depth: depth)
        }
    }

    private mutating func kind(_ kind: Int32) {
        bytes.append(UInt8(kind))
    }

    private mutating func append(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    private func length32(_ length: Int) throws -> UInt32 {
        guard let length = UInt32(exactly: length) else { throw SubrosaError(.tooLarge, "\(length) bytes in one call") }
        return length
    }
}

/// Reads the packed rows that the library gives. They come from the same process, but a length is still checked before
/// anything is read or reserved by it.
struct RowReader {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    private var end: Int
    /// The row at hand has names that are one to Swift.
    private var namesClash = false

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        end = bytes.count
    }

    /// The next row's id and record, or why it is none that a ``Value`` can hold; nil for a record that is not there; nil at
    /// the end.
    mutating func next() throws -> (id: RecordID, value: Result<Value, any Error>?)? {
        guard at < bytes.count else { return nil }
        (end, namesClash) = (bytes.count, false)
        let length = Int(try integer(UInt32.self))
        guard length >= 20, length <= bytes.count - at else { throw bad }
        end = at + length
        let op = Int32(try integer(UInt8.self))
        let format = Int32(try integer(UInt8.self))
        _ = try integer(UInt16.self)
        let id = RecordID(bytes: UnsafeRawBufferPointer(rebasing: try take(16)))
        guard op == SUBROSA_ROW_RECORD else {
            guard at == end else { throw bad }
            return (id, op == SUBROSA_ROW_TOO_LARGE ? .failure(Self.tooLarge) : nil)
        }
        if format == SUBROSA_FORMAT_JSON {
            // What fields cannot hold; the rows behind it are not concerned.
            at = end
            return (id, .failure(Self.longKey))
        }
        guard format == SUBROSA_FORMAT_FIELDS else { throw bad }
        let value = Value.map(try fields(depth: Value.depthMax))
        guard at == end else { throw bad }
        return (id, namesClash ? .failure(Self.clash) : .success(value))
    }

    private static let tooLarge = SubrosaError(
        .recordTooLarge, "a record is larger than is read at once: read it field by field")

    private static let longKey = DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: "a key inside of a field has over 65535 bytes; read it as JSON"))

    private static let clash = DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: "two names of one record differ only in Unicode form; read it as JSON"))

    private var bad: SubrosaError { SubrosaError(.badRows, "packed rows that do not parse", number: Int64(at)) }

    private mutating func fields(depth: Int) throws -> [String: Value] {
        guard depth > 0 else { throw bad }
        let count = Int(try integer(UInt32.self))
        guard count <= (end - at) / 3 else { throw bad }
        var map = [String: Value](minimumCapacity: count)
        for _ in 0..<count {
            let name = UnsafeRawBufferPointer(rebasing: try take(Int(try integer(UInt16.self)))).text
            // Swift takes names for equal that differ only in their Unicode form; neither may be lost.
            if map.updateValue(try value(depth: depth - 1), forKey: name) != nil { namesClash = true }
        }
        return map
    }

    private mutating func value(depth: Int) throws -> Value {
        switch Int32(try integer(UInt8.self)) {
        case SUBROSA_KIND_NULL: return .null
        case SUBROSA_KIND_BOOL: return .bool(try integer(UInt8.self) != 0)
        case SUBROSA_KIND_I64: return .int(try integer(Int64.self))
        case SUBROSA_KIND_F64: return .double(Double(bitPattern: try integer(UInt64.self)))
        case SUBROSA_KIND_TEXT:
            return .text(UnsafeRawBufferPointer(rebasing: try take(Int(try integer(UInt32.self)))).text)
        case SUBROSA_KIND_BYTES: return .bytes(Data(try take(Int(try integer(UInt32.self)))))
        case SUBROSA_KIND_LIST:
            guard depth > 0 else { throw bad }
            let count = Int(try integer(UInt32.self))
            guard count <= end - at else { throw bad }
            var items: [Value] = []
            items.reserveCapacity(count)
            for _ in 0..<count { items.append(try value(depth: depth - 1)) }
            return .list(items)
        case SUBROSA_KIND_MAP: return .map(try fields(depth: depth))
        default: throw bad
        }
    }

    private mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        Number(littleEndian: try take(MemoryLayout<Number>.size).loadUnaligned(as: Number.self))
    }

    private mutating func take(_ count: Int) throws -> Slice<UnsafeRawBufferPointer> {
        guard count <= end - at else { throw bad }
        defer { at += count }
        return bytes[at..<at + count]
    }
}
