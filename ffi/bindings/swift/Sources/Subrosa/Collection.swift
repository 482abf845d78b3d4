import CSubrosa
import Foundation

/// A record and its id.
public struct Row<Element>: Identifiable {
    public let id: RecordID
    public let value: Element

    public init(id: RecordID, value: Element) {
        self.id = id
        self.value = value
    }
}

extension Row: Sendable where Element: Sendable {}
extension Row: Equatable where Element: Equatable {}
extension Row: Hashable where Element: Hashable {}

extension Vault {
    /// The records under one name, read and written as `Element`; use ``Value`` for records of any shape.
    ///
    /// Every method is a transaction of its own, or part of the one given by `in`. May be used by any number of threads.
    public final class Collection<Element: Codable & Sendable>: Sendable {
        public let name: String
        let handle: Handle
        /// Keeps the vault and its device open while the collection is in use.
        let vault: Vault

        init(_ handle: Handle, name: String, of vault: Vault) {
            self.handle = handle
            self.name = name
            self.vault = vault
        }

        /// Lets go of the collection now.
        public func close() {
            handle.close()
        }
    }
}

// MARK: - One record

extension Vault.Collection {
    /// Makes a record.
    @discardableResult
    public func insert(_ element: Element, in transaction: Transaction? = nil) throws -> RecordID {
        try write([.insert(element)], in: transaction)[0]
    }

    /// Sets the fields that `element` encodes, and leaves the record's others. Fields that an optional left out stay.
    public func put(_ id: RecordID, _ element: Element, in transaction: Transaction? = nil) throws {
        try write([.put(id, element)], in: transaction)
    }

    /// Sets the fields that `element` encodes, and removes the record's others.
    public func replace(_ id: RecordID, _ element: Element, in transaction: Transaction? = nil) throws {
        try write([.replace(id, element)], in: transaction)
    }

    /// The record, or nil when there is none.
    public func get(_ id: RecordID, in transaction: Transaction? = nil) throws -> Element? {
        try getMany([id], in: transaction)[0]
    }

    /// Removes the record. Tells whether there was one.
    @discardableResult
    public func delete(_ id: RecordID, in transaction: Transaction? = nil) throws -> Bool {
        var existed = false
        var raw = id.raw
        try use(transaction) { collection, tx in
            try call { subrosa_delete(collection, tx, &raw, &existed, $0) }
        }
        return existed
    }

    /// How many records there are. Reads them all.
    public func count(in transaction: Transaction? = nil) throws -> Int {
        var count: UInt64 = 0
        try use(transaction) { collection, tx in try call { subrosa_count(collection, tx, &count, $0) } }
        return Int(count)
    }

    func use<Result>(
        _ transaction: Transaction?, _ body: (OpaquePointer, OpaquePointer?) throws -> Result
    ) rethrows -> Result {
        try handle.use { collection in try transaction.use { try body(collection, $0) } }
    }
}

// MARK: - Many records in one call

extension Vault.Collection {
    /// The records with these ids, in their order, of one snapshot; nil where there is none.
    public func getMany(_ ids: [RecordID], in transaction: Transaction? = nil) throws -> [Element?] {
        let raw = ids.map(\.raw)
        return try use(transaction) { collection, tx in
            try withBuffer({
                subrosa_get_many(collection, tx, raw, raw.count, SUBROSA_FORMAT_FIELDS, $0, $1)
            }) { bytes in
                var reader = RowReader(bytes)
                var elements: [Element?] = []
                elements.reserveCapacity(ids.count)
                while let row = try reader.next() { elements.append(try row.value.map(decoded)) }
                guard elements.count == ids.count else {
                    throw SubrosaError(.badRows, "\(elements.count) rows for \(ids.count) ids")
                }
                return elements
            }
        }
    }

    /// Makes a record of each, all or none; their ids in the same order.
    @discardableResult
    public func insertMany(_ elements: [Element], in transaction: Transaction? = nil) throws -> [RecordID] {
        try write(elements.map { .insert($0) }, in: transaction)
    }

    /// Does all of these or none; the ids in the same order, those of inserts new. At most 65536 rows and 64 MiB.
    @discardableResult
    public func write(_ writes: [Write<Element>], in transaction: Transaction? = nil) throws -> [RecordID] {
        let encoder = ValueEncoder()
        var rows = RowWriter()
        for write in writes { try rows.append(write.map { try encoder.encode($0) }) }
        return try use(transaction) { collection, tx in
            try withBuffer({ subrosa_write_many(collection, tx, rows.bytes, rows.bytes.count, $0, $1) }) { ids in
                guard ids.count == writes.count * 16 else {
                    throw SubrosaError(.badRows, "\(ids.count) bytes of ids for \(writes.count) rows")
                }
                return stride(from: 0, to: ids.count, by: 16).map {
                    RecordID(bytes: UnsafeRawBufferPointer(rebasing: ids[$0..<$0 + 16]))
                }
            }
        }
    }

