import CSubrosa
import Foundation

/// What went wrong. The code is stable for ever; a code that this package does not know keeps its number and its name.
public struct SubrosaError: Error, Sendable {
    /// The status code.
    public let code: Code
    /// What happened: ids and numbers, never content or keys.
    public let message: String
    /// What it came from, outermost first.
    public let causes: [String]
    /// The same call may succeed later without other action.
    public let retryable: Bool
    /// What the code says it is: a byte offset, a relay's code, a key provider's code. 0 if there is none.
    public let number: Int64

    /// The code's name, such as `WRONG_KEY`.
    public var name: String { code.name }

    init(_ code: Code, _ message: String, number: Int64 = 0) {
        self.code = code
        self.message = message
        causes = []
        retryable = false
        self.number = number
    }

    /// Takes what the library says of a failed call, and frees it.
    init(status: Int32, taking error: OpaquePointer?) {
        code = Code(rawValue: status)
        message = String(cString: subrosa_error_message(error))
        causes = (0..<subrosa_error_causes(error)).map { String(cString: subrosa_error_cause(error, $0)) }
        retryable = subrosa_error_retryable(error)
        number = subrosa_error_number(error)
        subrosa_error_free(error)
    }
}

extension SubrosaError: CustomStringConvertible, LocalizedError {
    public var description: String {
        ([message.isEmpty ? name : "\(name): \(message)"] + causes).joined(separator: ": ")
    }

    public var errorDescription: String? { description }
}

extension SubrosaError {
    /// A status code of the library.
    public struct Code: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
        public let rawValue: Int32

        public init(rawValue: Int32) {
            self.rawValue = rawValue
        }

        public init(integerLiteral value: Int32) {
            rawValue = value
        }

        /// The constant without its prefix, such as `WRONG_KEY`; `UNKNOWN` for a code the loaded library does not know.
        public var name: String {
            self == .abiMismatch ? "ABI_MISMATCH" : String(cString: subrosa_status_name(rawValue))
        }

        public var description: String { "\(name) (\(rawValue))" }
    }
}

extension SubrosaError.Code {
    /// Lets `catch SubrosaError.Code.wrongKey` pick one code.
    public static func ~= (code: SubrosaError.Code, error: any Error) -> Bool {
        (error as? SubrosaError)?.code == code
    }
}
