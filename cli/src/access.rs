//! From a request to its execution: ask the holder of the store, or open it and be the holder.

use std::sync::Arc;
use std::time::Duration;

use subrosa::{Error, StoreError};

use crate::clock::Stopwatch;
use crate::execute::{LAGGED, execute};
use crate::failure::{Failure, cause};
use crate::holder::client::{self, Asked};
use crate::holder::server::Server;
use crate::host::Host;
use crate::place::Place;
use crate::request::{Caller, Level, Request};
use crate::stop::Stop;

/// Pause between two attempts to get at a store that is held.
const PAUSE: Duration = Duration::from_millis(20);

/// What is needed to get at a store.
pub(crate) struct Access<'a> {
    pub(crate) place: &'a Place,
    pub(crate) wait: Duration,
    pub(crate) stop: &'a Stop,
}

impl Access<'_> {
    /// Executes `request`, wherever the store is open.
    pub(crate) fn run(&self, request: &Request, caller: &mut dyn Caller) -> Result<(), Failure> {
        let mut watch = Stopwatch::start();
        loop {
            match client::ask(self.place, request, caller, self.stop)? {
                Asked::Done => return Ok(()),
                Asked::Ended => {
                    caller.note(Level::Detail, "the process that held the store has ended, taking over")?;
                    if let Request::Watch { .. } = request {
                        caller.line(LAGGED)?;
                    }
                    watch = Stopwatch::start();
                }
                Asked::Nobody => (),
            }
            match Host::open(self.place) {
                Ok(host) => return self.execute_here(host, request, caller),
                Err(failure) => {
                    let pid = held_by(&failure).ok_or(failure)?;
                    if watch.elapsed() >= self.wait {
                        return Err(Failure::Held { pid, secs: self.wait.as_secs() });
                    }
                }
            }
            if self.stop.is_raised() {
                return Err(Failure::Interrupted);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn execute_here(&self, host: Host, request: &Request, caller: &mut dyn Caller) -> Result<(), Failure> {
        let host = Arc::new(host);
        let server = if request.is_long() {
            match Server::start(self.place, Arc::clone(&host)) {
                Ok(server) => {
                    caller.note(Level::Detail, "serving other commands while this one runs")?;
                    Some(server)
                }
                Err(error) => {
                    let text =
                        format!("other commands have to wait: no socket can be made ({})", cause(&error));
                    caller.note(Level::Detail, &text)?;
                    None
                }
            }
        } else {
            None
        };
        let done = execute(&host, request.clone(), caller).and_then(|()| caller.flush());
        drop(server);
        done
    }
}

/// Whether a failure means that another process has the store, and which.
fn held_by(failure: &Failure) -> Option<Option<u32>> {
    match failure {
        Failure::Engine(Error::Store(StoreError::Locked { holder })) => Some(*holder),
        _ => None,
    }
}
