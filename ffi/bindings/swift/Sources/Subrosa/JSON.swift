import Foundation

extension Value {
    /// Compact JSON with sorted keys, the same text as the engine's.
    ///
    /// Whole numbers are exact, a float always has a point or an exponent, bytes are `{"$bytes":"<base64>"}`. A map whose
    /// only key begins with `$` gets one more in front of it.
    public var json: String {
        var out = ""
        write(to: &out)
        return out
    }

    private func write(to out: inout String) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .int(let value): out += String(value)
        case .double(let value): out += jsonText(value)
        case .text(let text): writeJSON(text, to: &out)
        case .bytes(let bytes): out += "{\"\(bytesKey)\":\"\(bytes.base64EncodedString())\"}"
        case .list(let items):
            out += "["
            for (index, item) in items.enumerated() {
                if index > 0 { out += "," }
                item.write(to: &out)
            }
            out += "]"
        case .map(let fields):
            let escaped = fields.count == 1 && isForm(fields.first!.key)
            out += "{"
            for (index, field) in fields.sorted(by: { $0.key.precedesByBytes($1.key) }).enumerated() {
                if index > 0 { out += "," }
                writeJSON(escaped ? "$" + field.key : field.key, to: &out)
                out += ":"
                field.value.write(to: &out)
            }
            out += "}"
        }
    }
}

/// The form of bytes: the only key of an object that stands for them.
let bytesKey = "$bytes"

/// Whether an object with only this key is a form, which stands for what JSON has no word for, unless the key has one more `$`.
func isForm(_ key: String) -> Bool {
    key.utf8.first == UInt8(ascii: "$")
}

extension String {
    /// The order of keys. Swift's own `<` is of Unicode's canonical forms and would sort differently.
    func precedesByBytes(_ other: String) -> Bool {
        utf8.lexicographicallyPrecedes(other.utf8)
    }
}

private func writeJSON(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\n": out += "\\n"
        case "\r": out += "\\r"
        case "\t": out += "\\t"
        case _ where scalar.value < 0x20:
            let hex = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        default: out.unicodeScalars.append(scalar)
        }
    }
    out += "\""
}

/// The shortest text that reads back as this float, laid out as the engine does: with a point between 1e-4 and 1e16, else
/// with an exponent.
private func jsonText(_ number: Double) -> String {
    guard number.isFinite else { return "null" }
    let magnitude = number.magnitude
    let sign = number.sign == .minus ? "-" : ""
    let (digits, exponent) = decimal(magnitude)
    if magnitude != 0, magnitude < 1e-4 || magnitude >= 1e16 {
        let fraction = digits.dropFirst()
        return sign + digits.prefix(1) + (fraction.isEmpty ? "" : "." + fraction) + "e\(exponent)"
    }
    if exponent < 0 {
        return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits
    }
    let padded = digits + String(repeating: "0", count: max(0, exponent + 2 - digits.count))
    return sign + padded.prefix(exponent + 1) + "." + padded.dropFirst(exponent + 1)
}

/// The significant digits of a finite float, and the power of ten of the first of them.
private func decimal(_ magnitude: Double) -> (digits: String, exponent: Int) {
    let parts = magnitude.description.split(separator: "e")
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = mantissa[0]
    let all = whole + (mantissa.count > 1 ? mantissa[1] : "")
    let leading = all.prefix { $0 == "0" }.count
    var digits = all.dropFirst(leading)
    while digits.last == "0" { digits.removeLast() }
    guard !digits.isEmpty else { return ("0", 0) }
    let shift = parts.count > 1 ? Int(parts[1])! : 0
    return (String(digits), whole.count - 1 - leading + shift)
}
