//! Runs simulations: many plans by seed, or one again.
//!
//! ```text
//! simulate --seeds N [--from S] [--jobs J] [--theme T] [--relays R] [--shrink K]
//!                                                                      run N plans, cut failing ones down; --note FILE has their seeds
//! simulate --minutes M [...]                                           run plans for so long
//! simulate --seed S                                                    run one plan, print it, cut it down
//! simulate --plan FILE                                                 run a plan that was printed
//! simulate --fault NAME --seeds N [--jobs J] [--but FILE]              whether they find a fault that this was built with
//! ```

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use subrosa_tests::simulator::faults::seek;
use subrosa_tests::simulator::hunt::{Found, Hunt};
use subrosa_tests::simulator::plan::{Plan, THEMES, Theme};
use subrosa_tests::simulator::shrink::{Shrunk, shrink};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    let mut hunt = Hunt { from: 0, seeds: 0, jobs: 1, shrink_max: 3, theme: None, relays: None };
    let (mut one, mut minutes, mut fault, mut note) = (None, None, None, None);
    let mut passed_over = BTreeSet::new();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--seeds" => hunt.seeds = value.parse()?,
            "--from" => hunt.from = value.parse()?,
            "--jobs" => hunt.jobs = value.parse()?,
            "--shrink" => hunt.shrink_max = value.parse()?,
            "--theme" => hunt.theme = Some(theme(&value)?),
            "--relays" => hunt.relays = Some(value.parse()?),
            "--minutes" => minutes = Some(value.parse()?),
            "--seed" => one = Some(Plan::of_seed(value.parse()?)),
            "--fault" => fault = Some(value),
            "--note" => note = Some(value),
            "--but" => passed_over = seeds_in(&value)?,
            "--plan" => one = Some(std::fs::read_to_string(&value)?.parse()?),
            _ => bail!("what is {word}? {OPTIONS}"),
        }
    }
    if let Some(plan) = one {
        return Ok(run_one(&plan));
    }
    if let Some(fault) = fault {
        return run_fault(&fault, &hunt, &passed_over);
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
    if let Some(file) = note {
        let seeds: Vec<String> = found.seeds.iter().map(|seed| format!("{seed}\n")).collect();
        std::fs::write(file, seeds.concat())?;
    }
    println!("{} plans in {seconds:.1} s: {:.1} a second", found.plans, found.plans as f64 / seconds);
    let unknown = found.unknown();
    println!("{unknown} of them broke a promise, and not by a fault that is known and not mended yet");
    Ok(if unknown == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

fn seeds_in(file: &str) -> Result<BTreeSet<u64>> {
    std::fs::read_to_string(file)?.lines().map(|line| Ok(line.parse()?)).collect()
}

fn run_fault(fault: &str, hunt: &Hunt, passed_over: &BTreeSet<u64>) -> Result<ExitCode> {
    let sought = seek(fault, hunt, passed_over).with_context(|| format!("no plan shows {fault}"))?;
    println!("{sought}");
    Ok(if sought.is_found() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// What there is.
const OPTIONS: &str =
    "--seeds, --minutes, --from, --jobs, --theme, --relays, --shrink, --note, --seed, --plan, --fault, --but";

#[expect(clippy::disallowed_methods, reason = "says how long it took; nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}
