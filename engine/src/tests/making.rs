//! A store is made once, whoever else tries, and a making that was cut short can be done again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use subrosa_model::entropy::{Entropy, OsEntropy};
use subrosa_model::keys::{KeyProvider, SoftwareKey};
use subrosa_store::error::StoreError;

use super::{TestClock, everything, id, options, record};
use crate::device::Device;
use crate::error::Error;
use crate::life::opening::MadeFor;
use crate::life::{Core, STORE_FILE};
use crate::logs::settling;
use crate::options::Options;

const DIR: &str = "SUBROSA_TEST_MAKING_DIR";
const CUT: &str = "SUBROSA_TEST_MAKING_CUT";
const WINNER: &str = "made";
const LOSER: &str = "told";
/// How a child says that it reached its end.
const FINISHED: i32 = 77;

fn new_key() -> Arc<dyn KeyProvider> {
    Arc::new(SoftwareKey::generate(&OsEntropy))
}

fn is_taken(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists)
}

/// One note in the home vault, by which a store is known again.
fn write_note(device: &Device) {
    let vault = device.create_vault("personal").unwrap();
    vault.records("notes").put(id(1), &record(&[("a", 1)])).unwrap();
}

fn has_note(device: &Device) -> bool {
    everything(&device.vault("personal").unwrap()).len() == 1
}

#[test]
fn of_threads_that_make_a_store_in_one_folder_one_does_and_keeps_what_it_wrote() {
    const THREADS: usize = 4;
    for round in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("s");
        let begin = Barrier::new(THREADS);
        let make = || {
            let key = new_key();
            begin.wait();
            let made = Device::create(&dir, key.clone(), Options::default());
            made.map(|device| {
                write_note(&device);
                key
            })
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().filter_map(|made| made.as_ref().err()).all(is_taken), "round {round}");
        let winners: Vec<_> = made.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let device = Device::open(&dir, winners[0].clone(), Options::default()).unwrap();
        assert!(has_note(&device), "round {round}");
    }
}

fn spawn(child: &str, dir: &Path, cut: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("tests::making::{child}"), "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(cut) = cut {
        command.env(CUT, cut.to_string());
    }
    command.spawn().unwrap()
}

fn key_in(dir: &Path) -> Arc<dyn KeyProvider> {
    Arc::new(SoftwareKey::from_pkcs8_der(&std::fs::read(dir.join("key")).unwrap()).unwrap())
}

/// Not a test of its own: makes a store when it is told to, says what came of it, and ends when it is told to.
#[test]
fn racing_child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let key = key_in(dir);
    let mut stdin = std::io::stdin();
    stdin.read_exact(&mut [0]).unwrap();
    let made = Device::create(dir.join("s"), key, Options::default());
    if let Err(error) = &made {
        assert!(is_taken(error), "{error:?}");
    }
    let device = made.ok().inspect(write_note);
    println!("\n{}", if device.is_some() { WINNER } else { LOSER });
    stdin.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn of_processes_that_make_a_store_in_one_folder_one_does_and_keeps_what_it_wrote() {
    for _ in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let key = SoftwareKey::generate(&OsEntropy);
        std::fs::write(folder.path().join("key"), key.dangerous_to_pkcs8_der()).unwrap();
        let mut children: Vec<_> = (0..3).map(|_| spawn("racing_child", folder.path(), None)).collect();
        for child in &mut children {
            child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        }
        let said = |child: &mut Child| {
            let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let mut outcome = lines.filter(|line| line == WINNER || line == LOSER);
            outcome.next().expect("it says what came of it")
        };
        let outcomes: Vec<_> = children.iter_mut().map(said).collect();
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == WINNER).count(), 1, "{outcomes:?}");
        for mut child in children {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
        let device =
            Device::open(folder.path().join("s"), key_in(folder.path()), Options::default()).unwrap();
        assert!(has_note(&device));
    }
}

/// Ends the process when it is asked for the so-manieth time, as a kill would.
struct Cut {
    left: AtomicU64,
}

impl Entropy for Cut {
    fn fill(&self, out: &mut [u8]) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            std::process::abort();
        }
        OsEntropy.fill(out);
    }
}

/// Not a test of its own: is cut short while it makes a store.
#[test]
fn cut_child() {
    let (Ok(dir), Ok(cut)) = (std::env::var(DIR), std::env::var(CUT)) else { return };
    let dir = Path::new(&dir);
    let cut = Arc::new(Cut { left: AtomicU64::new(cut.parse().unwrap()) });
    let options = options(&Arc::new(TestClock::default())).entropy(cut);
    let made_for = if dir.join("joining").exists() { MadeFor::Joining } else { MadeFor::Founding };
    std::mem::forget(Core::create(&dir.join("s"), key_in(dir), options, made_for, settling::settle).unwrap());
    std::process::exit(FINISHED);
}

