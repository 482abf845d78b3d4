//! The tables of `docs/`, for the tests that compare them with the code: what is written twice is tested.

/// Formats on disk.
pub(crate) const FORMAT: &str = include_str!("../../docs/FORMAT.md");

/// The section whose heading ends in `title`, up to the next heading of its level.
pub(crate) fn section<'a>(document: &'a str, title: &str) -> &'a str {
    let headed = |section: &&str| section.lines().next().is_some_and(|line| line.ends_with(title));
    document.split("\n## ").find(headed).unwrap_or_else(|| panic!("no section {title}"))
}

/// Cells of the rows of the first table that starts with `head`.
pub(crate) fn table(document: &str, head: &str) -> Vec<Vec<String>> {
    let from = document.find(head).unwrap_or_else(|| panic!("no table {head}"));
    let rows = document[from..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}
