#if canImport(SwiftUI)
    import Subrosa
    import SwiftUI

    /// The list of notes. Not compiled on Linux, where there is no SwiftUI; everything it calls is tested there.
    public struct NotesView: View {
        @State private var store: NotesStore
        @State private var title = ""

        public init(store: NotesStore) {
            _store = State(initialValue: store)
        }

        public var body: some View {
            List {
                TextField("New note", text: $title)
                    .onSubmit {
                        let new = title
                        title = ""
                        Task { await store.add(new) }
                    }
                ForEach(store.notes) { row in
                    Button {
                        Task { await store.toggle(row) }
                    } label: {
                        Label(row.value.title, systemImage: row.value.done ? "checkmark.circle.fill" : "circle")
                    }
                }
                if !store.unreadable.isEmpty { Text("\(store.unreadable.count) records cannot be shown") }
                if let problem = store.problem { Text(problem).foregroundStyle(.red) }
            }
            .toolbar { Button("Remove done") { Task { await store.removeDone() } } }
            .task { await store.follow() }
        }
    }
#endif
