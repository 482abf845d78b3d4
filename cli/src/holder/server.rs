//! Serving other commands while this process holds the store.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wire::{FromClient, FromHolder, Note, Patient, WireError};
use crate::clock::Stopwatch;
use crate::execute::execute;
use crate::failure::Failure;
use crate::host::Host;
use crate::place::Place;
use crate::request::{Answer, Caller, Decision, Level, Progress, Question};
use crate::stop::{GLANCE, Stop};

/// Commands served at a time; others are turned away at once and wait as if there were no socket.
const CLIENTS_MAX: usize = 16;
/// How long a client may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// Data kept back before it is sent.
const DATA_BYTES: usize = 64 << 10;

/// A listening socket and everything that serves it. Dropping it removes the socket, tells the clients, and waits
/// for what is being executed.
pub(crate) struct Server {
    socket: PathBuf,
    stop: Stop,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve `host`, whose store this process holds: a socket that lies at the path is stale.
    ///
    /// # Errors
    /// Where a socket cannot be: a path that is too long, a file system without sockets, or something else of that name.
    pub(crate) fn start(place: &Place, host: Arc<Host>) -> io::Result<Self> {
        let socket = place.socket();
        let listener = bind(place.dir(), &socket)?;
        let stop = Stop::default();
        let seen = stop.clone();
        let acceptor = thread::Builder::new()
            .name("holder".to_owned())
            .spawn(move || accept(&listener, &host, &seen))?;
        Ok(Self { socket, stop, acceptor: Some(acceptor) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.raise();
        // Wakes the acceptor; then the path is free, and nobody knocks in vain.
        let woken = UnixStream::connect(&self.socket);
        if let Ok(true) = is_socket_or_free(&self.socket) {
            let _ = fs::remove_file(&self.socket);
        }
        if let (Some(acceptor), Ok(_)) = (self.acceptor.take(), woken) {
            let _ = acceptor.join();
        }
    }
}

/// Binds within a private folder and moves the socket into place, so that it never exists with a wider mode and
/// replaces a stale one in one step. What is no socket, and a folder with anything in it but a socket, is somebody else's.
fn bind(dir: &Path, socket: &Path) -> io::Result<UnixListener> {
    if !is_socket_or_free(socket)? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let private = dir.join(".new");
    let inner = private.join("socket");
    let tidy = || {
        if let Ok(true) = is_socket_or_free(&inner) {
            let _ = fs::remove_file(&inner);
        }
        let _ = fs::remove_dir(&private);
    };
    tidy();
    DirBuilder::new().mode(0o700).create(&private)?;
    let bound = (|| {
        let listener = UnixListener::bind(&inner)?;
        fs::set_permissions(&inner, Permissions::from_mode(0o600))?;
        fs::rename(&inner, socket)?;
        Ok(listener)
    })();
    tidy();
    bound
}

/// Whether a socket is at `path`, or nothing.
fn is_socket_or_free(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(there.file_type().is_socket()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn accept(listener: &UnixListener, host: &Arc<Host>, stop: &Stop) {
    let mut threads = Vec::<JoinHandle<()>>::new();
    for stream in listener.incoming() {
        if stop.is_raised() {
            break;
        }
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: let some clients end.
            thread::sleep(GLANCE);
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        if threads.len() >= CLIENTS_MAX {
            continue;
        }
        let (host, stop) = (Arc::clone(host), stop.clone());
        let client = thread::Builder::new().name("client".to_owned());
        let spawned = client.spawn(move || serve(&stream, &host, &stop));
        threads.extend(spawned.ok());
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// One client from its request to the end. Every failure on the way means that it has gone: nobody to tell.
fn serve(stream: &UnixStream, host: &Host, stop: &Stop) {
    let watch = Stopwatch::start();
    let request = {
        let Ok(mut link) = Patient::new(stream, || stop.is_raised() || watch.elapsed() > REQUEST_WAIT) else {
            return;
        };
        match FromClient::receive(&mut link) {
            Ok(FromClient::Request(request)) => request,
            Ok(_) => return,
            Err(WireError::Version) => {
                let _ = FromHolder::Failed(Failure::HolderVersion.tell()).send(&mut link);
                return;
            }
            Err(_) => return,
        }
    };
    let Ok(mut link) = Patient::new(stream, || stop.is_raised()) else { return };
    if stop.is_raised() {
        let _ = FromHolder::Ending.send(&mut link);
        return;
    }
    if FromHolder::Accepted.send(&mut link).is_err() {
        return;
    }
    let mut remote = Remote { link, data: Vec::new(), stop };
    let done = execute(host, request, &mut remote).and_then(|()| remote.flush());
    let last = match done {
        Ok(()) => FromHolder::Done,
        Err(Failure::Ending | Failure::Interrupted) if stop.is_raised() => FromHolder::Ending,
        Err(failure) => FromHolder::Failed(failure.tell()),
    };
    let _ = last.send(&mut remote.link);
}

/// A caller at the other end of the socket.
struct Remote<'a, F> {
    link: Patient<'a, F>,
    data: Vec<u8>,
    stop: &'a Stop,
}

impl<F: Fn() -> bool> Remote<'_, F> {
    fn send(&mut self, frame: &FromHolder) -> Result<(), Failure> {
        self.flush()?;
        self.send_now(frame)
    }

    fn send_now(&mut self, frame: &FromHolder) -> Result<(), Failure> {
        frame.send(&mut self.link).map_err(|_| self.lost())
    }

    fn receive(&mut self) -> Result<FromClient, Failure> {
        FromClient::receive(&mut self.link).map_err(|_| self.lost())
    }

    /// Why the socket failed: we are ending, or the client has gone.
    fn lost(&self) -> Failure {
        if self.stop.is_raised() { Failure::Ending } else { Failure::Interrupted }
    }
}

impl<F: Fn() -> bool> Caller for Remote<'_, F> {
    fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.data.extend_from_slice(line.as_bytes());
        self.data.push(b'\n');
        if self.data.len() >= DATA_BYTES { self.flush() } else { Ok(()) }
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Failure> {
        self.send(&FromHolder::Answer(answer.clone()))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let data = std::mem::take(&mut self.data);
        for piece in data.chunks(DATA_BYTES) {
            self.send_now(&FromHolder::Data(piece.to_vec()))?;
        }
        Ok(())
    }

    fn link(&mut self, link: &str) -> Result<(), Failure> {
        self.send(&FromHolder::Link(link.to_owned()))
    }

    fn note(&mut self, level: Level, text: &str) -> Result<(), Failure> {
        self.send(&FromHolder::Note(Note { level, text: text.to_owned() }))
    }

    fn progress(&mut self, progress: Progress) -> Result<(), Failure> {
        self.send(&FromHolder::Progress(progress))
    }

    fn input(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.send(&FromHolder::Pull)?;
        match self.receive()? {
            FromClient::Input(piece) => Ok(Some(piece).filter(|piece| !piece.is_empty())),
            _ => Err(Failure::HolderFrame("no input where it was asked for")),
        }
    }

    fn ask(&mut self, question: &Question) -> Result<Decision, Failure> {
        self.send(&FromHolder::Ask(question.clone()))?;
        match self.receive()? {
            FromClient::Decision(decision) => Ok(decision),
            _ => Err(Failure::HolderFrame("no decision where it was asked for")),
        }
    }

    fn is_there(&mut self) -> bool {
        !self.stop.is_raised() && self.send(&FromHolder::Alive).is_ok()
    }
}
