//! The arrow `engine -> protocol <- relay`, and that the relay can decrypt nothing.

use std::process::Command;

#[test]
fn the_relay_depends_on_neither_the_engine_nor_a_cipher_of_ours() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "subrosa-relay", "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"subrosa-protocol") && names.contains(&"quinn"), "the tree is read");
    for banned in ["subrosa", "aes", "aes-gcm", "hpke", "chacha20poly1305", "hkdf", "yrs"] {
        assert!(!names.contains(&banned), "{banned} in the relay's dependency tree");
    }
}
