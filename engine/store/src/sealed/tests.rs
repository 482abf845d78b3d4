//! Tests of the sealed file.

mod basics;
mod crash;
mod damage;
mod format;
mod life;
mod sim;
mod speed;
mod workload;
