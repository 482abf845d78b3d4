import Foundation
import Subrosa

/// The variables of one file, and what each step does with them.
final class Runner {
    let folder: URL
    var keys: [String: Key] = [:]
    var devices: [String: OpenDevice] = [:]
    var syncs: [String: Sync] = [:]
    var transactions: [String: Transaction] = [:]
    var queues: [String: EventQueue] = [:]
    var sessions: [String: Session] = [:]
    var messages: [String: Data] = [:]
    /// Records' ids by alias.
    var ids: [String: RecordID] = [:]

    /// A device with what is needed to open it again.
    struct OpenDevice {
        let device: Device
        let key: Key
        let folder: URL
    }

    init(folder: URL) {
        self.folder = folder
    }

    func run(_ step: Step) async throws -> String {
        switch step.do {
        case "key", "import_key", "create", "open", "close", "restart", "copy", "suspend", "resume", "network_changed", "verify":
            try await runDevice(step)
        case "create_vault", "open_vault", "vaults", "devices", "collections", "forks", "held", "begin", "commit", "abort":
            try runVault(step)
        case "insert", "put", "replace", "get", "delete", "count", "set", "field", "scan", "get_many", "write_many",
            "names", "get_field", "delete_field":
            try runRecords(step)
        case "session", "seal", "unseal":
            try runSession(step)
        case "watch", "events", "await", "sync", "wait_synced", "stop_sync", "pair", "pair_wrong_code", "tick":
            try await runWaiting(step)
        default:
            throw ScenarioError("no step is called \(step.do)")
        }
    }

    /// Closes what is open.
    func close() throws {
        transactions.values.forEach { $0.abort() }
        queues.values.forEach { $0.close() }
        for sync in syncs.values { try sync.stop() }
        for open in devices.values { try open.device.close() }
    }

    // MARK: - Names

    func found<Thing>(_ things: [String: Thing], _ name: String) throws -> Thing {
        guard let thing = things[name] else { throw ScenarioError("nothing is called \(name)") }
        return thing
    }

    func key(_ step: Step, _ field: String = "key") throws -> Key { try found(keys, step.get(field)) }
    func device(_ step: Step) throws -> Device { try found(devices, step.get("device")).device }
    func vault(_ step: Step) throws -> Vault { try device(step).vault(step.get("vault")) }

    func collection(_ step: Step) throws -> Vault.Collection<Value> {
        try vault(step).collection(step.get("collection"))
    }

    func transaction(_ step: Step) throws -> Transaction? {
        step.has("tx") ? try found(transactions, step.get("tx")) : nil
    }

    func id(_ name: String) throws -> RecordID {
        name.hasPrefix("name:") ? try RecordID(name: String(name.dropFirst("name:".count))) : try found(ids, name)
    }

    func alias(_ id: RecordID) -> String {
        ids.first { $0.value == id }?.key ?? id.description
    }

    // MARK: - Keys and devices

    private func runDevice(_ step: Step) async throws -> String {
        switch step.do {
        case "key":
            keys[try step.get("key")] = try Key.generate()
        case "import_key":
            keys[try step.get("key")] = try Key(pkcs8: Data(hex: step.get("pkcs8")))
        case "create", "open":
            let (key, folder) = (try key(step), folder.appendingPathComponent(try step.get("dir")))
            let device =
                step.do == "create"
                ? try await Device.create(at: folder, key: key, options: .init(name: step.get("name")))
                : try await Device.open(at: folder, key: key)
            devices[try step.get("device")] = OpenDevice(device: device, key: key, folder: folder)
        case "close":
            try await device(step).close()
            devices[try step.get("device")] = nil
        case "restart":
            let open = try found(devices, step.get("device"))
            syncs[try step.get("device")] = nil
            try await open.device.close()
            devices[try step.get("device")] = OpenDevice(
                device: try await Device.open(at: open.folder, key: open.key), key: open.key, folder: open.folder)
        case "copy":
            try FileManager.default.copyItem(
                at: folder.appendingPathComponent(try step.get("dir")), to: folder.appendingPathComponent(try step.get("to")))
        case "suspend": try await device(step).suspend(deadline: .seconds(5))
        case "resume": try await device(step).resume()
        case "network_changed": try device(step).networkChanged()
        default: return try device(step).verify().isGood ? "good" : "bad"
        }
        return "ok"
    }

    // MARK: - Vaults and transactions

    private func runVault(_ step: Step) throws -> String {
        switch step.do {
        case "create_vault": _ = try device(step).createVault(step.get("vault"))
        case "open_vault": _ = try vault(step)
        case "vaults": return try device(step).vaults().joined(separator: ",")
        case "collections": return try vault(step).collections().joined(separator: ",")
        case "devices":
            return try vault(step).devices()
                .map { "\($0.name):\($0.role)" + ($0.isThis ? ":this" : "") }.joined(separator: ",")
        case "forks":
            return try vault(step).forks()
                .map { "\($0.name ?? ""):\($0.logs):\($0.futures)" + ($0.isThis ? ":this" : "") }.joined(separator: ",")
        case "held":
            let held = try vault(step).held()
            let devices = held.devices.map { "\($0.name ?? ""):\($0.groups)" }
            return (devices + (held.clockIsLate ? ["late"] : [])).joined(separator: ",")
        case "begin":
            transactions[try step.get("tx")] = try vault(step).begin(step.get("mode") == "write" ? .write : .read)
        case "commit":
            let transaction = try found(transactions, step.get("tx"))
            transactions[try step.get("tx")] = nil
            try transaction.commit()
        default:
            try found(transactions, step.get("tx")).abort()
            transactions[try step.get("tx")] = nil
        }
        return "ok"
    }

    // MARK: - Sessions

    private func runSession(_ step: Step) throws -> String {
        switch step.do {
        case "session":
            let peer = step.has("peer") ? try key(step, "peer").publicKey() : nil
            let profile: Session.Profile =
                switch try step.get("profile") {
                case "subrosa/1": .subrosa1(context: Data(try step.get("context").utf8))
                case "supabase-e2ee-v1": .supabaseE2EE1
                default: throw ScenarioError("no such profile")
                }
            sessions[try step.get("session")] = try Session(key: key(step), peer: peer, profile: profile)
            return "ok"
        case "seal":
            let sealed = try found(sessions, step.get("session"))
                .seal(Data(step.get("text").utf8), aad: Data(step.get("aad").utf8))
            messages[try step.get("as")] = sealed
            return String(sealed.count)
        default:
            let sealed = step.has("hex") ? try Data(hex: step.get("hex")) : try found(messages, step.get("message"))
            return try found(sessions, step.get("session"))
                .withOpened(sealed, aad: Data(step.get("aad").utf8)) { String(decoding: $0, as: UTF8.self) }
        }
    }
}

extension Data {
    init(hex: String) throws {
        let digits = try hex.map { digit in
            guard let value = digit.hexDigitValue else { throw ScenarioError("no hexadecimal") }
            return UInt8(value)
        }
        self.init(stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
    }

    var hex: String { map { String(format: "%02x", $0) }.joined() }
}
