import CSubrosa

// Records as JSON text or as ``Record``, past the collection's `Element`: exact, and with any field names.

extension Vault.Collection {
    /// Makes a record of the text of a JSON object.
    @discardableResult
    public func insertJSON(_ json: String, in transaction: Transaction? = nil) throws -> RecordID {
        var id = subrosa_id()
        try use(transaction) { collection, tx in
            try json.withText { json, length in try call { subrosa_insert_json(collection, tx, json, length, &id, $0) } }
        }
        return RecordID(id)
    }

    /// Sets the fields of a JSON object and leaves others.
    public func putJSON(_ id: RecordID, _ json: String, in transaction: Transaction? = nil) throws {
        var raw = id.raw
        try use(transaction) { collection, tx in
            try json.withText { json, length in try call { subrosa_put_json(collection, tx, &raw, json, length, $0) } }
        }
    }

    /// Sets the fields of a JSON object and removes others.
    public func replaceJSON(_ id: RecordID, _ json: String, in transaction: Transaction? = nil) throws {
        var raw = id.raw
        try use(transaction) { collection, tx in
            try json.withText { json, length in
                try call { subrosa_replace_json(collection, tx, &raw, json, length, $0) }
            }
        }
    }

    /// The record as compact JSON with sorted keys, or nil when there is none.
    public func getJSON(_ id: RecordID, in transaction: Transaction? = nil) throws -> String? {
        var raw = id.raw
        var found = false
        let json = try use(transaction) { collection, tx in
            try withBuffer({ subrosa_get_json(collection, tx, &raw, $0, &found, $1) }, \.text)
        }
        return found ? json : nil
    }

    /// Makes a record of these fields.
    @discardableResult
    public func insert(record: Record, in transaction: Transaction? = nil) throws -> RecordID {
        var id = subrosa_id()
        try use(transaction) { collection, tx in
            try record.handle.use { record in try call { subrosa_insert(collection, tx, record, &id, $0) } }
        }
        return RecordID(id)
    }

    /// Sets these fields and leaves others.
    public func put(_ id: RecordID, record: Record, in transaction: Transaction? = nil) throws {
        var raw = id.raw
        try use(transaction) { collection, tx in
            try record.handle.use { record in try call { subrosa_put(collection, tx, &raw, record, $0) } }
        }
    }

    /// Sets these fields and removes others.
    public func replace(_ id: RecordID, record: Record, in transaction: Transaction? = nil) throws {
        var raw = id.raw
        try use(transaction) { collection, tx in
            try record.handle.use { record in try call { subrosa_replace(collection, tx, &raw, record, $0) } }
        }
    }

    /// The record field by field, or nil when there is none.
    public func record(_ id: RecordID, in transaction: Transaction? = nil) throws -> Record? {
        var raw = id.raw
        return try use(transaction) { collection, tx in
            var out: OpaquePointer?
            try call { subrosa_get(collection, tx, &raw, &out, $0) }
            return out.map { Record(Handle($0, closing: subrosa_record_close)) }
        }
    }
}
