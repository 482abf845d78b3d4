/// Events of one source, one after another, for one consumer.
///
/// Ends when the source does (the device was closed, the sync was stopped), and when the consuming task is cancelled. The
/// subscription begins when the sequence is made and is given up when nobody refers to the sequence or its iterator. Until
/// then it keeps its source alive: a device stays open, and a sync runs, while somebody listens.
public struct EventSequence<Element: Sendable>: AsyncSequence, Sendable {
    private let queue: EventQueue
    private let pick: @Sendable (Event.Kind) -> Element?

    init(_ queue: EventQueue, pick: @escaping @Sendable (Event.Kind) -> Element?) {
        self.queue = queue
        self.pick = pick
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(queue: queue, pick: pick)
    }

    public struct Iterator: AsyncIteratorProtocol {
        let queue: EventQueue
        let pick: @Sendable (Event.Kind) -> Element?

        public mutating func next() async throws -> Element? {
            do {
                while let event = try await queue.next() {
                    if event.kind == .over { break }
                    if let element = pick(event.kind) { return element }
                }
            } catch is CancellationError {
                // As other sequences do, this one ends.
            } catch let error as SubrosaError where error.code == .closed || error.code == .invalidHandle {
                // The queue is closed: this sequence ended before.
            }
            queue.close()
            return nil
        }
    }

    /// Gives up the subscription now; a waiting consumer sees the end.
    public func close() {
        queue.close()
    }
}

extension Vault {
    /// What happens in the vault from now on, by this device and by others.
    public func changes() throws -> EventSequence<Change> {
        let queue = try EventQueue()
        try queue.add(self)
        return .changes(queue)
    }
}

extension Vault.Collection {
    /// What happens in the collection from now on, by this device and by others.
    public func changes() throws -> EventSequence<Change> {
        let queue = try EventQueue()
        try queue.add(self)
        return .changes(queue)
    }
}

extension Sync {
    /// What happens in sync from now on.
    public func events() throws -> EventSequence<SyncEvent> {
        let queue = try EventQueue()
        try queue.add(self)
        return EventSequence(queue) { kind in
            switch kind {
            case .sync(let event): event
            case .lagged: .lagged
            case .change, .over, .unknown: nil
            }
        }
    }
}

extension EventSequence where Element == Change {
    fileprivate static func changes(_ queue: EventQueue) -> Self {
        EventSequence(queue) { kind in
            switch kind {
            case .change(let change): change
            case .lagged: .lagged
            case .sync, .over, .unknown: nil
            }
        }
    }
}
