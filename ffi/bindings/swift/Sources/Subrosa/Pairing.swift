import CSubrosa
import Foundation

/// What the old device shows while a new one asks to be let in.
public struct PairRequest: Sendable, Hashable {
    /// The new device's name, in its own words.
    public let name: String
    /// Six digits; the new device must show the same.
    public let code: String
}

extension Device {
    /// Offers to let a new device into this device's vaults, over a relay (nil: the stored one).
    public func pairOffer(relay: String? = nil) throws -> PairOffer {
        try handle.use { device in
            try relay.withText { relay, length in
                PairOffer(
                    try .made(closing: subrosa_pair_offer_close) {
                        subrosa_pair_offer_start(device, relay, length, $0, $1)
                    }, of: self)
            }
        }
    }

    /// Answers the offer of an old device by its link, and makes a store in `folder` once that device agrees.
    public static func pairJoin(
        at folder: URL, key: Key, options: DeviceOptions = .init(), link: String
    ) throws -> PairJoin {
        try folder.path.withText { path, length in
            try link.withText { link, linkLength in
                try options.withRaw { options in
                    try key.handle.use { key in
                        PairJoin(
                            try .made(closing: subrosa_pair_join_close) {
                                subrosa_pair_join_start(path, length, key, options, link, linkLength, $0, $1)
                            })
                    }
                }
            }
        }
    }
}

/// Pairing on the old device. Ends, and withdraws its link, when nobody refers to it.
public final class PairOffer: Sendable {
    private let handle: Handle
    private let device: Device

    init(_ handle: Handle, of device: Device) {
        self.handle = handle
        self.device = device
    }

    /// What the new device needs, to be shown as a QR code. It is a secret until it is used.
    public func link() throws -> String {
        try handle.use { offer in try withSecret({ subrosa_pair_offer_link(offer, $0, $1) }, \.text) }
    }

    /// Waits until a new device answers. `TIMEOUT`: may be asked again.
    public func request(timeout: Duration? = nil) async throws -> PairRequest {
        try await wait { cancel in
            try self.handle.use { offer in
                try call { subrosa_pair_offer_wait(offer, timeout.milliseconds, cancel, $0) }
                return try Self.request(offer)
            }
        }
    }

    private static func request(_ offer: OpaquePointer) throws -> PairRequest {
        var code = subrosa_pair_code()
        let name = try withBuffer({ subrosa_pair_offer_request(offer, &code, $0, $1) }, \.text)
        return PairRequest(name: name, code: text(of: code))
    }

    /// Lets the new device in. `typed` is the code that the user read on the new device and typed here: `PAIR_WRONG_CODE`
    /// when it is another; nil says that the user compared the two and found them equal. `NOT_READY` before a device answered.
    @discardableResult
    public func confirm(typed: String?) async throws -> DeviceInfo {
        try await block {
            var raw = DeviceInfo.emptyRaw
            let name = try self.handle.use { offer in
                let name = try Self.request(offer).name
                try typed.withText { typed, length in
                    try call { subrosa_pair_offer_confirm(offer, typed, length, &raw, $0) }
                }
                return name
            }
            return DeviceInfo(name: name, raw)
        }
    }

    /// Turns the new device away.
    public func decline() throws {
        try handle.use { offer in try call { subrosa_pair_offer_decline(offer, $0) } }
    }

    /// Withdraws the link.
    public func close() {
        handle.close()
    }
}

/// Pairing on the new device. Ends when nobody refers to it.
public final class PairJoin: Sendable {
    private let handle: Handle

    init(_ handle: Handle) {
        self.handle = handle
    }

    /// Waits for the code to show, which the old device's user types or compares.
    public func code(timeout: Duration? = nil) async throws -> String {
        try await wait { cancel in
            var code = subrosa_pair_code()
            try self.handle.use { join in
                try call { subrosa_pair_join_wait_code(join, timeout.milliseconds, cancel, &code, $0) }
            }
            return text(of: code)
        }
    }

    /// Waits until the old device agrees, and gives the new store, open. It is given once.
    public func device(timeout: Duration? = nil) async throws -> Device {
        try await wait { cancel in
            try self.handle.use { join in
                Device(
                    try .made(closing: Device.closing) {
                        subrosa_pair_join_wait_device(join, timeout.milliseconds, cancel, $0, $1)
                    })
            }
        }
    }

    /// Gives up.
    public func close() {
        handle.close()
    }
}

private func text(of code: subrosa_pair_code) -> String {
    withUnsafeBytes(of: code) { bytes in UnsafeRawBufferPointer(rebasing: bytes.prefix { $0 != 0 }).text }
}
