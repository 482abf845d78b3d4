//! What happens in the demo, step by step.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subrosa::{
    Collection, Confirmation, Device, Options, OsEntropy, PairCode, RecordId, RelayAddr, SoftwareKey,
    SyncError, Vault,
};

use super::bytes;
use super::relay::Process;
use super::screen::{Screen, millis};
use crate::clock::Stopwatch;
use crate::failure::Failure;
use crate::joining::{self, NewDevice};
use crate::line;
use crate::stop::{GLANCE, Stop};

const VAULT: &str = "personal";
const NOTES: &str = "notes";
/// A step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a note that are shown.
const EXCERPT_LINES: usize = 3;

const SOURDOUGH: &str = include_str!("notes/sourdough.md");
const DOLOMITES: &str = include_str!("notes/dolomites.md");
const READING: &str = include_str!("notes/reading.md");
const LETTER: &str = include_str!("notes/letter.md");

/// A Markdown note. Each member is a field that merges by itself.
#[derive(Serialize, Deserialize)]
struct Note {
    title: String,
    body: String,
    pinned: bool,
}

impl Note {
    /// The first line is the title.
    fn from_markdown(text: &str) -> Self {
        let (title, body) = text.split_once('\n').unwrap_or((text, ""));
        let title = title.trim_start_matches(['#', ' ']).to_owned();
        Self { title, body: body.trim().to_owned(), pinned: false }
    }
}

/// One device of the demo.
struct Actor {
    name: &'static str,
    device: Device,
    vault: Vault,
}

impl Actor {
    fn new(name: &'static str, device: Device) -> Result<Self, Failure> {
        let vault = device.vault(VAULT)?;
        Ok(Self { name, device, vault })
    }

    fn notes(&self) -> Collection<Note> {
        self.vault.collection(NOTES)
    }

    fn add(&self, id: &str, markdown: &str) -> Result<(), Failure> {
        Ok(self.notes().put(RecordId::from_name(id), &Note::from_markdown(markdown))?)
    }

    /// Everything, as `subrosa export` prints it.
    fn export(&self) -> Result<Vec<String>, Failure> {
        let records = self.vault.records(NOTES);
        let line = |record: Result<_, _>| record.map(|(id, fields)| line::write(Some(NOTES), id, fields));
        Ok(records.scan().map(line).collect::<Result<_, _>>()?)
    }
}

/// Tells it.
pub(super) fn tell(root: &Path, stop: &Stop) -> Result<(), Failure> {
    let mut screen = Screen::new();
    screen
        .print("subrosa demo: a relay and two devices on this machine, in a folder that goes at the end")?;

    screen.step("A relay starts, as a process of its own")?;
    let watch = Stopwatch::start();
    let mut relay = Process::start(&root.join("relay"))?;
    screen.timed(
        "relay",
        &format!("process {}, {}", relay.pid(), relay.url.hosts().join(", ")),
        watch.elapsed(),
    )?;

    let laptop = found(root, &relay.url, &mut screen)?;
    sync(&laptop, &relay.url, &screen, stop)?;
    let phone = pair(root, &laptop, &relay.url, &screen, stop)?;
    sync(&laptop, &relay.url, &screen, stop)?;
    sync(&phone, &relay.url, &screen, stop)?;
    screen.fact("phone", &format!("has {} notes now", phone.notes().len()?))?;

    edit_offline(&laptop, &phone, &mut screen)?;

    screen.step("The laptop syncs; then the relay is killed (SIGKILL) and started again")?;
    sync(&laptop, &relay.url, &screen, stop)?;
    let watch = Stopwatch::start();
    let pid = relay.pid();
    relay.crash_and_restart()?;
    screen.timed(
        "relay",
        &format!("process {pid} is dead, process {} serves the same files", relay.pid()),
        watch.elapsed(),
    )?;

    screen.step("Both sync")?;
    let watch = Stopwatch::start();
    sync(&phone, &relay.url, &screen, stop)?;
    sync(&laptop, &relay.url, &screen, stop)?;
    let took = watch.elapsed();

    compare(&laptop, &phone, &relay, &mut screen)?;
    figures(root, &laptop, &phone, &relay, &screen, took)
}

fn found(root: &Path, relay: &RelayAddr, screen: &mut Screen) -> Result<Actor, Failure> {
    screen.step("The laptop makes a vault and writes two notes; the phone is paired")?;
    let watch = Stopwatch::start();
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let options = Options::default().device_name("laptop");
    let device = Device::create(root.join("laptop"), key, options)?;
    device.create_vault(VAULT)?;
    device.set_relay(Some(relay))?;
    let laptop = Actor::new("laptop", device)?;
    laptop.add("sourdough", SOURDOUGH)?;
    laptop.add("dolomites", DOLOMITES)?;
    screen.timed("laptop", "store and vault made, sourdough.md and dolomites.md written", watch.elapsed())?;
    Ok(laptop)
}

/// Pairs a second device over the relay: the link goes from screen to camera, so to speak.
fn pair(
    root: &Path,
    laptop: &Actor,
    relay: &RelayAddr,
    screen: &Screen,
    stop: &Stop,
) -> Result<Actor, Failure> {
    let watch = Stopwatch::start();
    let mut offer = laptop.device.pair_offer(relay)?;
    let link = offer.link().to_text();
    let (request, device, code) = std::thread::scope(|scope| {
        let phone = scope.spawn(|| join(root, &link, stop));
        let request = loop {
            if stop.is_raised() || watch.elapsed() > PATIENCE || phone.is_finished() {
                break None;
            }
            if let Some(request) = offer.wait_for_code(GLANCE)? {
                break Some(request);
            }
        };
        if let Some(request) = &request {
            offer.confirm(Confirmation::Typed(&request.code.to_string()))?;
        } else {
            stop.raise();
        }
        let (device, code) = phone.join().map_err(|_| Failure::DemoDiverged)??;
        Ok::<_, Failure>((request, device, code))
    })?;
    let Some(code) = request.map(|request| request.code).filter(|shown| Some(*shown) == code) else {
        return Err(Failure::DemoDiverged);
    };
    screen.timed("phone", &format!("paired over the relay, both show the code {code}"), watch.elapsed())?;
    Actor::new("phone", device)
}

