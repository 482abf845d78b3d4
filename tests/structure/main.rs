//! What the repository promises about its own shape, read from its files.

#![cfg(test)]

mod dependencies;
mod doors;
mod faults;
mod files;
mod imports;
mod names;
mod public;
mod references;
mod rooms;
