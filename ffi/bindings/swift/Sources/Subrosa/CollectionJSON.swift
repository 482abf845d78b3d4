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

    /// The names of the fields behind `after`, at most `limit` (1 to 65536), of a record of any size; nil when there is none.
    public func fieldNames(
        _ id: RecordID, after: String? = nil, limit: Int = 1000, in transaction: Transaction? = nil
    ) throws -> [String]? {
        var raw = id.raw
        return try use(transaction) { collection, tx in
            try (after ?? "").withText { text, length in
                var out: OpaquePointer?
                try call { subrosa_field_names(collection, tx, &raw, after == nil ? nil : text, length, limit, &out, $0) }
                return try out.map { try List(handle: Handle($0, closing: subrosa_list_close)).texts() }
            }
        }
    }

    /// One field of a record of any size, as a record with this field alone; nil when there is none.
    public func field(_ name: String, of id: RecordID, in transaction: Transaction? = nil) throws -> Record? {
        var raw = id.raw
        return try use(transaction) { collection, tx in
            try name.withText { name, length in
                var out: OpaquePointer?
                try call { subrosa_get_field(collection, tx, &raw, name, length, &out, $0) }
                return out.map { Record(Handle($0, closing: subrosa_record_close)) }
            }
        }
    }

    /// One field of a record of any size, as JSON; nil when there is none.
    public func fieldJSON(_ name: String, of id: RecordID, in transaction: Transaction? = nil) throws -> String? {
        var raw = id.raw
        var found = false
        let json = try use(transaction) { collection, tx in
            try name.withText { name, length in
                try withBuffer({ subrosa_get_field_json(collection, tx, &raw, name, length, $0, &found, $1) }, \.text)
            }
        }
        return found ? json : nil
    }

    /// Deletes one field of a record of any size. Tells whether there was one; the record stays.
    @discardableResult
    public func deleteField(_ name: String, of id: RecordID, in transaction: Transaction? = nil) throws -> Bool {
        var raw = id.raw
        var existed = false
        try use(transaction) { collection, tx in
            try name.withText { name, length in
                try call { subrosa_delete_field(collection, tx, &raw, name, length, &existed, $0) }
            }
        }
        return existed
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
