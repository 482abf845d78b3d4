import CSubrosa
import Foundation

/// Seals messages for oneself or for one peer. May be used by any number of threads.
public final class Session: Sendable {
    private let handle: Handle

    /// How messages are sealed.
    public enum Profile: Sendable, Hashable {
        /// Subrosa's own. The context says what the session is for: the same on both sides.
        case subrosa1(context: Data)
        /// What the Supabase end-to-end encryption format, version 1, does. It knows no context and no associated data.
        case supabaseE2EE1

        var raw: (number: Int32, context: Data) {
            switch self {
            case .subrosa1(let context): (SUBROSA_PROFILE_SUBROSA_1, context)
            case .supabaseE2EE1: (SUBROSA_PROFILE_SUPABASE_E2EE_V1, Data())
            }
        }
    }

    /// A session with oneself, or with the owner of the key `peer`: `PEER_IS_SELF` if that is the same.
    public init(key: Key, peer: PublicKey? = nil, profile: Profile) throws {
        let (number, context) = profile.raw
        handle = try key.handle.use { key in
            try context.withBytes { context, length in
                try .made(closing: subrosa_session_close) { out, error in
                    guard let peer else { return subrosa_session_self(key, number, context, length, out, error) }
                    var raw = peer.raw
                    return subrosa_session_peer(key, &raw, number, context, length, out, error)
                }
            }
        }
    }

    /// Encrypts and authenticates `plain`, and authenticates `aad`, which the other side has to know.
    public func seal(_ plain: Data, aad: Data = Data()) throws -> Data {
        try handle.use { session in
            try aad.withBytes { aad, aadLength in
                try plain.withBytes { plain, length in
                    try withBuffer({ subrosa_session_seal(session, aad, aadLength, plain, length, $0, $1) }) { Data($0) }
                }
            }
        }
    }

    /// Opens what the other side sealed and lends it to `body`, then wipes it. `NOT_AUTHENTIC` for a wrong key, another `aad`
    /// and altered bytes alike.
    public func withOpened<Result>(
        _ sealed: Data, aad: Data = Data(), _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        try handle.use { session in
            try aad.withBytes { aad, aadLength in
                try sealed.withBytes { sealed, length in
                    try withSecret({ subrosa_session_open(session, aad, aadLength, sealed, length, $0, $1) }, body)
                }
            }
        }
    }

    /// Opens what the other side sealed. Nobody wipes the copy; ``withOpened(_:aad:_:)`` makes none.
    public func open(_ sealed: Data, aad: Data = Data()) throws -> Data {
        try withOpened(sealed, aad: aad) { Data($0) }
    }

    /// Wipes the session's key now.
    public func close() {
        handle.close()
    }
}
