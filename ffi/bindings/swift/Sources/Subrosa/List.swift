import CSubrosa

/// What a device may do in a vault.
public enum Role: Sendable, Hashable {
    case admin, writer, reader
    /// A role that this package does not know.
    case unknown(Int32)

    init(_ raw: Int32) {
        switch raw {
        case SUBROSA_ROLE_ADMIN: self = .admin
        case SUBROSA_ROLE_WRITER: self = .writer
        case SUBROSA_ROLE_READER: self = .reader
        default: self = .unknown(raw)
        }
    }
}

/// A device that is in a vault.
public struct DeviceInfo: Sendable, Hashable {
    public let name: String
    public let role: Role
    /// It is the device that was asked.
    public let isThis: Bool
    public let publicKey: PublicKey
    /// Who let it in; nil for the vault's first device.
    public let addedBy: PublicKey?

    init(name: String, _ raw: subrosa_device_info) {
        self.name = name
        role = Role(raw.role)
        isThis = raw.is_this != 0
        publicKey = PublicKey(raw.public_key)
        addedBy = raw.has_added_by != 0 ? PublicKey(raw.added_by) : nil
    }

    static var emptyRaw: subrosa_device_info {
        var raw = subrosa_device_info()
        raw.struct_size = UInt32(MemoryLayout<subrosa_device_info>.size)
        return raw
    }
}

/// A device whose store was copied or put back from a backup, and went on twice. All of it is kept and merged.
public struct ForksOfDevice: Sendable, Hashable {
    /// Nil if it is not listed.
    public let name: String?
    /// It is the device that was asked.
    public let isThis: Bool
    public let publicKey: PublicKey
    /// So many of its logs have several futures.
    public let logs: UInt64
    /// So many futures they have beyond one each.
    public let futures: UInt64

    init(name: String, _ raw: subrosa_fork_info) {
        self.name = name.isEmpty ? nil : name
        isThis = raw.is_this != 0
        publicKey = PublicKey(raw.public_key)
        logs = raw.logs
        futures = raw.futures
    }
}

/// What is held of a device: it was made more than five minutes ahead of this device's clock, and is merged when its time comes.
public struct HeldOfDevice: Sendable, Hashable {
    /// Nil if it is not listed.
    public let name: String?
    public let publicKey: PublicKey
    /// So many groups of edits.
    public let groups: UInt64
    /// When the first of them is merged, in Unix milliseconds.
    public let untilMilliseconds: UInt64

    init(name: String, _ raw: subrosa_held_info) {
        self.name = name.isEmpty ? nil : name
        publicKey = PublicKey(raw.public_key)
        groups = raw.groups
        untilMilliseconds = raw.until_ms
    }
}

/// What is held of a vault for this device's clock.
public struct HeldGroups: Sendable, Hashable {
    public let devices: [HeldOfDevice]
    /// Everybody's is held: it is probably this device's own clock that is wrong.
    public let clockIsLate: Bool
}

/// A vault with which not all is well at the relay.
public struct VaultAtRelay: Sendable, Hashable {
    public let vault: VaultID
    /// The relay's code of its last refusal, or 0.
    public let refusedCode: Int32
    /// Why it rests while the others go on; nil if it does not.
    public let rests: String?
    /// The relay hides something of it, or has lost it.
    public let disagrees: Bool
    /// The relay claims another future of this device's log and does not show it: nothing is sent to it.
    public let disputed: Bool
    /// Nothing is sent before an update.
    public let updateNeeded: Bool

    init(rests: String, _ raw: subrosa_sync_vault) {
        vault = VaultID(raw.vault)
        refusedCode = raw.refused
        self.rests = rests.isEmpty ? nil : rests
        disagrees = raw.disagrees != 0
        disputed = raw.disputed != 0
        updateNeeded = raw.update_needed != 0
    }
}

/// An answer of several entries, closed when it was read.
struct List {
    let handle: Handle

    static func made(
        by make: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    ) throws -> List {
        List(handle: try .made(closing: subrosa_list_close, by: make))
    }

    func texts() throws -> [String] {
        try handle.use { list in try (0..<subrosa_list_len(list)).map { try Self.text(list, $0) } }
    }

    func devices() throws -> [DeviceInfo] {
        try handle.use { list in
            try (0..<subrosa_list_len(list)).map { index in
                var raw = DeviceInfo.emptyRaw
                try call { subrosa_list_device(list, index, &raw, $0) }
                return DeviceInfo(name: try Self.text(list, index), raw)
            }
        }
    }

    func forks() throws -> [ForksOfDevice] {
        try handle.use { list in
            try (0..<subrosa_list_len(list)).map { index in
                var raw = subrosa_fork_info()
                raw.struct_size = UInt32(MemoryLayout<subrosa_fork_info>.size)
                try call { subrosa_list_forks(list, index, &raw, $0) }
                return ForksOfDevice(name: try Self.text(list, index), raw)
            }
        }
    }

    func held() throws -> [HeldOfDevice] {
        try handle.use { list in
            try (0..<subrosa_list_len(list)).map { index in
                var raw = subrosa_held_info()
                raw.struct_size = UInt32(MemoryLayout<subrosa_held_info>.size)
                try call { subrosa_list_held(list, index, &raw, $0) }
                return HeldOfDevice(name: try Self.text(list, index), raw)
            }
        }
    }

    func vaultsAtRelay() throws -> [VaultAtRelay] {
        try handle.use { list in
            try (0..<subrosa_list_len(list)).map { index in
                var raw = subrosa_sync_vault()
                raw.struct_size = UInt32(MemoryLayout<subrosa_sync_vault>.size)
                try call { subrosa_list_sync_vault(list, index, &raw, $0) }
                return VaultAtRelay(rests: try Self.text(list, index), raw)
            }
        }
    }

    private static func text(_ list: OpaquePointer, _ index: Int) throws -> String {
        var text: UnsafePointer<CChar>?
        var length = 0
        try call { subrosa_list_text_view(list, index, &text, &length, $0) }
        return UnsafeRawBufferPointer(start: text, count: length).text
    }
}
