//! Every dependency that a manifest names is used by its package.

use std::path::{Path, PathBuf};

use crate::files::{members, root, shown, sources, text};

/// Names under `[dependencies]` and its like, those of one target included.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if inside && let Some(end) = line.find(['.', '=', ' ']) {
            names.push(line[..end].to_owned());
        }
    }
    names
}

/// The sources of a package, and those that it includes from elsewhere, with the folder of a module that is one.
fn sources_and_included(package: &Path) -> Vec<PathBuf> {
    let mut found = sources(package);
    let mut looked_at = 0;
    // What is included may include more.
    while let Some(path) = found.get(looked_at).cloned() {
        looked_at += 1;
        let text = text(&path).unwrap();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")) {
            let included = line.split('"').next().expect("a path ends");
            let included = path.parent().expect("a file lies in a folder").join(included);
            match included.parent() {
                Some(folder) if included.ends_with("mod.rs") => found.extend(sources(folder)),
                _ => found.push(included),
            }
        }
    }
    found
}

/// Whether code names the crate: as the start of a path, outside of comments.
fn names(code: &str, dependency: &str) -> bool {
    let path = dependency.replace('-', "_") + "::";
    let part_of_a_name = |char: char| char.is_alphanumeric() || char == '_';
    code.lines().map(str::trim).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(&path).any(|(at, _)| !line[..at].chars().next_back().is_some_and(part_of_a_name))
    })
}

#[test]
fn every_dependency_is_used_by_the_package_that_names_it() {
    let mut unused = Vec::new();
    let mut all = Vec::new();
    for package in members() {
        let manifest = text(&package.join("Cargo.toml")).unwrap();
        let code: Vec<String> =
            sources_and_included(&package).iter().map(|path| text(path).unwrap()).collect();
        let dependencies = dependencies(&manifest);
        assert!(!dependencies.is_empty() && !code.is_empty(), "{} is read", shown(&package));
        for dependency in dependencies {
            if !code.iter().any(|code| names(code, &dependency)) {
                unused.push(format!("{}: {dependency}", shown(&package)));
            }
            all.push(dependency);
        }
    }
    assert!(unused.is_empty(), "named and not used:\n{}", unused.join("\n"));
    let shared = dependencies(&text(&root().join("Cargo.toml")).unwrap());
    let nobodys: Vec<_> = shared.iter().filter(|name| !all.contains(name)).collect();
    assert!(shared.len() > 30 && nobodys.is_empty(), "shared by no package: {nobodys:?}");
}

#[test]
fn a_use_is_told_from_a_mention() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b.workspace = true\nc = { version = \"1\" }\n\
        [target.'cfg(unix)'.dependencies]\nd = \"1\"\n[lints]\nworkspace = true\n";
    assert_eq!(dependencies(manifest), ["a-b", "c", "d"]);
    for (code, used) in [
        ("use a_b::C;", true),
        ("    let c = ::a_b::c();", true),
        ("// a_b::C", false),
        ("/// See a_b::C.", false),
        ("use some_a_b::C;", false),
        ("let a_b = 1;", false),
    ] {
        assert_eq!(names(code, "a-b"), used, "{code}");
    }
}
