//! Both link machines against each other, in memory, in an order drawn from a seed: frames of different streams
//! overtake each other, links break, the relay comes back empty, a device's store is copied. In the end everyone
//! holds everything, and nobody has accused anybody.
//!
//! `SUBROSA_LINK_SEED=n` replays one seed, `SUBROSA_LINK_SEEDS=n` runs more.

#[cfg(test)]
mod device;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod world;

#[test]
fn devices_converge_through_any_order_of_events() {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("SUBROSA_LINK_SEED") {
        Some(seed) => world::World::new(seed).run(),
        None => (0..number("SUBROSA_LINK_SEEDS").unwrap_or(60)).for_each(|seed| {
            println!("SUBROSA_LINK_SEED={seed}");
            world::World::new(seed).run();
        }),
    }
}
