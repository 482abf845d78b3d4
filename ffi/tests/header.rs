//! The committed header is what cbindgen makes of the sources, and the committed list of symbols is what it declares.
//!
//! `make -C ffi header` writes both anew (it sets `SUBROSA_WRITE_HEADER`).

use std::collections::BTreeSet;
use std::path::Path;

/// A file as it is to be, written if that is asked for, compared otherwise.
fn agree(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("SUBROSA_WRITE_HEADER").is_some() {
        std::fs::write(&path, wanted).expect("the crate can be written");
        return;
    }
    let found = std::fs::read_to_string(&path).expect("a committed file");
    let line = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "{file} differs from the sources, first at line {line:?}: run `make -C ffi header`"
    );
}

#[test]
fn header_and_symbols_are_those_of_the_sources() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let mut header = Vec::new();
    cbindgen::generate_with_config(crate_dir, config).unwrap().write(&mut header);
    let header = String::from_utf8(header).unwrap();
    agree("include/subrosa.h", &header);

    let symbols: BTreeSet<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '/']) && line.contains('('))
        .filter_map(|line| line.split('(').next()?.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("subrosa_"))
        .collect();
    let list: String = symbols.iter().map(|symbol| format!("{symbol}\n")).collect();
    agree("symbols.txt", &list);
}

#[test]
fn every_function_says_since_when_it_is_there() {
    let header =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/subrosa.h")).unwrap();
    let mut text = String::new();
    for line in header.lines() {
        if line.starts_with("/**") {
            text.clear();
        }
        text.push_str(line);
        if line.contains("subrosa_") && line.contains('(') && !line.starts_with([' ', '#', '/', 't']) {
            assert!(text.contains("Since 0."), "no \"Since\": {line}");
        }
    }
}
