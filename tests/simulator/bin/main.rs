//! Runs simulations: many plans by seed, or one again.
//!
//! ```text
//! simulate --seeds N [--from S] [--jobs J] [--theme T] [--shrink K]   run N plans, cut failing ones down
//! simulate --minutes M [...]                                           run plans for so long
//! simulate --seed S                                                    run one plan, print it, cut it down
//! simulate --plan FILE                                                 run a plan that was printed
//! ```

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use subrosa_tests::simulator::hunt::{Found, Hunt};
use subrosa_tests::simulator::plan::{Plan, THEMES, Theme};
use subrosa_tests::simulator::shrink::{Shrunk, shrink};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    let mut hunt = Hunt { from: 0, seeds: 0, jobs: 1, shrink_max: 3, theme: None };
    let (mut one, mut minutes) = (None, None);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--seeds" => hunt.seeds = value.parse()?,
            "--from" => hunt.from = value.parse()?,
            "--jobs" => hunt.jobs = value.parse()?,
            "--shrink" => hunt.shrink_max = value.parse()?,
            "--theme" => hunt.theme = Some(theme(&value)?),
            "--minutes" => minutes = Some(value.parse()?),
            "--seed" => one = Some(Plan::of_seed(value.parse()?)),
            "--plan" => one = Some(std::fs::read_to_string(&value)?.parse()?),
            _ => {
                bail!("what is {word}? --seeds, --minutes, --from, --jobs, --theme, --shrink, --seed, --plan")
            }
        }
    }
    if let Some(plan) = one {
        return Ok(run_one(&plan));
    }
    match (hunt.seeds, minutes) {
        (0, None) => bail!("--seeds N, --minutes M, --seed S or --plan FILE"),
        (0, Some(_)) => hunt.seeds = u64::MAX,
        _ => {}
    }
    let patience = minutes.map_or(Duration::MAX, |minutes: u64| Duration::from_secs(60 * minutes));
    let screen = Screen { begun: now(), patience, minutes: AtomicU64::new(0) };
    let found = hunt.run(&|shrunk| println!("{}", shown(shrunk)), &|plans| screen.goes_on(plans));
    let seconds = screen.begun.elapsed().as_secs_f64();
    report(&found);
    println!("{} plans in {seconds:.1} s: {:.1} a second", found.plans, found.plans as f64 / seconds);
    Ok(if found.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whoever sits in front of it.
struct Screen {
    begun: Instant,
    patience: Duration,
    /// So many minutes were told of.
    minutes: AtomicU64,
}

impl Screen {
    /// Tells each minute how fast it goes.
    fn goes_on(&self, plans: u64) -> bool {
        let elapsed = self.begun.elapsed();
        let minutes = elapsed.as_secs() / 60;
        if self.minutes.fetch_max(minutes, Ordering::Relaxed) < minutes {
            let rate = plans as f64 / elapsed.as_secs_f64();
            eprintln!("{minutes} min: {plans} plans, {rate:.1} a second");
        }
        elapsed < self.patience
    }
}

fn theme(name: &str) -> Result<Theme> {
    let found = THEMES.into_iter().find(|theme| format!("{theme:?}").eq_ignore_ascii_case(name));
    found.with_context(|| format!("no theme {name}"))
}

fn run_one(plan: &Plan) -> ExitCode {
    println!("{plan}");
    match plan.run() {
        Ok(()) => {
            println!("all is well");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}\n");
            println!("{}", shown(&shrink(plan, &failure)));
            ExitCode::FAILURE
        }
    }
}

fn shown(Shrunk { plan, failure, runs }: &Shrunk) -> String {
    format!("{failure}\nafter {runs} runs cut down to\n{plan}")
}

fn report(found: &Found) {
    print!("met:\n{}", found.sights);
    println!("promises broken, by theme:");
    for ((theme, kind), times) in &found.failures {
        println!("  {theme:?}: {kind:?} {times} of {}", found.themes[theme]);
    }
    println!("shapes (seed, times, promise, actions):");
    for (seed, times, kind, words) in found.shapes() {
        println!("  {seed:>6} {times:>4}  {kind:?}: {words}");
    }
    println!("known faults (first seed, times):");
    for (name, seed, times) in found.known() {
        let seed = seed.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
        println!("  {name}: {seed}, {times}");
    }
}

#[expect(clippy::disallowed_methods, reason = "says how long it took; nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}