/// The new device's side: its store, and the code that it showed.
fn join(root: &Path, link: &str, stop: &Stop) -> Result<(Device, Option<PairCode>), Failure> {
    let dir = root.join("phone");
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let options = Options::default().device_name("phone");
    let mut code = None;
    let device = joining::join(link, &NewDevice { dir: &dir, key, options }, stop, |shown| {
        code = Some(shown);
        Ok(())
    })?;
    Ok((device, code))
}

fn edit_offline(laptop: &Actor, phone: &Actor, screen: &mut Screen) -> Result<(), Failure> {
    screen.step("Both write, offline")?;
    laptop.add("letter", LETTER)?;
    laptop.notes().update(RecordId::from_name("dolomites"), |note| note.pinned = true)?;
    laptop.notes().update(RecordId::from_name("sourdough"), |note| note.title = "Bread".to_owned())?;
    screen.fact("laptop", "adds letter.md, pins the Dolomites, calls the sourdough `Bread`")?;

    phone.add("reading", READING)?;
    phone.notes().update(RecordId::from_name("dolomites"), |note| {
        note.body = note.body.replace("- [ ] Fanes", "- [x] Fanes");
    })?;
    phone.notes().update(RecordId::from_name("sourdough"), |note| note.title = "Sunday bread".to_owned())?;
    screen.fact(
        "phone",
        "adds reading.md, ticks off a hut of the Dolomites, calls the sourdough `Sunday bread`",
    )
}

/// Lets a device and the relay exchange everything.
fn sync(actor: &Actor, relay: &RelayAddr, screen: &Screen, stop: &Stop) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    let sync = actor.device.sync(relay)?;
    let moment = sync.moment();
    while let Err(error) = moment.wait(GLANCE, GLANCE) {
        if stop.is_raised() {
            return Err(Failure::Interrupted);
        }
        if watch.elapsed() > PATIENCE || !matches!(error, SyncError::NoProgress(_) | SyncError::Unfinished(_))
        {
            return Err(Failure::Sync(error));
        }
    }
    screen.timed(actor.name, "caught up both ways", watch.elapsed())
}

/// Whether the two devices hold the same, and their records beside the relay's bytes.
fn compare(laptop: &Actor, phone: &Actor, relay: &Process, screen: &mut Screen) -> Result<(), Failure> {
    if laptop.export()? != phone.export()? {
        return Err(Failure::DemoDiverged);
    }
    screen.step("What both devices hold, byte for byte the same, beside what the relay holds")?;
    let mut left = Vec::new();
    for item in phone.notes().scan() {
        let (_, note) = item?;
        let pin = if note.pinned { " (pinned)" } else { "" };
        left.push(format!("# {}{pin}", note.title));
        let lines = note.body.lines().filter(|line| !line.trim().is_empty());
        left.extend(lines.take(EXCERPT_LINES).map(|line| format!("  {line}")));
        left.push(String::new());
    }
    let right = bytes::dump(&relay.database()?, left.len());
    for (left, right) in left.iter().zip(&right) {
        screen.columns(left, right)?;
    }

    let dolomites = phone.notes().get(RecordId::from_name("dolomites"))?;
    let sourdough = laptop.notes().get(RecordId::from_name("sourdough"))?;
    if let (Some(dolomites), Some(sourdough)) = (dolomites, sourdough) {
        let both = dolomites.pinned && dolomites.body.contains("- [x] Fanes");
        let outcome = if both { "both edits stand" } else { "an edit is missing" };
        screen.fact("merged", &format!("the Dolomites were pinned here and ticked off there: {outcome}"))?;
        screen.fact(
            "merged",
            &format!("both renamed the sourdough: the later name stands, `{}`", sourdough.title),
        )?;
    }
    Ok(())
}

/// Sizes and times.
fn figures(
    root: &Path,
    laptop: &Actor,
    phone: &Actor,
    relay: &Process,
    screen: &Screen,
    took: Duration,
) -> Result<(), Failure> {
    let words = bytes::words([SOURDOUGH, DOLOMITES, READING, LETTER]);
    screen.print("")?;
    let files = [
        ("relay", relay.database()?),
        ("laptop", read(&root.join("laptop"))?),
        ("phone", read(&root.join("phone"))?),
    ];
    for (who, bytes) in &files {
        let found = bytes::found(&words, bytes);
        let kib = bytes.len() >> 10;
        screen.fact(
            who,
            &format!("{found} of {} words of the notes are readable in its {kib} KiB", words.len()),
        )?;
    }
    let segments = [laptop.device.verify()?.segments, phone.device.verify()?.segments];
    let text: usize = laptop.export()?.iter().map(|line| line.len() + 1).sum();
    screen.fact(
        "figures",
        &format!(
            "{} records, {text} bytes as JSON, {} segments, {} devices, {} to converge, {} in all",
            laptop.notes().len()?,
            segments.iter().max().copied().unwrap_or_default(),
            laptop.vault.devices()?.len(),
            millis(took),
            millis(screen.elapsed())
        ),
    )
}

/// The sealed file of a device.
fn read(dir: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(dir.join("store.subrosa")).map_err(Failure::Demo)
}
