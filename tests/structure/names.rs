//! One name, one type: two that are told apart by their path alone are mixed up by whoever reads.

use std::collections::BTreeMap;

use crate::files::{root, shown, sources, text};

/// Types that code outside of a module can name, by name, with the files that define them.
fn types() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in ["engine", "engine/model", "engine/store", "engine/protocol"] {
        for file in sources(&root().join(package)) {
            let shown = shown(&file);
            if shown.contains("/tests") || shown.ends_with("tests.rs") || shown.ends_with("testing.rs") {
                continue;
            }
            for line in text(&file).unwrap().lines() {
                let Some(rest) = line.strip_prefix("pub") else { continue };
                let rest = rest
                    .strip_prefix('(')
                    .and_then(|rest| rest.split_once(')'))
                    .map_or(rest, |(_, rest)| rest);
                let kinds = [" struct ", " enum ", " trait ", " type "];
                let Some(rest) = kinds.iter().find_map(|kind| rest.strip_prefix(kind)) else { continue };
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.entry(name).or_default().push(shown.clone());
            }
        }
    }
    assert!(found.len() > 200, "only {} types were found", found.len());
    found
}

#[test]
fn no_two_types_of_engine_and_protocol_have_one_name() {
    let twins: Vec<_> = types()
        .into_iter()
        // Both link machines have their inputs, outputs and faults; each is named through its module.
        .filter(|(_, files)| {
            !files.iter().all(|file| file.starts_with("engine/protocol/src/") && file.contains("_link/"))
        })
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(twins.is_empty(), "one name for two types:\n{}", twins.join("\n"));
}

#[test]
fn no_two_rooms_have_a_file_of_one_name() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources(&root().join("engine")) {
        let shown = shown(&file);
        let Some(below) = shown.strip_prefix("engine/src/") else { continue };
        if shown.contains("/tests/") || below.ends_with("tests.rs") {
            continue;
        }
        let stem = below.rsplit('/').next().unwrap_or_default().to_owned();
        found.entry(stem).or_default().push(shown);
    }
    found.retain(|_, files| files.len() > 1);
    assert!(found.is_empty(), "one word for two things: {found:?}");
}
