//! What applications see of the engine: what may grow says so, what gives out a secret says so, and errors know nothing.

use crate::files::{root, shown, sources, text};

/// Enums of which a caller is to handle every variant, and why.
const WHOLE: &[(&str, &str)] = &[
    ("ChangeKind", "a record comes, changes or goes: whoever mirrors records handles each"),
    ("Value", "what a field holds is a matter of the format: whoever converts values handles each"),
];

/// What gives out plaintext, or a secret whose whole purpose is to be shown, to whom it belongs.
const GIVEN_OUT: &[&str] = &["Session::open", "Session::open_text", "PairLink::to_text"];

/// The names that `subrosa` hands to applications.
fn public_names() -> Vec<String> {
    let lib = text(&root().join("engine/src/lib.rs")).unwrap();
    let names = lib.split("\npub use ").skip(1).flat_map(|item| {
        let item = item.split(';').next().unwrap_or_default();
        item.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect::<Vec<_>>()
    });
    let names: Vec<String> =
        names.filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    assert!(names.len() > 70, "{names:?}");
    names
}

/// The sources in which those are defined; a relay's side of the protocol has other types under the names of the device's.
fn engine_sources() -> Vec<(String, String)> {
    let packages = ["engine", "engine/model", "engine/store", "engine/protocol"];
    let files = packages.iter().flat_map(|package| sources(&root().join(package)));
    let files = files.map(|file| (shown(&file), text(&file).unwrap()));
    files.filter(|(file, _)| !file.contains("/relay_link") && !file.contains("/tests")).collect()
}

/// Docs and attributes right before `at`.
fn attributes(code: &str, at: usize) -> &str {
    let before = &code[..at];
    let lines = before.lines().rev().take_while(|line| !line.trim().is_empty() && *line != "}");
    let bytes: usize = lines.map(|line| line.len() + 1).sum();
    &before[before.len().saturating_sub(bytes)..]
}

/// Public enums and structs with public fields, `(name, body, whether it says that it may grow)`.
fn types<'c>(code: &'c str, kind: &str) -> Vec<(&'c str, &'c str, bool)> {
    let start = format!("pub {kind} ");
    let found = code.match_indices(&start).filter(|(at, _)| {
        let line = code[..*at].rsplit('\n').next().unwrap_or_default();
        line.trim().is_empty()
    });
    found
        .map(|(at, _)| {
            let rest = &code[at + start.len()..];
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let body = rest.split("\n}").next().unwrap_or_default();
            let line = code[..at].rfind('\n').map_or(0, |end| end + 1);
            (name, body, attributes(code, line).contains("#[non_exhaustive]"))
        })
        .collect()
}

#[test]
fn what_may_grow_of_the_public_interface_says_so() {
    let (public, mut seen, mut bad) = (public_names(), 0, Vec::new());
    for (file, code) in engine_sources() {
        for (name, _, may_grow) in types(&code, "enum") {
            if public.iter().any(|one| one == name) {
                seen += 1;
                let whole = WHOLE.iter().any(|(one, _)| *one == name);
                if may_grow == whole {
                    bad.push(format!("{file}: enum {name}"));
                }
            }
        }
        for (name, body, may_grow) in types(&code, "struct") {
            let open = !body.lines().next().unwrap_or_default().contains(';') && body.contains("\n    pub ");
            if open && public.iter().any(|one| one == name) {
                seen += 1;
                if !may_grow {
                    bad.push(format!("{file}: struct {name}"));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} types were found");
    assert!(bad.is_empty(), "either #[non_exhaustive] or listed here with a reason:\n{}", bad.join("\n"));
}

#[test]
fn what_gives_out_a_secret_says_so_in_its_name() {
    let (public, mut seen, mut bad) = (public_names(), Vec::new(), Vec::new());
    for (file, code) in engine_sources() {
        for part in code.split("\nimpl").skip(1) {
            let head = part.split('{').next().unwrap_or_default();
            let name = head.trim_start_matches(|c| c != ' ').trim();
            let name = name.rsplit(" for ").next().unwrap_or_default();
            let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let of = public.iter().find(|one| *one == name).map_or("", |_| name);
            if of.is_empty() {
                continue;
            }
            let body = part.split("\n}").next().unwrap_or_default();
            for function in body.split("\n    pub ").skip(1) {
                let signature = function.split('{').next().unwrap_or_default();
                let Some((_, signature)) = signature.split_once("fn ") else { continue };
                let function = signature.split(['(', '<']).next().unwrap_or_default();
                let secret = signature.split("->").nth(1).is_some_and(|given| given.contains("Zeroizing"))
                    || (["SharedSecret", "KeyPair"].contains(&of) && signature.contains("-> &[u8; 32]"));
                if secret {
                    let path = format!("{of}::{function}");
                    if !function.starts_with("dangerous_") && !GIVEN_OUT.contains(&path.as_str()) {
                        bad.push(format!("{file}: {path}"));
                    }
                    seen.push(path);
                }
            }
        }
    }
    assert!(GIVEN_OUT.iter().all(|one| seen.iter().any(|path| path == one)), "{seen:?}");
    assert!(seen.len() > 5, "{seen:?}");
    assert!(bad.is_empty(), "a secret without `dangerous_`:\n{}", bad.join("\n"));
}

#[test]
fn errors_name_nothing_of_the_engine_but_themselves() {
    let mut seen = 0;
    for (file, code) in engine_sources() {
        if file != "engine/src/error.rs" && !file.starts_with("engine/src/error/") {
            continue;
        }
        seen += 1;
        let named: Vec<&str> = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .filter(|line| line.replace("crate::error::", "").contains("crate::"))
            .collect();
        assert!(named.is_empty(), "{file} names another room: {named:?}");
    }
    assert!(seen >= 4, "only {seen} files");
}
