//! Every variant of every error that the engine shows has a status of the C ABI, decided by name in `src/convert.rs`.
//!
//! The enums are `#[non_exhaustive]`, so the compiler does not say when one grows: this does.

#![cfg(test)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Words of `text` that could name a type.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The error enums in `source`, with their variants.
fn error_enums(source: &str) -> Vec<(String, Vec<String>)> {
    let mut enums = Vec::new();
    for part in source.split("\npub enum ").skip(1) {
        let before = &source[..source.find(&format!("\npub enum {part}")).expect("it was split there")];
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        if !attributes.contains("thiserror::Error") {
            continue;
        }
        let (name, body) = part.split_once([' ', '<']).expect("a name and a body");
        let body = body.split("\n}").next().unwrap_or_default();
        let variants = body.lines().filter_map(|line| line.strip_prefix("    ")).filter_map(|line| {
            let starts = line.chars().next().is_some_and(|first| first.is_ascii_uppercase());
            starts.then(|| names(line).next().expect("a variant has a name").to_owned())
        });
        enums.push((name.to_owned(), variants.collect()));
    }
    enums
}

#[test]
fn every_variant_of_a_public_error_has_a_status() {
    let engine = root().join("engine");
    let public = read(&engine.join("src/lib.rs"));
    let public: Vec<&str> = public
        .split("pub use ")
        .skip(1)
        .flat_map(|item| names(item.split(';').next().unwrap_or_default()))
        .collect();
    let convert = read(&root().join("ffi/src/convert.rs"));
    // What a comment names is not decided.
    let convert: Vec<&str> =
        convert.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let convert = convert.join("\n");
    let mut files = Vec::new();
    for part in ["src", "model/src", "store/src", "protocol/src"] {
        sources(&engine.join(part), &mut files);
    }
    let (mut seen, mut without) = (0, Vec::new());
    // What the relay's side says, under the names of the device's side.
    files.retain(|file| !file.starts_with(engine.join("protocol/src/relay_link")));
    for file in files {
        for (name, variants) in error_enums(&read(&file)) {
            if !public.contains(&name.as_str()) || ELSEWHERE.contains(&name.as_str()) {
                continue;
            }
            seen += 1;
            assert!(!variants.is_empty(), "{name}");
            let decided = |variant: &String| {
                let path = format!("{name}::{variant}");
                convert.match_indices(&path).any(|(at, _)| {
                    let next = convert[at + path.len()..].chars().next();
                    let before = convert[..at].chars().next_back();
                    !next.is_some_and(char::is_alphanumeric) && !before.is_some_and(char::is_alphanumeric)
                })
            };
            without.extend(
                variants
                    .iter()
                    .filter(|variant| !decided(variant))
                    .map(|variant| format!("{name}::{variant}")),
            );
        }
    }
    assert!(seen >= 10, "only {seen} enums were found");
    assert!(without.is_empty(), "no status is decided for:\n{}", without.join("\n"));
}

/// Errors that no call of the C ABI returns as such: parsing ids and the like is answered where it is asked.
const ELSEWHERE: &[&str] = &["RecordIdParseError"];
