//! Which room may use which: the tables of `docs/ARCHITECTURE.md` against `use` lines and manifests.
//!
//! Packages are rooms that the compiler keeps apart; within the engine, folders are, and this keeps them so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::files::{root, shown, sources, text};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Rows of the table under `heading`: the room in the first cell, what it may use in the last.
fn table(heading: &str) -> Arrows {
    let document = text(&root().join("docs/ARCHITECTURE.md")).unwrap();
    let section =
        document.split("\n### ").find(|part| part.starts_with(heading)).expect("the section is there");
    let quoted =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let room = quoted(cells[0]).into_iter().next().expect("a room has a name");
        (room, quoted(cells.last().expect("a row has cells")))
    });
    let arrows: Arrows = rows.collect();
    assert!(arrows.len() >= 5, "{heading}: {arrows:?}");
    arrows
}

/// A way from `from` back to itself, if there is one.
fn circle(arrows: &Arrows) -> Option<String> {
    fn visit(arrows: &Arrows, room: &str, path: &mut Vec<String>) -> Option<String> {
        if let Some(at) = path.iter().position(|passed| passed == room) {
            return Some(path[at..].join(" -> "));
        }
        path.push(room.to_owned());
        let found = arrows.get(room).into_iter().flatten().find_map(|next| visit(arrows, next, path));
        path.pop();
        found
    }
    arrows.keys().find_map(|room| visit(arrows, room, &mut Vec::new()))
}

/// Whether a file holds tests only.
fn is_test(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let file = parts.last().map(String::as_str).unwrap_or_default();
    parts.iter().any(|part| part == "tests")
        || file.ends_with("tests.rs")
        || file == "spec.rs"
        || file == "vectors.rs"
}

