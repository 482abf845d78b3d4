import Foundation
import Subrosa

extension Runner {
    func runRecords(_ step: Step) throws -> String {
        let (collection, tx) = (try collection(step), try transaction(step))
        switch step.do {
        case "insert":
            let id = try collection.insertJSON(step.get("json"), in: tx)
            if step.has("as") { ids[try step.get("as")] = id }
        case "put": try collection.putJSON(id(step.get("id")), step.get("json"), in: tx)
        case "replace": try collection.replaceJSON(id(step.get("id")), step.get("json"), in: tx)
        case "get": return try collection.getJSON(id(step.get("id")), in: tx) ?? "absent"
        case "delete": return try collection.delete(id(step.get("id")), in: tx) ? "existed" : "absent"
        case "names": return try names(collection, id(step.get("id")), limit: step.limit ?? 1, in: tx)
        case "get_field": return try collection.fieldJSON(step.get("field"), of: id(step.get("id")), in: tx) ?? "absent"
        case "delete_field":
            return try collection.deleteField(step.get("field"), of: id(step.get("id")), in: tx) ? "existed" : "absent"
        case "count": return String(try collection.count(in: tx))
        case "set":
            let record = try Record()
            for (name, entry) in step.fields ?? [:] { try record.set(name, value(kind: entry[0], text: entry[1])) }
            try collection.put(id(step.get("id")), record: record, in: tx)
        case "field":
            guard let record = try collection.record(id(step.get("id")), in: tx) else { return "absent" }
            return try field(step.get("field"), of: record)
        case "scan": return try scan(collection, limit: step.limit ?? 1, in: tx)
        case "get_many":
            return try collection.getMany((step.ids ?? []).map(id), in: tx)
                .map { $0?.json ?? "absent" }.joined(separator: "|")
        default: try writeMany(step.rows ?? [], to: collection, in: tx)
        }
        return "ok"
    }

    private func scan(_ collection: Vault.Collection<Value>, limit: Int, in tx: Transaction?) throws -> String {
        var seen: [String] = []
        try collection.forEach(pageSize: limit, in: tx) { seen.append(alias($0.id)) }
        return seen.joined(separator: ",")
    }

    private func writeMany(_ rows: [Step], to collection: Vault.Collection<Value>, in tx: Transaction?) throws {
        let writes: [Write<Value>] = try rows.map { row in
            switch row.do {
            case "insert": .insert(try Value(json: row.get("json")))
            case "put": .put(try id(row.get("id")), try Value(json: row.get("json")))
            case "replace": .replace(try id(row.get("id")), try Value(json: row.get("json")))
            case "import": .import(try id(row.get("id")), try Value(json: row.get("json")))
            case "delete": .delete(try id(row.get("id")))
            default: throw ScenarioError("no such op")
            }
        }
        let written = try collection.write(writes, in: tx)
        for (row, id) in zip(rows, written) where row.has("as") { ids[try row.get("as")] = id }
    }

    private func names(
        _ collection: Vault.Collection<Value>, _ id: RecordID, limit: Int, in tx: Transaction?
    ) throws -> String {
        var names: [String] = []
        while true {
            guard let page = try collection.fieldNames(id, after: names.last, limit: limit, in: tx) else { return "absent" }
            names += page
            if page.count < limit { return names.joined(separator: ",") }
        }
    }

    private func value(kind: String, text: String) throws -> Value {
        switch kind {
        case "null": .null
        case "bool": .bool(text == "true")
        case "i64": .int(try parsed(Int64(text)))
        case "f64": .double(try parsed(Double(text)))
        case "text": .text(text)
        case "bytes": .bytes(try Data(hex: text))
        case "json": try Value(json: text)
        default: throw ScenarioError("no such kind")
        }
    }

    private func parsed<Number>(_ number: Number?) throws -> Number {
        guard let number else { throw ScenarioError("no number") }
        return number
    }

    private func field(_ name: String, of record: Record) throws -> String {
        switch try record.kind(name) {
        case .absent: "absent"
        case .null: "null"
        case .bool: "bool:\(try record.bool(name))"
        case .int: "i64:\(try record.int(name))"
        case .double: "f64:\(Value.double(try record.double(name)).json)"
        case .text: "text:\(try record.text(name))"
        case .bytes: "bytes:\(try record.bytes(name).hex)"
        case .list: "list"
        case .map: "map"
        }
    }
}
