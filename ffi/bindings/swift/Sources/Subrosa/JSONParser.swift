import Foundation

extension Value {
    /// Reads one JSON value and nothing after it but white space, by the same rules as the engine.
    ///
    /// Throws `NOT_JSON`, or `NEWER_FORM`, with the byte offset as its number; whole numbers beyond 64 bits and floats beyond the largest
    /// finite one are refused, never rounded.
    public init(json text: String) throws {
        var parser = JSONParser(text)
        self = try parser.value(depth: Value.depthMax)
        parser.space()
        guard parser.isAtEnd else { throw parser.error("more behind the value") }
    }
}

private struct JSONParser {
    private let bytes: [UInt8]
    private var at = 0

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    var isAtEnd: Bool { at == bytes.count }

    /// Nil is where the parser is.
    func error(_ problem: String, at place: Int? = nil) -> SubrosaError {
        let place = place ?? at
        return SubrosaError(.notJSON, "no JSON at byte \(place): \(problem)", number: Int64(place))
    }

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func byte() throws -> UInt8 {
        guard let byte = peek else { throw error("it ends") }
        return byte
    }

    mutating func space() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { at += 1 }
    }

    /// `depth` is how many more levels of lists and maps are allowed.
    mutating func value(depth: Int) throws -> Value {
        space()
        switch try byte() {
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "["): return try list(depth: depth)
        case UInt8(ascii: "{"): return try map(depth: depth)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("no value begins so")
        }
    }

    private mutating func word(_ word: String, _ value: Value) throws -> Value {
        guard bytes[at...].starts(with: word.utf8) else { throw error("no value begins so") }
        at += word.utf8.count
        return value
    }

    private mutating func list(depth: Int) throws -> Value {
        guard depth > 0 else { throw error("too deep") }
        at += 1
        var items: [Value] = []
        space()
        if try byte() == UInt8(ascii: "]") {
            at += 1
            return .list(items)
        }
        while true {
            items.append(try value(depth: depth - 1))
            space()
            switch try byte() {
            case UInt8(ascii: "]"):
                at += 1
                return .list(items)
            case UInt8(ascii: ","): at += 1
            default: throw error("expected , or ]")
            }
        }
    }

    private mutating func map(depth: Int) throws -> Value {
        guard depth > 0 else { throw error("too deep") }
        at += 1
        var fields: [String: Value] = [:]
        space()
        if try byte() == UInt8(ascii: "}") {
            at += 1
            return .map(fields)
        }
        while true {
            space()
            guard try byte() == UInt8(ascii: "\"") else { throw error("expected a key") }
            let keyAt = at
            let key = try string()
            space()
            guard try byte() == UInt8(ascii: ":") else { throw error("expected :") }
            at += 1
            let item = try value(depth: depth - 1)
            guard fields.updateValue(item, forKey: key) == nil else { throw error("a key twice", at: keyAt) }
            space()
            switch try byte() {
            case UInt8(ascii: "}"):
                at += 1
                return try unescaped(fields)
            case UInt8(ascii: ","): at += 1
            default: throw error("expected , or }")
            }
        }
    }

    /// Turns forms into what they stand for, and takes the `$` away that keeps a map from being one.
    private func unescaped(_ fields: [String: Value]) throws -> Value {
        guard fields.count == 1, let (key, item) = fields.first, isForm(key) else { return .map(fields) }
        guard key == bytesKey else {
            let inner = String(decoding: key.utf8.dropFirst(), as: UTF8.self)
            if isForm(inner) { return .map([inner: item]) }
            throw SubrosaError(.newerForm, "a form of a newer version at byte \(at)", number: Int64(at))
        }
        guard case .text(let text) = item, let data = Data(base64Encoded: text) else { throw error("no base64") }
        return .bytes(data)
    }

    private mutating func number() throws -> Value {
        let start = at
        if peek == UInt8(ascii: "-") { at += 1 }
        let zero = try byte() == UInt8(ascii: "0")
        guard try digits() == 1 || !zero else { throw error("a zero in front", at: start) }
        var isFloat = false
        if peek == UInt8(ascii: ".") {
            (at, isFloat) = (at + 1, true)
            _ = try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            (at, isFloat) = (at + 1, true)
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { at += 1 }
            _ = try digits()
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isFloat {
            guard let number = Double(text), number.isFinite else { throw error("too large a number", at: start) }
            return .double(number)
        }
        guard let number = Int64(text) else { throw error("too large a number", at: start) }
        return .int(number)
    }

    /// One digit or more.
    private mutating func digits() throws -> Int {
        let start = at
        while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { at += 1 }
        guard at > start else { throw error("expected a digit") }
        return at - start
    }

    private mutating func string() throws -> String {
        at += 1
        var out: [UInt8] = []
        while true {
            let byte = try byte()
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: out, as: UTF8.self)
            case UInt8(ascii: "\\"): out.append(contentsOf: try escape())
            case 0..<0x20: throw error("a control character in a text", at: at - 1)
            default: out.append(byte)
            }
        }
    }

    private mutating func escape() throws -> [UInt8] {
        let byte = try byte()
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return Array(String(try scalar()).utf8)
        default: throw error("no such escape", at: at - 1)
        }
    }

    private mutating func scalar() throws -> Character {
        var code = try hex4()
        if (0xd800..<0xdc00).contains(code) {
            guard bytes[at...].starts(with: "\\u".utf8) else { throw error("half a surrogate pair") }
            at += 2
            let low = try hex4()
            guard (0xdc00..<0xe000).contains(low) else { throw error("half a surrogate pair") }
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
        return Character(scalar)
    }

    private mutating func hex4() throws -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(try byte())).hexDigitValue else {
                throw error("expected a hex digit")
            }
            code = code * 16 + UInt32(digit)
            at += 1
        }
        return code
    }
}
