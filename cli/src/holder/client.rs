//! Asking the process that holds the store.

use std::os::unix::net::UnixStream;

use super::wire::{FromClient, FromHolder, Patient, WireError};
use crate::failure::Failure;
use crate::place::Place;
use crate::request::{Caller, Request};
use crate::stop::Stop;

/// How asking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The holder did it.
    Done,
    /// Nobody took the request: nothing has happened. Open the store, or ask again.
    Nobody,
    /// The holder ended while an endless request was running: carry on with its successor.
    Ended,
}

/// Lets the holder execute `request` for `caller`. Raising `stop` ends it, here and there.
pub(crate) fn ask(
    place: &Place,
    request: &Request,
    caller: &mut dyn Caller,
    stop: &Stop,
) -> Result<Asked, Failure> {
    let Ok(stream) = UnixStream::connect(place.socket()) else { return Ok(Asked::Nobody) };
    let Ok(mut link) = Patient::new(&stream, || stop.is_raised()) else { return Ok(Asked::Nobody) };
    match (FromClient::Request(request.clone())).send(&mut link).map_err(WireError::from) {
        Err(WireError::Interrupted) => return Err(Failure::Interrupted),
        Err(_) => return Ok(Asked::Nobody),
        Ok(()) => (),
    }
    match FromHolder::receive(&mut link) {
        Ok(FromHolder::Accepted) => (),
        Ok(FromHolder::Failed(told)) => return Err(Failure::Told(told)),
        Ok(FromHolder::Ending) | Err(WireError::Gone) => return Ok(Asked::Nobody),
        Ok(_) => return Err(Failure::HolderFrame("an answer before the acceptance")),
        Err(error) => return Err(error.into()),
    }
    converse(&mut link, request, caller)
}

/// From the acceptance to the end.
fn converse(
    link: &mut Patient<'_, impl Fn() -> bool>,
    request: &Request,
    caller: &mut dyn Caller,
) -> Result<Asked, Failure> {
    let mut kept = Vec::new();
    loop {
        let frame = match FromHolder::receive(link) {
            Err(WireError::Gone) if request.is_endless() => return Ok(Asked::Ended),
            other => other?,
        };
        match frame {
            FromHolder::Data(bytes) => pass_lines(&mut kept, &bytes, caller)?,
            FromHolder::Answer(answer) => caller.answer(&answer)?,
            FromHolder::Link(text) => caller.link(&text)?,
            FromHolder::Note(note) => caller.note(note.level, &note.text)?,
            FromHolder::Progress(progress) => caller.progress(progress)?,
            FromHolder::Pull => {
                let piece = caller.input()?.unwrap_or_default();
                FromClient::Input(piece).send(link).map_err(WireError::from)?;
            }
            FromHolder::Ask(question) => {
                let decision = caller.ask(&question)?;
                FromClient::Decision(decision).send(link).map_err(WireError::from)?;
            }
            FromHolder::Alive if !caller.is_there() => return Err(Failure::Interrupted),
            FromHolder::Alive => (),
            FromHolder::Done => return caller.flush().map(|()| Asked::Done),
            FromHolder::Failed(told) => return Err(Failure::Told(told)),
            FromHolder::Ending if request.is_endless() => return Ok(Asked::Ended),
            // It can be asked for twice.
            FromHolder::Ending if matches!(request, Request::Sync { .. }) => return Ok(Asked::Nobody),
            FromHolder::Ending => return Err(Failure::HolderGone),
            FromHolder::Accepted => return Err(Failure::HolderFrame("a second acceptance")),
        }
    }
}

/// Data comes in pieces that may end anywhere; lines go on whole.
fn pass_lines(kept: &mut Vec<u8>, bytes: &[u8], caller: &mut dyn Caller) -> Result<(), Failure> {
    let not_text = |_| Failure::HolderFrame("data that is not UTF-8");
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        kept.extend_from_slice(&rest[..end]);
        caller.line(std::str::from_utf8(kept).map_err(not_text)?)?;
        kept.clear();
        rest = &rest[end + 1..];
    }
    kept.extend_from_slice(rest);
    caller.flush()
}
