//! The real binary, driven as a user would: arguments in, lines and exit codes out.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

mod fields;
mod holder;
mod init;
mod making;
mod newer;
mod path;
mod records;
mod refusals;
mod support;
mod transfer;