/// Cuts the making of a store at one step after the other, and makes it again.
fn cut_everywhere(made_for: MadeFor) {
    let mut cuts = 0;
    for cut in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        std::fs::write(dir.join("key"), SoftwareKey::generate(&OsEntropy).dangerous_to_pkcs8_der()).unwrap();
        if made_for == MadeFor::Joining {
            std::fs::write(dir.join("joining"), b"").unwrap();
        }
        let status = spawn("cut_child", dir, Some(cut)).wait().unwrap();
        let finished = status.code() == Some(FINISHED);
        let store = dir.join("s");
        if finished && made_for == MadeFor::Founding {
            // What is finished stays.
            let again = Device::create(&store, key_in(dir), Options::default());
            assert!(matches!(again, Err(Error::AlreadyExists)), "{again:?}");
        } else {
            let opened = Device::open(&store, key_in(dir), Options::default());
            assert!(matches!(opened, Err(Error::Store(StoreError::Missing))), "cut at {cut}: {opened:?}");
            Core::check_free(&store, &key_in(dir), &Options::default()).unwrap();
            let made = Device::create(&store, key_in(dir), Options::default());
            write_note(&made.unwrap_or_else(|error| panic!("cut at {cut}: {error:?}")));
            assert!(has_note(&Device::open(&store, key_in(dir), Options::default()).unwrap()));
        }
        if finished {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5, "the making was cut at {cuts} places");
}

#[test]
fn a_creation_that_is_cut_short_anywhere_can_be_done_again() {
    cut_everywhere(MadeFor::Founding);
}

#[test]
fn a_store_for_a_device_that_joins_can_be_made_again_wherever_it_was_cut_short() {
    cut_everywhere(MadeFor::Joining);
}

#[test]
fn what_is_made_again_has_no_relay_of_the_first_try() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, key) = (folder.path().join("s"), new_key());
    let core =
        Core::create(&dir, key.clone(), Options::default(), MadeFor::Joining, settling::settle).unwrap();
    let relay = "subrosa://127.0.0.1:9/#gmcdq4y6k77guoqh7qcuz6caucmneonnngzc3wsufdmnxjiyu7qq";
    core.write(|tx| Ok(tx.vaults.put_relay(relay)?)).unwrap();
    drop(core);
    let device = Device::create(&dir, key, Options::default()).unwrap();
    assert_eq!(device.relay().unwrap(), None);
}

#[test]
fn nothing_that_stands_in_the_folder_is_written_over_or_removed() {
    type Put<'p> = &'p dyn Fn(&Path);
    let another_store: Put<'_> = &|dir| {
        drop(Device::create(dir, new_key(), Options::default()).unwrap());
    };
    let file = |name: &'static str, bytes: &'static [u8]| {
        move |dir: &Path| std::fs::write(dir.join(name), bytes).unwrap()
    };
    let cases: [(&str, Put<'_>); 2] = [
        ("a store of another key", another_store),
        ("a file that is no store", &file(STORE_FILE, b"minutes of the meeting")),
    ];
    for (name, put) in cases {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path());
        let before = files(folder.path());
        let key = new_key();
        let made = Device::create(folder.path(), key.clone(), Options::default());
        assert!(matches!(made, Err(Error::AlreadyExists)), "{name}: {made:?}");
        let free = Core::check_free(folder.path(), &key, &Options::default());
        assert!(matches!(free, Err(Error::AlreadyExists)), "{name}: {free:?}");
        assert_eq!(files(folder.path()), before, "{name}");
    }
}

/// Names and bytes of the files in a folder.
fn files(dir: &Path) -> Vec<(std::ffi::OsString, Option<Vec<u8>>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).ok())).collect();
    files.sort();
    files
}

#[test]
fn a_store_is_one_file_and_what_else_lies_in_its_folder_is_left_alone() {
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    // An older store had a file of the first name beside it.
    let theirs: [(&str, &[u8]); 3] = [("token", &[b'0'; 64]), ("token.new", b""), ("notes.txt", b"bread")];
    for (name, bytes) in theirs {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    write_note(&Device::create(folder.path(), key.clone(), Options::default()).unwrap());
    for _ in 0..2 {
        assert!(has_note(&Device::open(folder.path(), key.clone(), Options::default()).unwrap()));
    }
    let mut found = files(folder.path());
    found.retain(|(name, _)| name != STORE_FILE);
    let mut theirs = theirs.map(|(name, bytes)| (name.into(), Some(bytes.to_vec())));
    theirs.sort();
    assert_eq!(found, theirs);
}

#[test]
fn a_store_that_is_open_is_somebodys() {
    let folder = tempfile::tempdir().unwrap();
    let key = new_key();
    let device = Device::create(folder.path(), key.clone(), Options::default()).unwrap();
    let again = Device::create(folder.path(), key, Options::default());
    assert!(matches!(again, Err(Error::AlreadyExists)), "{again:?}");
    write_note(&device);
    assert!(has_note(&device));
}
