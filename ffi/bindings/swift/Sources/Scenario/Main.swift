import Foundation
import Subrosa

// Carries out the scenarios of ffi/scenario through this package and prints the transcript that every language prints.

@main
struct Main {
    static func main() async {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            complain("usage: subrosa-scenario SCENARIOS WORK")
            exit(2)
        }
        do {
            let failed = try await run(
                scenarios: URL(fileURLWithPath: arguments[1], isDirectory: true),
                work: URL(fileURLWithPath: arguments[2], isDirectory: true))
            exit(failed == 0 ? 0 : 1)
        } catch {
            complain("\(error)")
            exit(1)
        }
    }

    /// Runs every file and tells how many differed.
    private static func run(scenarios: URL, work: URL) async throws -> Int {
        let names = try FileManager.default.contentsOfDirectory(atPath: scenarios.path)
            .filter { $0.hasSuffix(".json") }.sorted()
        var failed = 0
        for name in names {
            let scenario = try JSONDecoder().decode(
                Scenario.self, from: Data(contentsOf: scenarios.appendingPathComponent(name)))
            let folder = work.appendingPathComponent(String(name.dropLast(".json".count)), isDirectory: true)
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            if try await !run(scenario, file: name, folder: folder) { failed += 1 }
        }
        return failed
    }

    /// Runs the steps of one file up to the first that differs.
    private static func run(_ scenario: Scenario, file: String, folder: URL) async throws -> Bool {
        let runner = Runner(folder: folder)
        for (index, step) in scenario.steps.enumerated() {
            let answer: String
            do {
                answer = try await runner.run(step)
                if let error = step.error {
                    complain("\(file) \(index + 1) \(step.do): expected error \(error), got \(answer)")
                    return false
                }
            } catch let error as SubrosaError where error.name == step.error {
                print(file, index + 1, step.do, "error \(error.name)")
                continue
            } catch {
                complain("\(file) \(index + 1) \(step.do): \(error)")
                return false
            }
            guard answer == step.expect ?? answer else {
                complain("\(file) \(index + 1) \(step.do): expected \(step.expect ?? ""), got \(answer)")
                return false
            }
            print(file, index + 1, step.do, answer)
        }
        try runner.close()
        return true
    }

    private static func complain(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }
}
