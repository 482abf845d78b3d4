//! What the benchmarks share: arguments, clocks, series with their spread, and the two forms of a report.
//!
//! A benchmark measures everything that it compares in the same rounds, one beside the other, so that a busy
//! machine slows both; ratios are taken within a round. The report gives median, extremes and the median absolute
//! deviation of the rounds. `docs/BENCHMARKS.md` has the method and the commands.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod child;
pub(crate) mod data;
pub(crate) mod devices;
pub(crate) mod machine;
pub(crate) mod proxy;
pub(crate) mod quic;
pub(crate) mod relay;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How a benchmark was called.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    /// Small sizes, so that the whole takes seconds: shows that it works, not how fast.
    pub(crate) quick: bool,
    json: bool,
    rounds: Option<usize>,
    /// All other words.
    pub(crate) rest: Vec<String>,
}

impl Args {
    /// Reads `--quick`, `--json`, `--rounds N`. Without cargo's `--bench`, as in `cargo test --benches`, it is quick.
    pub(crate) fn parse() -> Self {
        let mut args = Self { quick: true, json: false, rounds: None, rest: Vec::new() };
        let mut asked_quick = std::env::var_os("SUBROSA_BENCH_QUICK").is_some();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => args.quick = false,
                "--quick" => asked_quick = true,
                "--json" => args.json = true,
                "--rounds" => args.rounds = words.next().and_then(|count| count.parse().ok()),
                _ => args.rest.push(word),
            }
        }
        args.quick |= asked_quick;
        args
    }

    /// How often everything is repeated.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { full }).max(1)
    }

    /// `full`, or `quick` in quick mode.
    pub(crate) fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Other words of the command line: parts of names that choose what runs. None means everything.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.rest.is_empty() || self.rest.iter().any(|word| name.contains(word.as_str()))
    }
}

/// The length of all files in a folder.
pub(crate) fn stored_bytes(folder: &std::path::Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.metadata()?;
        bytes += if file.is_file() { file.len() } else { 0 };
    }
    Ok(bytes)
}

/// A directory for the files of a benchmark, on the disk named by `SUBROSA_BENCH_DIR`, else where temporary files go.
pub(crate) fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let parent = std::env::var_os("SUBROSA_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Ok(tempfile::Builder::new().prefix("subrosa-bench").tempdir_in(parent)?)
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Time on the clock.
    pub(crate) wall: Duration,
    /// Time of all threads of this process on a core, user and system.
    pub(crate) cpu: Duration,
}

impl Cost {
    /// Per second of `wall`.
    pub(crate) fn rate(&self, count: usize) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    /// Microseconds on a core for each of `count`.
    pub(crate) fn cpu_us(&self, count: usize) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count as f64
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// Runs `work` and says what it took.
pub(crate) fn measured<R>(work: impl FnOnce() -> anyhow::Result<R>) -> anyhow::Result<(R, Cost)> {
    let (start, cpu) = (now(), machine::own_cpu());
    let result = work()?;
    Ok((result, Cost { wall: start.elapsed(), cpu: machine::own_cpu().saturating_sub(cpu) }))
}

/// The clock of benchmarks.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What a series should reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">= {}", number(*least)),
            Self::AtMost(most) => write!(f, "<= {}", number(*most)),
        }
    }
}

/// One thing measured, once a round.
#[derive(Debug)]
struct Series {
    name: String,
    unit: &'static str,
    goal: Option<Goal>,
    samples: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Summary<'s> {
    name: &'s str,
    unit: &'s str,
    median: f64,
    min: f64,
    max: f64,
    /// Median absolute deviation from the median.
    mad: f64,
    rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<Goal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<bool>,
}

impl Series {
    fn summary(&self) -> Summary<'_> {
        let middle = median(&self.samples);
        let deviations: Vec<f64> = self.samples.iter().map(|sample| (sample - middle).abs()).collect();
        Summary {
            name: &self.name,
            unit: self.unit,
            median: middle,
            min: self.samples.iter().copied().fold(f64::INFINITY, f64::min),
            max: self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mad: median(&deviations),
            rounds: self.samples.len(),
            goal: self.goal,
            reached: self.goal.map(|goal| goal.reached(middle)),
        }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// Everything that one benchmark measured.
#[derive(Debug)]
pub(crate) struct Report {
    title: &'static str,
    args: Args,
    machine: machine::Machine,
    series: Vec<Series>,
}

impl Report {
    pub(crate) fn new(title: &'static str, args: &Args) -> Self {
        Self { title, args: args.clone(), machine: machine::Machine::here(), series: Vec::new() }
    }

    /// Adds this round's sample of a series.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, sample: f64) {
        self.series(name, unit).samples.push(sample);
    }

    /// As [`Report::add`], of a series that has a goal.
    pub(crate) fn add_for(&mut self, name: &str, unit: &'static str, sample: f64, goal: Goal) {
        let series = self.series(name, unit);
        series.goal = Some(goal);
        series.samples.push(sample);
    }

    /// This round's sample of a series.
    pub(crate) fn last(&self, name: &str) -> f64 {
        let series = self.series.iter().find(|series| series.name == name);
        series.and_then(|series| series.samples.last()).copied().unwrap_or(f64::NAN)
    }

    fn series(&mut self, name: &str, unit: &'static str) -> &mut Series {
        let at = self.series.iter().position(|series| series.name == name).unwrap_or_else(|| {
            self.series.push(Series { name: name.to_owned(), unit, goal: None, samples: Vec::new() });
            self.series.len() - 1
        });
        &mut self.series[at]
    }

    /// Says on stderr how far it is.
    pub(crate) fn progress(&self, what: std::fmt::Arguments<'_>) {
        eprintln!("{}: {what}", self.title);
    }

    /// Prints the report: a table, or JSON when asked for.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let summaries: Vec<_> = self.series.iter().map(Series::summary).collect();
        let load_after = machine::load_average();
        if self.args.json {
            let report = serde_json::json!({
                "benchmark": self.title,
                "quick": self.args.quick,
                "machine": self.machine,
                "load_after": load_after,
                "series": summaries,
            });
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        println!(
            "# {}{}",
            self.title,
            if self.args.quick { " (quick: shows that it works, not how fast)" } else { "" }
        );
        println!("{}", self.machine);
        println!("load average {} before, {load_after} after", self.machine.load);
        let width = summaries.iter().map(|series| series.name.len()).max().unwrap_or(0);
        println!(
            "{:width$}  {:>11} {:>10} {:>10} {:>9} {:>3}  {:9} goal",
            "", "median", "min", "max", "mad", "n", "unit"
        );
        for series in summaries {
            let goal = series.goal.map(|goal| {
                format!("{goal} {}", if series.reached == Some(true) { "reached" } else { "NOT REACHED" })
            });
            println!(
                "{:width$}  {:>11} {:>10} {:>10} {:>9} {:>3}  {:9} {}",
                series.name,
                number(series.median),
                number(series.min),
                number(series.max),
                number(series.mad),
                series.rounds,
                series.unit,
                goal.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// About four digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
