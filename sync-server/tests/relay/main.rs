//! The relay's tests: its store, its protocol over loopback, its process.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod client;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod end_to_end;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod home;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod process;
#[cfg(test)]
mod restored;
