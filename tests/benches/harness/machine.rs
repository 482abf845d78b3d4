//! The machine that measures, and what processes use of it.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// Where a benchmark ran; part of every report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) optimised: bool,
    pub(crate) command: String,
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let program = std::env::current_exe().ok().and_then(|path| {
            let name = path.file_stem()?.to_string_lossy().into_owned();
            // Cargo appends a hash.
            Some(name.rsplit_once('-').map_or(name.clone(), |(name, _)| name.to_owned()))
        });
        let words = std::env::args().skip(1).filter(|word| word != "--bench");
        let command: Vec<_> = program.into_iter().chain(words).collect();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.map_or("unknown", |(_, name)| name).to_owned(),
            kernel: format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH),
            optimised: !cfg!(debug_assertions),
            command: command.join(" "),
            load: load_average(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let build = if self.optimised { "release" } else { "NOT OPTIMISED" };
        write!(f, "{} cores, {}, {}, {build}; {}", self.cores, self.cpu, self.kernel, self.command)
    }
}

/// Load average of one minute: what else the machine does.
pub(crate) fn load_average() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// Time that this process has spent on cores.
pub(crate) fn own_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.try_into().unwrap_or_default()
}

/// Time that another process has spent on cores, in steps of 10 ms.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
    let fields = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks =
        fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Memory of a process that is in RAM, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    status_kib(pid, "VmRSS:")
}

/// As [`resident`], without pages of files: what the process itself has filled.
pub(crate) fn resident_anonymous(pid: u32) -> anyhow::Result<u64> {
    status_kib(pid, "RssAnon:")
}

fn status_kib(pid: u32, key: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line in status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
