import CSubrosa
import Foundation

/// A record's fields, read and set one by one without decoding the others. One thread at a time: it is not Sendable.
public final class Record {
    let handle: Handle

    init(_ handle: Handle) {
        self.handle = handle
    }

    /// A record without fields.
    public convenience init() throws {
        self.init(try .made(closing: subrosa_record_close) { subrosa_record_new($0, $1) })
    }

    /// Reads the text of a JSON object.
    public convenience init(json: String) throws {
        self.init(
            try json.withText { json, length in
                try .made(closing: subrosa_record_close) { subrosa_record_from_json(json, length, $0, $1) }
            })
    }

    /// What kind of value a field holds.
    public enum Kind: Int32, Sendable {
        case absent = 0
        case null, bool, int, double, text, bytes, list, map
    }

    /// Compact JSON with sorted keys.
    public func json() throws -> String {
        try handle.use { record in try withBuffer({ subrosa_record_to_json(record, $0, $1) }, \.text) }
    }

    /// The fields' names in their order.
    public func fieldNames() throws -> [String] {
        try handle.use { record in
            var count = 0
            try call { subrosa_record_len(record, &count, $0) }
            return try (0..<count).map { index in
                var name: UnsafePointer<CChar>?
                var length = 0
                var kind: Int32 = 0
                try call { subrosa_record_field_view(record, index, &name, &length, &kind, $0) }
                return UnsafeRawBufferPointer(start: name, count: length).text
            }
        }
    }

    public func kind(_ field: String) throws -> Kind {
        var raw: Int32 = 0
        try use(field) { record, name, length in try call { subrosa_record_kind(record, name, length, &raw, $0) } }
        guard let kind = Kind(rawValue: raw) else {
            throw SubrosaError(.wrongKind, "a kind of value that this package does not know: \(raw)")
        }
        return kind
    }

    private func use<Result>(
        _ field: String, _ body: (OpaquePointer, UnsafePointer<CChar>?, Int) throws -> Result
    ) rethrows -> Result {
        try handle.use { record in try field.withText { try body(record, $0, $1) } }
    }

    /// Lets go of the record now.
    public func close() {
        handle.close()
    }
}

@available(*, unavailable)
extension Record: Sendable {}

// MARK: - Fields

extension Record {
    /// Sets a field to a value of any kind.
    public func set(_ field: String, _ value: Value) throws {
        try use(field) { record, name, length in
            switch value {
            case .null: try call { subrosa_record_set_null(record, name, length, $0) }
            case .bool(let bool): try call { subrosa_record_set_bool(record, name, length, bool, $0) }
            case .int(let number): try call { subrosa_record_set_i64(record, name, length, number, $0) }
            case .double(let number): try call { subrosa_record_set_f64(record, name, length, number, $0) }
            case .text(let text):
                try text.withText { text, textLength in
                    try call { subrosa_record_set_text(record, name, length, text, textLength, $0) }
                }
            case .bytes(let data):
                try data.withBytes { data, dataLength in
                    try call { subrosa_record_set_bytes(record, name, length, data, dataLength, $0) }
                }
            case .list, .map:
                try value.json.withText { json, jsonLength in
                    try call { subrosa_record_set_json(record, name, length, json, jsonLength, $0) }
                }
            }
        }
    }

    /// Removes a field. Tells whether there was one.
    @discardableResult
    public func remove(_ field: String) throws -> Bool {
        var existed = false
        try use(field) { record, name, length in
            try call { subrosa_record_remove(record, name, length, &existed, $0) }
        }
        return existed
    }

    /// A field of any kind; nil when there is none.
    public func value(_ field: String) throws -> Value? {
        switch try kind(field) {
        case .absent: nil
        case .null: .null
        case .bool: .bool(try bool(field))
        case .int: .int(try int(field))
        case .double: .double(try double(field))
        case .text: .text(try text(field))
        case .bytes: .bytes(try bytes(field))
        case .list, .map: try Value(json: try json(field))
        }
    }

    // Each throws `NO_FIELD` when there is none and `WRONG_KIND` when it holds something else.

    public func bool(_ field: String) throws -> Bool {
        var value = false
        try use(field) { record, name, length in try call { subrosa_record_get_bool(record, name, length, &value, $0) } }
        return value
    }

    public func int(_ field: String) throws -> Int64 {
        var value: Int64 = 0
        try use(field) { record, name, length in try call { subrosa_record_get_i64(record, name, length, &value, $0) } }
        return value
    }

    public func double(_ field: String) throws -> Double {
        var value: Double = 0
        try use(field) { record, name, length in try call { subrosa_record_get_f64(record, name, length, &value, $0) } }
        return value
    }

    public func text(_ field: String) throws -> String {
        try use(field) { record, name, length in
            var text: UnsafePointer<CChar>?
            var textLength = 0
            try call { subrosa_record_get_text_view(record, name, length, &text, &textLength, $0) }
            return UnsafeRawBufferPointer(start: text, count: textLength).text
        }
    }

    public func bytes(_ field: String) throws -> Data {
        try use(field) { record, name, length in
            var data: UnsafePointer<UInt8>?
            var dataLength = 0
            try call { subrosa_record_get_bytes_view(record, name, length, &data, &dataLength, $0) }
            return Data(UnsafeRawBufferPointer(start: data, count: dataLength))
        }
    }

    /// A field of any kind as JSON text.
    public func json(_ field: String) throws -> String {
        try use(field) { record, name, length in
            try withBuffer({ subrosa_record_get_json(record, name, length, $0, $1) }, \.text)
        }
    }
}
