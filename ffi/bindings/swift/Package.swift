// swift-tools-version:6.0
import PackageDescription

let package = Package(
    name: "Subrosa",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [
        .library(name: "Subrosa", targets: ["Subrosa"]),
        .executable(name: "subrosa-scenario", targets: ["Scenario"]),
    ],
    targets: [
        // The header and the library are found by `pkg-config subrosa`: on Linux. For iOS see docs/MOBILE.md.
        .systemLibrary(name: "CSubrosa", path: "Sources/CSubrosa", pkgConfig: "subrosa"),
        .target(name: "Subrosa", dependencies: ["CSubrosa"]),
        .executableTarget(name: "Scenario", dependencies: ["Subrosa"]),
        .testTarget(name: "SubrosaTests", dependencies: ["Subrosa"]),
    ],
    swiftLanguageModes: [.v6]
)
