//! Tests of the sealed file.

mod basics;
mod crash;
mod damage;
mod forgetting;
mod format;
mod life;
mod sim;
mod speed;
mod workload;
