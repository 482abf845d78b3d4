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

    private static func text(_ list: OpaquePointer, _ index: Int) throws -> String {
        var text: UnsafePointer<CChar>?
        var length = 0
        try call { subrosa_list_text_view(list, index, &text, &length, $0) }
        return UnsafeRawBufferPointer(start: text, count: length).text
    }
}
