import Subrosa

/// Maps an app's life to the device's. Feed it SwiftUI's `scenePhase` and the network path's changes.
@MainActor
public final class AppLife {
    private let device: Device
    private var isSuspended = false

    public init(device: Device) {
        self.device = device
    }

    /// The app went to the background: call within `beginBackgroundTask`, and end that task when this returns. The system
    /// kills an app that it freezes while it holds the lock of a file in a shared container.
    public func enteredBackground() async throws {
        guard !isSuspended else { return }
        isSuspended = true
        try await device.suspend(deadline: .seconds(3))
    }

    /// The app is about to be in front again.
    public func entersForeground() async throws {
        guard isSuspended else { return }
        try await device.resume()
        isSuspended = false
    }

    /// `NWPathMonitor` has another path.
    public func networkChanged() throws {
        guard !isSuspended else { return }
        try device.networkChanged()
    }
}
