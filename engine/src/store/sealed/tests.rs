//! Tests of the sealed file.

mod basics;
mod crash;
mod sim;
mod workload;
