//! A relay that lies, over real connections (`docs/THREAT-MODEL.md`, "A malicious relay"): what shows it, that nothing it makes up
//! is taken in, and that nothing of it lasts: whoever then syncs with an honest relay has lost nothing.

#[cfg(test)]
mod births;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod meetings;
#[cfg(test)]
mod stage;
#[cfg(test)]
#[path = "../e2e/support.rs"]
#[expect(dead_code, reason = "the end-to-end tests use more of it")]
mod support;
#[cfg(test)]
mod told;
#[cfg(test)]
mod untold;
