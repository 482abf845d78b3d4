//! Tables are reached through their doors, and the database by nobody but who opens it and begins transactions.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files::{below, root, shown, text};

/// The lines of code that name one of `words`, outside of comments.
fn lines_naming(code: &str, words: &[&str]) -> Vec<usize> {
    let code = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let naming = code.enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    naming.map(|(at, _)| at + 1).collect()
}

fn rust_below(folder: &str) -> Vec<std::path::PathBuf> {
    below(&root().join(folder), &|path| path.extension().is_some_and(|end| end == "rs"))
}

/// Whether a file is of the room that opens the database and begins transactions.
fn is_life(path: &Path) -> bool {
    let room = root().join("engine/src/life");
    path.starts_with(&room) || path == room.with_extension("rs")
}

#[test]
fn nobody_in_the_engine_but_life_names_the_database_or_a_table() {
    let (words, begins) = (["redb::", "TableDefinition", "open_table"], ["begin_read", "begin_write"]);
    let (mut bad, mut of_life) = (Vec::new(), 0);
    for path in rust_below("engine/src") {
        let code = text(&path).unwrap();
        let mut lines = lines_naming(&code, &words);
        // What begins a transaction in memory, to test a door, is no way to a store.
        lines.extend(lines_naming(code.split("\nmod tests {").next().unwrap_or_default(), &begins));
        if is_life(&path) {
            of_life += lines.len();
        } else {
            bad.extend(lines.into_iter().map(|line| format!("{}:{line}", shown(&path))));
        }
    }
    assert!(of_life > 0, "life is read");
    assert!(bad.is_empty(), "go through a door of the store:\n{}", bad.join("\n"));
}

#[test]
fn every_table_of_the_store_is_defined_once_and_private_to_its_door() {
    let mut defined = BTreeMap::new();
    for path in rust_below("engine/store/src") {
        // What is tested of the sealed file has tables of its own.
        if path.starts_with(root().join("engine/store/src/sealed")) {
            continue;
        }
        for line in text(&path).unwrap().lines() {
            let Some((before, name)) = line.split_once("TableDefinition::new(\"") else { continue };
            let name = name.split('"').next().unwrap_or_default().to_owned();
            assert!(before.starts_with("const "), "{}: {name} is private", shown(&path));
            let other = defined.insert(name.clone(), shown(&path));
            assert_eq!(other, None, "{name} has one door");
        }
    }
    assert_eq!(defined.len(), 35, "{defined:?}");
}

#[test]
fn a_name_in_code_is_told_from_one_in_a_comment() {
    let code = "use redb::Database;\n// redb::Database\nlet x = 1; // redb::\n    /// [`redb::Table`]\nlet redb = 1;\nredb::f()";
    assert_eq!(lines_naming(code, &["redb::"]), [1, 6]);
}
