//! What the files cite exists here.

use crate::files::{below, root, shown, text};

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
