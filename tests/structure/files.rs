//! The files of the repository.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// Every file below `folder` that `wanted` takes, in order. Neither what is built nor what is hidden counts, and of a
/// package within the folder nothing does.
pub(crate) fn below(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Of links only what they point to counts, where it lies.
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                let built =
                    ["target", "node_modules", "build", "corpus", "artifacts"].contains(&name.as_str());
                if !built && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The Rust sources of the package in `folder`, without those of packages that lie in it.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let nested: Vec<PathBuf> = below(folder, &|path| path.ends_with("Cargo.toml"))
        .iter()
        .filter_map(|manifest| manifest.parent().map(Path::to_owned))
        .filter(|nested| nested != folder)
        .collect();
    let mut sources = below(folder, &|path| path.extension().is_some_and(|end| end == "rs"));
    sources.retain(|path| !nested.iter().any(|nested| path.starts_with(nested)));
    sources
}

/// A file as text; what is no text is nobody's source.
pub(crate) fn text(path: &Path) -> Option<String> {
    String::from_utf8(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).ok()
}

/// The path as it is written in this repository.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The packages of the workspace, by the folders that its manifest names.
pub(crate) fn members() -> Vec<PathBuf> {
    let manifest = text(&root().join("Cargo.toml")).unwrap();
    let list =
        manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("members on one line");
    let members: Vec<PathBuf> =
        list.split('"').skip(1).step_by(2).map(|member| root().join(member)).collect();
    assert!(members.len() >= 7, "{members:?}");
    members
}