/// Code without its comments, and without the tests at its end.
fn code(text: &str) -> String {
    let until = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..until].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names behind `crate::` in code, those in braces included.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        // `$crate::` and names that end in "crate" are something else.
        if code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let behind = &code[at + path.len()..];
        let Some(list) = behind.strip_prefix('{') else {
            found.insert(word(behind));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (index, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.insert(word(&list[start..index]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(word(&list[start..index]));
                    start = index + 1;
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// The room of a file of the engine: the folder below `src`, or the file there.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("engine/src")).expect("a source of the engine");
    let first = below.iter().next().expect("a file has a name").to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn rooms_of_the_engine_use_only_what_the_table_allows() {
    let allowed = table("Rooms of the engine");
    let mut used: Arrows = BTreeMap::new();
    let mut wrong = Vec::new();
    let files = sources(&root().join("engine"));
    for file in files.iter().filter(|file| file.starts_with(root().join("engine/src")) && !is_test(file)) {
        let room = room_of(file);
        if room == "lib" {
            continue;
        }
        let Some(may) = allowed.get(&room) else {
            wrong.push(format!("{}: the room `{room}` is not in the table", shown(file)));
            continue;
        };
        for target in named(&code(&text(file).unwrap())) {
            if target == room {
                continue;
            }
            if !may.contains(&target) {
                wrong.push(format!("{}: uses `{target}`", shown(file)));
            }
            used.entry(room.clone()).or_default().insert(target);
        }
    }
    assert!(wrong.is_empty(), "not in the table of docs/ARCHITECTURE.md:\n{}", wrong.join("\n"));
    let idle: Vec<_> = allowed
        .iter()
        .flat_map(|(room, may)| may.iter().map(move |target| (room, target)))
        .filter(|(room, target)| !used.get(*room).is_some_and(|used| used.contains(*target)))
        .map(|(room, target)| format!("{room} -> {target}"))
        .collect();
    assert!(idle.is_empty(), "in the table, and nobody goes there:\n{}", idle.join("\n"));
}

/// Names behind each `fn ` in code.
fn functions(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("fn ").map(|(at, before)| {
        let rest = &code[at + before.len()..];
        &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
    })
}

/// What stands in the blocks that begin with `head`, each up to a closing brace at the margin.
fn blocks<'c>(code: &'c str, head: &'c str) -> impl Iterator<Item = &'c str> {
    code.split(head).skip(1).map(|block| block.split("\n}").next().unwrap_or_default())
}

/// An open store and a transaction have methods in several rooms: calling one is an arrow, too, though no `use` says so.
#[test]
fn methods_of_the_core_are_called_only_where_their_room_may_be_used() {
    let allowed = table("Rooms of the engine");
    let all = sources(&root().join("engine"));
    let ours = all.iter().filter(|file| file.starts_with(root().join("engine/src")) && !is_test(file));
    let files: Vec<_> = ours.map(|file| (file, code(&text(file).unwrap()))).collect();
    let packages = ["engine", "engine/model", "engine/store", "engine/protocol"];
    let everything: Vec<_> = packages
        .iter()
        .flat_map(|package| sources(&root().join(package)))
        .filter(|file| !is_test(file))
        .map(|file| code(&text(&file).unwrap()))
        .collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for code in &everything {
        functions(code).for_each(|name| *times.entry(name).or_default() += 1);
    }
    // A name that is given once says by itself whose it is.
    let mut homes: BTreeMap<&str, String> = BTreeMap::new();
    for (file, code) in &files {
        for head in ["\nimpl Core {", "\nimpl Tx<'_> {"] {
            for name in blocks(code, head).flat_map(functions).filter(|name| times[name] == 1) {
                homes.insert(name, room_of(file));
            }
        }
    }
    assert!(homes.len() > 60, "only {} methods were found", homes.len());
    let mut wrong = Vec::new();
    for (file, code) in &files {
        let room = room_of(file);
        let may = allowed.get(&room).cloned().unwrap_or_default();
        for (name, home) in homes.iter().filter(|(_, home)| **home != room && !may.contains(*home)) {
            if [".", "::"].iter().any(|before| code.contains(&format!("{before}{name}("))) {
                // Handles reach the core through the room that keeps it beside its links.
                if !HANDLES.contains(&room.as_str()) {
                    wrong.push(format!("{}: calls `{name}` of {home}", shown(file)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "methods of rooms that the table does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn no_way_leads_back_but_between_handles() {
    let mut arrows = table("Rooms of the engine");
    let handles: Vec<String> = HANDLES.iter().map(|handle| (*handle).to_owned()).collect();
    assert!(handles.iter().all(|handle| arrows.contains_key(handle)), "a handle that is not in the table");
    // Handles are one another's: taken as one room, nothing may lead back into it.
    let mut together = BTreeSet::new();
    for handle in &handles {
        together.extend(arrows.remove(handle).unwrap_or_default());
    }
    together.retain(|target| !handles.contains(target));
    let back: Vec<_> = arrows
        .iter()
        .filter(|(_, may)| may.iter().any(|target| handles.contains(target)))
        .map(|(room, _)| room)
        .collect();
    assert!(back.is_empty(), "lead back to a handle: {back:?}");
    arrows.insert("handles".to_owned(), together);
    assert_eq!(circle(&arrows), None);
}

/// What applications hold, and what tests and benchmarks of other packages do with it. They name one another, and nothing else
/// names them.
const HANDLES: &[&str] = &[
    "device",
    "vault",
    "collection",
    "transaction",
    "snapshot",
    "reading",
    "pair",
    "bench_support",
    "testing",
];

#[test]
fn packages_use_only_what_the_table_allows() {
    let allowed = table("Packages");
    assert_eq!(circle(&allowed), None);
    let cargo = std::env::var_os("CARGO").expect("cargo runs tests");
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found: Arrows = BTreeMap::new();
    for package in packages {
        let uses = found.entry(package["name"].as_str().unwrap().to_owned()).or_default();
        let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
        // What tests of a package use besides is not how it is built.
        let built = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        uses.extend(
            built
                .filter_map(|one| one["name"].as_str())
                .filter(|name| ours.contains(name))
                .map(str::to_owned),
        );
    }
    assert_eq!(found, allowed, "packages as they are, and as docs/ARCHITECTURE.md has them");
}

#[test]
fn names_behind_the_root_are_found() {
    let code = code(
        "use crate::life::Core;\n// use crate::sync::No;\nuse crate::{logs::Tip, store::{A, B}};\n\
         fn f() { crate::records::g(); mycrate::no(); }\n#[cfg(test)]\nmod tests {\nuse crate::sync::No;\n}",
    );
    let found: Vec<_> = named(&code).into_iter().collect();
    assert_eq!(found, ["life", "logs", "records", "store"]);
    let arrows = |pairs: &[(&str, &str)]| {
        let mut arrows = Arrows::new();
        for (from, to) in pairs {
            arrows.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        arrows
    };
    assert_eq!(circle(&arrows(&[("a", "b"), ("b", "c")])), None);
    assert_eq!(circle(&arrows(&[("a", "b"), ("b", "c"), ("c", "a")])).as_deref(), Some("a -> b -> c"));
}
