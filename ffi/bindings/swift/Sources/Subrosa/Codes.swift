// The status codes of the C ABI. A test compares their names with the loaded library's.

extension SubrosaError.Code {
    /// This package's own: the loaded library has another C ABI.
    public static let abiMismatch = Self(rawValue: -1)

    // 1 to 99: general
    public static let invalidArgument = Self(rawValue: 1)
    public static let invalidHandle = Self(rawValue: 2)
    public static let wrongHandle = Self(rawValue: 3)
    public static let invalidUTF8 = Self(rawValue: 4)
    public static let tooLarge = Self(rawValue: 5)
    public static let unknownOption = Self(rawValue: 6)
    public static let panic = Self(rawValue: 7)
    public static let poisoned = Self(rawValue: 8)
    public static let cancelled = Self(rawValue: 9)
    public static let timeout = Self(rawValue: 10)
    public static let wouldDeadlock = Self(rawValue: 11)
    public static let closed = Self(rawValue: 12)
    public static let suspended = Self(rawValue: 13)
    public static let forked = Self(rawValue: 14)
    public static let busy = Self(rawValue: 15)
    public static let noResources = Self(rawValue: 16)
    public static let txOver = Self(rawValue: 17)
    public static let readOnly = Self(rawValue: 18)
    public static let wrongDevice = Self(rawValue: 19)
    public static let notReady = Self(rawValue: 20)

    // 100 to 199: the store
    public static let storeMissing = Self(rawValue: 100)
    public static let storeExists = Self(rawValue: 101)
    public static let storeLocked = Self(rawValue: 102)
    public static let notAStore = Self(rawValue: 103)
    public static let wrongKey = Self(rawValue: 104)
    public static let newerFormat = Self(rawValue: 105)
    public static let damaged = Self(rawValue: 106)
    public static let diskFull = Self(rawValue: 107)
    public static let io = Self(rawValue: 108)
    public static let storeStopped = Self(rawValue: 109)
    public static let storeInternal = Self(rawValue: 110)

    // 200 to 299: keys and sessions
    public static let keyEncoding = Self(rawValue: 200)
    public static let notOnCurve = Self(rawValue: 201)
    public static let keyRange = Self(rawValue: 202)
    public static let keyMismatch = Self(rawValue: 203)
    public static let peerIsSelf = Self(rawValue: 204)
    public static let keyProvider = Self(rawValue: 205)
    public static let keyProviderSignature = Self(rawValue: 206)
    public static let keyNotExportable = Self(rawValue: 207)
    public static let notAuthentic = Self(rawValue: 210)
    public static let messageTooShort = Self(rawValue: 211)
    public static let noAADHere = Self(rawValue: 212)
    public static let badSignature = Self(rawValue: 213)

    // 300 to 399: data
    public static let notJSON = Self(rawValue: 300)
    public static let notARecord = Self(rawValue: 301)
    public static let wrongKind = Self(rawValue: 302)
    public static let noField = Self(rawValue: 303)
    public static let valueTooLarge = Self(rawValue: 304)
    public static let tooDeep = Self(rawValue: 305)
    public static let notFinite = Self(rawValue: 306)
    public static let integerRange = Self(rawValue: 307)
    public static let collectionName = Self(rawValue: 308)
    public static let fieldName = Self(rawValue: 309)
    public static let tooManyFields = Self(rawValue: 310)
    public static let badRows = Self(rawValue: 311)
    public static let value = Self(rawValue: 312)
    public static let noRecord = Self(rawValue: 313)
    public static let notAnID = Self(rawValue: 314)
    public static let newerForm = Self(rawValue: 315)
    public static let recordTooLarge = Self(rawValue: 316)

    // 400 to 499: vaults
    public static let noVault = Self(rawValue: 400)
    public static let vaultExists = Self(rawValue: 401)
    public static let vaultName = Self(rawValue: 402)
    public static let notPermitted = Self(rawValue: 403)
    public static let control = Self(rawValue: 404)
    public static let logsUsedUp = Self(rawValue: 405)
    public static let updateNeeded = Self(rawValue: 406)

    // 500 to 599: sync
    public static let relayAddress = Self(rawValue: 500)
    public static let noRelay = Self(rawValue: 501)
    public static let noProgress = Self(rawValue: 502)
    public static let refused = Self(rawValue: 503)
    public static let syncStopped = Self(rawValue: 504)
    public static let peer = Self(rawValue: 505)
    public static let unreachable = Self(rawValue: 506)
    public static let disputed = Self(rawValue: 507)

    // 600 to 699: pairing
    public static let pairLink = Self(rawValue: 600)
    public static let pairExpired = Self(rawValue: 601)
    public static let pairWrongCode = Self(rawValue: 602)
    public static let pairDeclined = Self(rawValue: 603)
    public static let pairNotAuthentic = Self(rawValue: 604)
    public static let pairOwnDevice = Self(rawValue: 605)
    public static let pairAborted = Self(rawValue: 606)
    public static let pairUnconfirmed = Self(rawValue: 607)
    public static let pairTooLarge = Self(rawValue: 608)
    public static let pairOver = Self(rawValue: 609)
    public static let pairName = Self(rawValue: 610)
    public static let pairBundle = Self(rawValue: 611)
}

extension SubrosaError.Code {
    /// Every code that this package knows, in the order of their numbers.
    public static let known: [Self] = [
        .invalidArgument, .invalidHandle, .wrongHandle, .invalidUTF8, .tooLarge, .unknownOption, .panic,
        .poisoned, .cancelled, .timeout, .wouldDeadlock, .closed, .suspended, .forked, .busy, .noResources,
        .txOver, .readOnly, .wrongDevice, .notReady, .storeMissing, .storeExists, .storeLocked, .notAStore,
        .wrongKey, .newerFormat, .damaged, .diskFull, .io, .storeStopped, .storeInternal, .keyEncoding,
        .notOnCurve, .keyRange, .keyMismatch, .peerIsSelf, .keyProvider, .keyProviderSignature,
        .keyNotExportable, .notAuthentic, .messageTooShort, .noAADHere, .badSignature, .notJSON, .notARecord,
        .wrongKind, .noField, .valueTooLarge, .tooDeep, .notFinite, .integerRange, .collectionName,
        .fieldName, .tooManyFields, .badRows, .value, .noRecord, .notAnID, .newerForm, .recordTooLarge, .noVault,
        .vaultExists, .vaultName, .notPermitted, .control, .logsUsedUp, .updateNeeded, .relayAddress, .noRelay,
        .noProgress, .refused, .syncStopped, .peer,
        .unreachable, .disputed, .pairLink, .pairExpired, .pairWrongCode, .pairDeclined, .pairNotAuthentic,
        .pairOwnDevice, .pairAborted, .pairUnconfirmed, .pairTooLarge, .pairOver, .pairName, .pairBundle,
    ]
}
