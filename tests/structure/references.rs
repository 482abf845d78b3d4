//! What the files cite exists here.

use crate::files::{below, members, root, shown, sources, text};

#[test]
fn nothing_cites_a_design_page_that_is_not_here() {
    // Put together, so that this file does not find itself.
    let word = ["DES", "IGN"].concat();
    let mut citing = Vec::new();
    let files = below(&root(), &|_| true);
    assert!(files.len() > 300, "the repository is read");
    for path in files {
        let Some(text) = text(&path) else { continue };
        for (index, line) in text.lines().enumerate() {
            if line.contains(&word) {
                citing.push(format!("{}:{}: {line}", shown(&path), index + 1));
            }
        }
    }
    assert!(citing.is_empty(), "cite docs/ instead:\n{}", citing.join("\n"));
}

/// Paths of files of this repository in a text.
fn cited_files(text: &str) -> Vec<&str> {
    let folders = ["engine/", "sync-server/", "ffi/", "cli/", "examples/", "tests/", "docs/"];
    let is_part = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    text.split(|c| !is_part(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| folders.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| [".rs", ".md", ".py", ".json", ".c"].iter().any(|end| word.ends_with(end)))
        .collect()
}

/// Names of tests in a text: what is quoted and reads like a sentence.
fn cited_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        let is_name =
            word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        is_name && word.matches('_').count() >= 3
    })
}

#[test]
fn tests_that_documents_cite_are_there() {
    let code: Vec<_> =
        members().iter().flat_map(|package| sources(package)).filter_map(|path| text(&path)).collect();
    let (mut cited, mut missing) = (0, Vec::new());
    for document in below(&root().join("docs"), &|path| path.extension().is_some_and(|end| end == "md")) {
        let words = text(&document).unwrap();
        for name in cited_tests(&words) {
            cited += 1;
            // Of the C ABI, functions; they are in sources too.
            if !code.iter().any(|code| code.contains(&format!("fn {name}("))) {
                missing.push(format!("{}: {name}", shown(&document)));
            }
        }
    }
    assert!(cited > 80, "only {cited} tests are cited");
    assert!(missing.is_empty(), "cited, and not there:\n{}", missing.join("\n"));
}

#[test]
fn files_that_documents_cite_are_there() {
    let documents = below(&root(), &|path| path.extension().is_some_and(|end| end == "md"));
    let (mut cited, mut missing) = (0, Vec::new());
    for document in documents {
        let Some(text) = text(&document) else { continue };
        for file in cited_files(&text) {
            cited += 1;
            // In a document of a part, paths may begin there.
            let near = document.parent().expect("a file lies in a folder").join(file);
            if !root().join(file).exists() && !near.exists() {
                missing.push(format!("{}: {file}", shown(&document)));
            }
        }
    }
    assert!(cited > 100, "only {cited} files are cited");
    assert!(missing.is_empty(), "cited, and not there:\n{}", missing.join("\n"));
}