    private func decoded(_ value: Result<Value, any Error>) throws -> Element {
        try ValueDecoder().decode(Element.self, from: value.get())
    }
}

// MARK: - Reading through

extension Vault.Collection {
    /// One page in the order of ids, and whether another follows, which goes on after the last row's id. A page holds at most
    /// `limit` rows (1 to 65536), and fewer when they would pass 64 MiB.
    public func page(
        after: RecordID? = nil, limit: Int, in transaction: Transaction? = nil
    ) throws -> (rows: [Row<Element>], more: Bool) {
        let (rows, more) = try resultPage(after: after, limit: limit, in: transaction)
        return (try rows.map { Row(id: $0.id, value: try $0.value.get()) }, more)
    }

    private func resultPage(
        after: RecordID?, limit: Int, in transaction: Transaction?
    ) throws -> (rows: [Row<Result<Element, any Error>>], more: Bool) {
        var more = false
        var start = after?.raw ?? subrosa_id()
        let rows = try use(transaction) { collection, tx in
            try withUnsafePointer(to: &start) { start in
                try withBuffer({
                    subrosa_page(
                        collection, tx, after == nil ? nil : start, limit, SUBROSA_FORMAT_FIELDS, $0, &more, $1)
                }) { bytes in
                    var reader = RowReader(bytes)
                    var rows: [Row<Result<Element, any Error>>] = []
                    while let row = try reader.next() {
                        if let value = row.value { rows.append(Row(id: row.id, value: Result { try decoded(value) })) }
                    }
                    return rows
                }
            }
        }
        return (rows, more)
    }

    /// Calls `body` with every record in the order of ids. Give a read transaction to see one moment; without, each page is
    /// of its own moment.
    public func forEach(
        pageSize: Int = 512, in transaction: Transaction? = nil, _ body: (Row<Element>) throws -> Void
    ) throws {
        try forEachResult(pageSize: pageSize, in: transaction) { try body(Row(id: $0.id, value: try $0.value.get())) }
    }

    private func forEachResult(
        pageSize: Int = 512, in transaction: Transaction?, _ body: (Row<Result<Element, any Error>>) throws -> Void
    ) throws {
        var after: RecordID?
        while true {
            let (rows, more) = try resultPage(after: after, limit: pageSize, in: transaction)
            try rows.forEach(body)
            guard more, let last = rows.last else { return }
            after = last.id
        }
    }

    /// Every record in the order of ids, at once.
    public func all(in transaction: Transaction? = nil) throws -> [Row<Element>] {
        var rows: [Row<Element>] = []
        try forEach(in: transaction) { rows.append($0) }
        return rows
    }

    /// As ``all(in:)``, with an error in the place of each record that is no `Element`: one that another version of the app
    /// wrote does not hide the rest.
    public func allResults(in transaction: Transaction? = nil) throws -> [Row<Result<Element, any Error>>] {
        var rows: [Row<Result<Element, any Error>>] = []
        try forEachResult(in: transaction) { rows.append($0) }
        return rows
    }

    /// Every record in the order of ids, read page by page off the calling actor.
    public func scan(pageSize: Int = 512) -> RowSequence<Element> {
        RowSequence(collection: self, pageSize: pageSize)
    }
}

/// Every record of a collection, in the order of ids: ``Vault/Collection/scan(pageSize:)``.
public struct RowSequence<Record: Codable & Sendable>: AsyncSequence, Sendable {
    public typealias Element = Row<Record>

    let collection: Vault.Collection<Record>
    let pageSize: Int

    public func makeAsyncIterator() -> Iterator {
        Iterator(sequence: self)
    }

    /// Reads the next page when the last one is used up.
    public struct Iterator: AsyncIteratorProtocol {
        private let sequence: RowSequence
        private var rows: ArraySlice<Row<Record>> = []
        private var after: RecordID?
        private var more = true

        init(sequence: RowSequence) {
            self.sequence = sequence
        }

        public mutating func next() async throws -> Row<Record>? {
            while rows.isEmpty, more {
                let (collection, after, limit) = (sequence.collection, after, sequence.pageSize)
                let page = try await offload { try collection.page(after: after, limit: limit) }
                (rows, more) = (page.rows[...], page.more && !page.rows.isEmpty)
                self.after = page.rows.last?.id ?? after
            }
            return rows.popFirst()
        }
    }
}
