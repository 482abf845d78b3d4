import Foundation
import Subrosa

extension Runner {
    func runWaiting(_ step: Step) async throws -> String {
        switch step.do {
        case "watch":
            let queue = try EventQueue()
            if step.has("collection") { try queue.add(collection(step)) } else { try queue.add(vault(step)) }
            queues[try step.get("events")] = queue
        case "events": return try await events(step)
        case "await": return try await awaited(step)
        case "sync": syncs[try step.get("device")] = try device(step).sync(relay: relay())
        case "wait_synced": try await found(syncs, step.get("device")).wait(idle: .seconds(30))
        case "stop_sync":
            try found(syncs, step.get("device")).stop()
            syncs[try step.get("device")] = nil
        case "pair", "pair_wrong_code": return try await pair(step)
        default: try await tick()
        }
        return "ok"
    }

    private func relay() throws -> String {
        guard let url = ProcessInfo.processInfo.environment["SUBROSA_TEST_RELAY"] else {
            throw ScenarioError("SUBROSA_TEST_RELAY is not set")
        }
        return url
    }

    /// As many events as are expected, and no more.
    private func events(_ step: Step) async throws -> String {
        let queue = try found(queues, step.get("events"))
        var seen: [String] = []
        for _ in (step.expect ?? "").split(separator: ",") {
            guard let event = try await queue.next(timeout: .seconds(10)) else { break }
            seen.append(text(event))
        }
        while let event = try queue.poll() { seen.append(text(event)) }
        return seen.joined(separator: ",")
    }

    private func text(_ event: Event) -> String {
        switch event.kind {
        case .change(.inserted(let id, _)): "inserted \(alias(id))"
        case .change(.updated(let id, _)): "updated \(alias(id))"
        case .change(.removed(let id, _)): "removed \(alias(id))"
        default: "\(event.kind)"
        }
    }

    /// Reads again at every change of the collection until the record is what is expected.
    private func awaited(_ step: Step) async throws -> String {
        let (collection, id) = (try collection(step), try id(step.get("id")))
        let queue = try EventQueue()
        try queue.add(collection)
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            let found = try collection.getJSON(id) ?? "absent"
            let left = deadline - .now
            if found == step.expect || left <= .zero { return found }
            _ = try await queue.next(timeout: left)
        }
    }

    /// Both sides of a pairing. The new device's side runs beside the old one's.
    private func pair(_ step: Step) async throws -> String {
        let (key, folder) = (try key(step), folder.appendingPathComponent(try step.get("dir")))
        let offer = try device(step).pairOffer(relay: relay())
        let join = try Device.pairJoin(
            at: folder, key: key, options: .init(name: step.get("name")), link: offer.link())
        async let shown = join.code(timeout: .seconds(30))
        let request = try await offer.request(timeout: .seconds(30))
        let code = try await shown
        if step.do == "pair_wrong_code" {
            let wrong = String(format: "%06d", ((Int(code) ?? 0) + 1) % 1_000_000)
            try await offer.confirm(typed: wrong)
            return "ok"
        }
        async let device = join.device(timeout: .seconds(30))
        try await offer.confirm(typed: code)
        devices[try step.get("new")] = OpenDevice(device: try await device, key: key, folder: folder)
        return request.name
    }

    /// Waits until the wall clock shows another millisecond, which orders two writes.
    private func tick() async throws {
        func now() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) }
        let start = now()
        while now() == start { await Task.yield() }
    }
}
