import Subrosa

/// Maps an app's life to the device's. Feed it SwiftUI's `scenePhase` and the network path's changes.
///
/// Calls may overlap, as when the app leaves while it is still coming back: they take effect one after the other, and the
/// device ends as the last of them wants it.
@MainActor
public final class AppLife {
    enum State { case inUse, suspended }

    private let device: Device
    /// What was asked for last.
    private var wanted = State.inUse
    /// What the device is; suspended from the moment that it begins to be, until it is in use again.
    private var state = State.inUse
    private var lastChange: Task<Void, any Error>?
    private var listeners: [AsyncStream<Void>.Continuation] = []

    public init(device: Device) {
        self.device = device
    }

    /// The app went to the background: call within `beginBackgroundTask`, and end that task when this returns. The system
    /// kills an app that it freezes while it holds the lock of a file in a shared container.
    public func enteredBackground() async throws {
        try await change(to: .suspended).value
    }

    /// The app is about to be in front again. When this fails, as while an extension has the store, call it again later.
    public func entersForeground() async throws {
        try await change(to: .inUse).value
    }

    /// `NWPathMonitor` has another path.
    public func networkChanged() throws {
        try device.networkChanged()
    }

    /// Says that the device is in use: at once if it is, and whenever it is so again. What was read before may have changed:
    /// nobody watches what another process does to the store meanwhile.
    func timesInUse() -> AsyncStream<Void> {
        let (times, listener) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        if state == .inUse { listener.yield() }
        listeners.append(listener)
        return times
    }

    /// Notes what is wanted, and begins to bring it about once earlier changes are done.
    func change(to wanted: State) -> Task<Void, any Error> {
        self.wanted = wanted
        let before = lastChange
        let change = Task {
            _ = await before?.result
            try await settle()
        }
        lastChange = change
        return change
    }

    /// Brings about what is wanted by now.
    private func settle() async throws {
        switch wanted {
        case state: return
        case .suspended:
            state = .suspended
            try await device.suspend(deadline: .seconds(3))
        case .inUse:
            try await device.resume()
            state = .inUse
            listeners.removeAll { if case .terminated = $0.yield() { true } else { false } }
        }
    }
}
