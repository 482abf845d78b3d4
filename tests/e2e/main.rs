//! Real devices and a real relay in one process, over loopback. Nothing here sleeps to synchronise: tests wait
//! for what they expect, with a deadline.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod first_sync;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod many;
#[cfg(test)]
mod mute;
#[cfg(test)]
mod newer;
#[cfg(test)]
mod paired;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod support;
#[cfg(test)]
mod suspended;
#[cfg(test)]
mod sync;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod waiting;
