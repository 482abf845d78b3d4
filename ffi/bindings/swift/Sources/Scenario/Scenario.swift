/// A file of ffi/scenario.
struct Scenario: Decodable {
    let name: String
    let relay: Bool
    let steps: [Step]
}

/// One step; which fields there are depends on `do` (ffi/scenario/README.md).
struct Step: Decodable {
    let `do`: String
    let error: String?
    let expect: String?
    let limit: Int?
    let ids: [String]?
    let fields: [String: [String]]?
    let rows: [Step]?
    /// All fields that are texts.
    private let texts: [String: String]

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        var texts: [String: String] = [:]
        for key in container.allKeys { texts[key.stringValue] = try? container.decode(String.self, forKey: key) }
        self.texts = texts
        `do` = texts["do"] ?? texts["op"] ?? ""
        error = texts["error"]
        expect = texts["expect"]
        limit = try container.decodeIfPresent(Int.self, forKey: Name(stringValue: "limit"))
        ids = try container.decodeIfPresent([String].self, forKey: Name(stringValue: "ids"))
        fields = try container.decodeIfPresent([String: [String]].self, forKey: Name(stringValue: "fields"))
        rows = try container.decodeIfPresent([Step].self, forKey: Name(stringValue: "rows"))
    }

    func has(_ field: String) -> Bool { texts[field] != nil }

    /// The field, or an error that says that the file lacks it.
    func get(_ field: String) throws -> String {
        guard let text = texts[field] else { throw ScenarioError("the step has no field \(field)") }
        return text
    }
}

struct ScenarioError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
