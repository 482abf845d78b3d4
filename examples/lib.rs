//! Examples, one file each. Run one with `cargo run -p subrosa-examples --example quickstart`.
