//! Faults that can be had back: declared once, listed once, used where their list says, and each to be found by a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use subrosa_tests::simulator::known::all;

use crate::files::{members, root, shown, sources, text};

/// Names that the workspace's manifest lets a `cfg` have.
fn declared() -> BTreeSet<String> {
    let manifest = text(&root().join("Cargo.toml")).unwrap();
    let of_line = |line: &str| Some(line.split_once("cfg(fault, values(\"")?.1.split('"').next()?.to_owned());
    let declared: BTreeSet<String> = manifest.lines().filter_map(of_line).collect();
    assert!(declared.len() >= 8, "{declared:?}");
    declared
}

/// A switch, as a list has it.
struct Switch {
    list: PathBuf,
    constant: String,
    name: String,
    /// Files of its package that its docs cite.
    cited: BTreeSet<String>,
}

/// The switches of all lists: a file `faults.rs` beside the `lib.rs` of a package.
fn switches() -> Vec<Switch> {
    let lists =
        members().into_iter().map(|package| package.join("src/faults.rs")).filter(|list| list.exists());
    lists
        .flat_map(|list| {
            let code = text(&list).unwrap();
            let items = code.split("\n\n").filter(|item| item.contains(": bool = cfg!(")).map(|item| {
                let (docs, rest) = item.split_once("pub(crate) const ").expect("a constant of the package");
                let (constant, rest) = rest.split_once(": bool = cfg!(").expect("and nothing else");
                let rest = rest.strip_prefix("fault = \"").expect("of a fault");
                let (name, end) = rest.split_once('"').expect("a name");
                assert_eq!(end.trim_end(), ");", "{constant}");
                let cited = docs.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs"));
                Switch {
                    list: list.clone(),
                    constant: constant.to_owned(),
                    name: name.to_owned(),
                    cited: cited.map(str::to_owned).collect(),
                }
            });
            items.collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn each_fault_is_declared_and_in_one_list() {
    let mut times: BTreeMap<String, usize> = declared().into_iter().map(|name| (name, 0)).collect();
    for Switch { name, constant, .. } in switches() {
        assert_eq!(constant, name.to_uppercase().replace('-', "_"));
        *times.get_mut(&name).unwrap_or_else(|| panic!("{name} is not declared in Cargo.toml")) += 1;
    }
    times.retain(|_, times| *times != 1);
    assert!(times.is_empty(), "not in one list: {times:?}");
}

#[test]
fn each_fault_is_used_where_its_list_says_and_nowhere_else() {
    // Put together, so that this file does not find itself.
    let switched = ["cfg(", "fault ="].concat();
    let mut wrong = Vec::new();
    let switches = switches();
    for package in members() {
        let src = package.join("src");
        let of_package: Vec<_> =
            switches.iter().filter(|switch| switch.list.parent() == Some(&*src)).collect();
        let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for file in sources(&package).into_iter().filter(|file| !file.ends_with("src/faults.rs")) {
            let code = text(&file).unwrap();
            if code.replace('!', "").contains(&switched) {
                wrong.push(format!("{}: is no list", shown(&file)));
            }
            // Outside of docs.
            let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for Switch { constant, .. } in &of_package {
                let is_it = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                let path = format!("faults::{constant}");
                if code.iter().any(|line| line.split(&path).skip(1).any(is_it)) {
                    let below = file
                        .strip_prefix(&src)
                        .map_or_else(|_| shown(&file), |below| below.display().to_string());
                    used.entry(constant).or_default().insert(below);
                }
            }
        }
        for Switch { constant, cited, .. } in of_package {
            let used = used.remove(&**constant).unwrap_or_default();
            if used.is_empty() || used != *cited {
                wrong.push(format!("{constant}: used in {used:?}, and its docs cite {cited:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_fault_has_a_plan_that_is_to_show_it() {
    let shown: BTreeSet<String> =
        all().flat_map(|known| known.faults).map(|fault| (*fault).to_owned()).collect();
    assert_eq!(shown, declared());
    // What was merged is not taken out of records again any more, so there is nothing to switch.
    let gone = ["wall-behind"];
    let without = all().filter(|known| known.is_mended && known.faults.is_empty());
    let without = without.filter(|known| !gone.contains(&known.name));
    let without: Vec<_> = without.map(|known| known.name).collect();
    assert!(without.is_empty(), "whoever mends a fault leaves a switch: {without:?}");
}
