// swift-tools-version:6.0
import PackageDescription

let package = Package(
    name: "Notes",
    platforms: [.macOS(.v14), .iOS(.v17)],
    products: [.library(name: "Notes", targets: ["Notes"])],
    dependencies: [.package(name: "Subrosa", path: "../../ffi/bindings/swift")],
    targets: [
        .target(name: "Notes", dependencies: ["Subrosa"]),
        .testTarget(name: "NotesTests", dependencies: ["Notes", "Subrosa"]),
    ],
    swiftLanguageModes: [.v6]
)
