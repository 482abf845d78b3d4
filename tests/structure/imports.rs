//! Things are imported from the module where they live.

use std::path::Path;

use crate::files::{members, shown, sources, text};

/// The code without its comments, its lines where they were. (A `//` within a text ends the line too; nothing is
/// imported behind one.)
fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What is named at the crate root by `path`, which follows `crate::`: one name, or those of a group.
fn named(path: &str) -> Vec<&str> {
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![first_name(path)] };
    let (mut depth, mut from, mut names) = (0, 0, Vec::new());
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                names.push(first_name(&group[from..at]));
                from = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|char: char| !char.is_alphanumeric() && char != '_' && char != '*');
    &path[..end.unwrap_or(path.len())]
}

/// The lines that name something through the crate root: a type, a constant, or `passed_on`, which the root takes from
/// its modules and hands out. Modules, and functions that the root itself has, are where they live.
fn through_the_root(code: &str, passed_on: &[String]) -> Vec<usize> {
    let code = without_comments(code);
    let mut lines = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let other = code[..at].ends_with(|char: char| char.is_alphanumeric() || "_$:".contains(char));
        let taken = named(&code[at + path.len()..]).into_iter().any(|name| {
            let thing = name.starts_with(|char: char| char.is_ascii_uppercase() || char == '*');
            thing || passed_on.iter().any(|passed_on| passed_on == name)
        });
        if taken && !other {
            lines.push(code[..at].lines().count().max(1));
        }
    }
    lines
}

/// What the root of a package takes from its modules and hands out, by the ends of its `use` paths.
fn passed_on(package: &Path) -> Vec<String> {
    let root = package.join("src/lib.rs");
    let Some(code) = root.exists().then(|| text(&root)).flatten() else { return Vec::new() };
    let code = without_comments(&code);
    let uses = code.split("pub use ").skip(1).chain(code.split("pub(crate) use ").skip(1));
    uses.flat_map(|rest| {
        let path = rest.split(';').next().unwrap_or_default();
        path.split(['{', '}', ','])
            .map(|part| part.trim().rsplit("::").next().unwrap_or_default().to_owned())
            .filter(|name| !name.is_empty())
            .collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn nothing_is_imported_through_the_crate_root() {
    let (mut bad, mut read) = (Vec::new(), 0);
    for package in members() {
        let passed_on = passed_on(&package);
        for path in sources(&package) {
            read += 1;
            // This file has examples of what it finds.
            if !path.ends_with(file!()) {
                let lines = through_the_root(&text(&path).unwrap(), &passed_on);
                bad.extend(lines.into_iter().map(|line| format!("{}:{line}", shown(&path))));
            }
        }
    }
    assert!(read > 200, "the sources are read");
    assert!(bad.is_empty(), "import from the module where it lives:\n{}", bad.join("\n"));
}

#[test]
fn a_thing_of_the_root_is_told_from_a_module() {
    for (code, lines) in [
        ("use crate::Error;", vec![1]),
        ("use crate::{Error, Options};", vec![1]),
        ("use a;\nuse crate::{\n    keys::KeyPair,\n    Error,\n};", vec![2]),
        ("use crate::{keys::{KeyPair, Z}, Error};", vec![1]),
        ("use crate::*;", vec![1]),
        ("    let x = crate::OsEntropy;", vec![1]),
        ("crate::sign_with(x)", vec![1]),
        ("crate::run(x)", vec![]),
        ("use crate::error::Error;", vec![]),
        ("use crate::{error::Error, keys::{KeyPair, Z}};", vec![]),
        ("/// See [`crate::Device`].", vec![]),
        ("$crate::Error", vec![]),
    ] {
        assert_eq!(through_the_root(code, &["sign_with".to_owned()]), lines, "{code}");
    }
}
