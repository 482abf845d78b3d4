//! The frames of the local socket: `length u32 | tag u8 | payload`, big endian, the length counting tag and
//! payload. Payloads are JSON but for data and input, which are raw bytes.
//!
//! Both ends are processes of one user, and the socket is in his folder with mode 0600; still, a length is
//! checked before anything is allocated.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Told};
use crate::request::{Answer, Decision, Level, Progress, Question, Request};

/// Version of this protocol; both ends must have the same one.
const VERSION: u8 = 3;
/// One frame. The largest is a `put` of a record as long as one line may be, as JSON in JSON.
const FRAME_BYTES_MAX: u32 = 160 << 20;
/// How long one read or write blocks before its end looks around.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a client says.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// First and once.
    Request(Request),
    /// After [`FromHolder::Pull`]; empty at the end of the input.
    Input(Vec<u8>),
    /// After [`FromHolder::Ask`].
    Decision(Decision),
}

/// What the holder says.
#[derive(Debug)]
pub(crate) enum FromHolder {
    /// The request is about to be executed. Before this, nothing has happened.
    Accepted,
    /// Bytes for stdout.
    Data(Vec<u8>),
    /// As [`crate::request::Caller::answer`].
    Answer(Answer),
    /// As [`crate::request::Caller::link`].
    Link(String),
    /// As [`crate::request::Caller::note`].
    Note(Note),
    /// As [`crate::request::Caller::progress`].
    Progress(Progress),
    /// More input is wanted.
    Pull,
    /// A person is to decide.
    Ask(Question),
    /// Still at it.
    Alive,
    /// The end, and it is well.
    Done,
    /// The end, and it is not.
    Failed(Told),
    /// The holder ends before the request did: ask its successor.
    Ending,
}

/// A note on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) level: Level,
    pub(crate) text: String,
}

mod tag {
    pub(super) const REQUEST: u8 = 1;
    pub(super) const INPUT: u8 = 2;
    pub(super) const DECISION: u8 = 3;
    pub(super) const ACCEPTED: u8 = 16;
    pub(super) const DATA: u8 = 17;
    pub(super) const ANSWER: u8 = 18;
    pub(super) const LINK: u8 = 19;
    pub(super) const NOTE: u8 = 20;
    pub(super) const PROGRESS: u8 = 21;
    pub(super) const PULL: u8 = 22;
    pub(super) const ASK: u8 = 23;
    pub(super) const ALIVE: u8 = 24;
    pub(super) const DONE: u8 = 25;
    pub(super) const FAILED: u8 = 26;
    pub(super) const ENDING: u8 = 27;
}

impl FromClient {
    /// Sends it.
    pub(crate) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Request(request) => {
                let mut payload = vec![VERSION];
                serde_json::to_writer(&mut payload, request)?;
                write_frame(to, tag::REQUEST, &payload)
            }
            Self::Input(bytes) => write_frame(to, tag::INPUT, bytes),
            Self::Decision(decision) => write_frame(to, tag::DECISION, &serde_json::to_vec(decision)?),
        }
    }

    /// Receives one.
    pub(crate) fn receive(from: &mut impl Read) -> Result<Self, WireError> {
        let (tag, payload) = read_frame(from)?;
        match (tag, payload.as_slice()) {
            (tag::REQUEST, [VERSION, json @ ..]) => Ok(Self::Request(parse(json)?)),
            (tag::REQUEST, _) => Err(WireError::Version),
            (tag::INPUT, _) => Ok(Self::Input(payload)),
            (tag::DECISION, json) => Ok(Self::Decision(parse(json)?)),
            _ => Err(WireError::Frame("unknown frame")),
        }
    }
}

impl FromHolder {
    /// Sends it.
    pub(crate) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let json = |to: &mut _, tag, payload: serde_json::Result<Vec<u8>>| write_frame(to, tag, &payload?);
        match self {
            Self::Accepted => write_frame(to, tag::ACCEPTED, &[]),
            Self::Data(bytes) => write_frame(to, tag::DATA, bytes),
            Self::Answer(answer) => json(to, tag::ANSWER, serde_json::to_vec(answer)),
            Self::Link(link) => json(to, tag::LINK, serde_json::to_vec(link)),
            Self::Note(note) => json(to, tag::NOTE, serde_json::to_vec(note)),
            Self::Progress(progress) => json(to, tag::PROGRESS, serde_json::to_vec(progress)),
            Self::Pull => write_frame(to, tag::PULL, &[]),
            Self::Ask(question) => json(to, tag::ASK, serde_json::to_vec(question)),
            Self::Alive => write_frame(to, tag::ALIVE, &[]),
            Self::Done => write_frame(to, tag::DONE, &[]),
            Self::Failed(told) => json(to, tag::FAILED, serde_json::to_vec(told)),
            Self::Ending => write_frame(to, tag::ENDING, &[]),
        }
    }

    /// Receives one.
    pub(crate) fn receive(from: &mut impl Read) -> Result<Self, WireError> {
        let (tag, payload) = read_frame(from)?;
        Ok(match tag {
            tag::ACCEPTED => Self::Accepted,
            tag::DATA => Self::Data(payload),
            tag::ANSWER => Self::Answer(parse(&payload)?),
            tag::LINK => Self::Link(parse(&payload)?),
            tag::NOTE => Self::Note(parse(&payload)?),
            tag::PROGRESS => Self::Progress(parse(&payload)?),
            tag::PULL => Self::Pull,
            tag::ASK => Self::Ask(parse(&payload)?),
            tag::ALIVE => Self::Alive,
            tag::DONE => Self::Done,
            tag::FAILED => Self::Failed(parse(&payload)?),
            tag::ENDING => Self::Ending,
            _ => return Err(WireError::Frame("unknown frame")),
        })
    }
}

/// Why a frame did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the other end has gone")]
    Gone,
    #[error("interrupted")]
    Interrupted,
    #[error("another version")]
    Version,
    #[error("{0}")]
    Frame(&'static str),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        if is_timeout(&error) { Self::Interrupted } else { Self::Gone }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Gone => Self::HolderGone,
            WireError::Interrupted => Self::Interrupted,
            WireError::Version => Self::HolderVersion,
            WireError::Frame(what) => Self::HolderFrame(what),
        }
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(json).map_err(|_| WireError::Frame("a frame that does not parse"))
}

fn write_frame(to: &mut impl Write, tag: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len() + 1).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(payload.len() + 5);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.push(tag);
    frame.extend_from_slice(payload);
    to.write_all(&frame)
}

fn read_frame(from: &mut impl Read) -> Result<(u8, Vec<u8>), WireError> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let [a, b, c, d, tag] = head;
    let length = u32::from_be_bytes([a, b, c, d]);
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(WireError::Frame("a frame that is too long"));
    }
    let left = u64::from(length - 1);
    // Grows with what arrives, not with what was announced.
    let mut payload = Vec::new();
    if from.take(left).read_to_end(&mut payload)? as u64 != left {
        return Err(WireError::Gone);
    }
    Ok((tag, payload))
}

/// A socket on which nothing blocks for good: `is_over` is looked at several times a second.
pub(crate) struct Patient<'a, F> {
    stream: &'a UnixStream,
    is_over: F,
}

impl<'a, F: Fn() -> bool> Patient<'a, F> {
    /// Wraps a socket; once `is_over` holds, reads and writes that would wait end with a time-out.
    pub(crate) fn new(stream: &'a UnixStream, is_over: F) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, is_over })
    }

    fn persist<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt() {
                Err(error) if is_timeout(&error) && !(self.is_over)() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl<F: Fn() -> bool> Read for Patient<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        self.persist(|| stream.read(buffer))
    }
}

impl<F: Fn() -> bool> Write for Patient<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        self.persist(|| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of each kind, both ways, as bytes.
    fn frames() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let get = Request::Get {
            vault: "personal".to_owned(),
            collection: "notes".to_owned(),
            id: "today".to_owned(),
            part: crate::request::Part::Field("title".to_owned()),
        };
        let up = [
            FromClient::Request(get),
            FromClient::Input(vec![1, 2, 3]),
            FromClient::Input(Vec::new()),
            FromClient::Decision(Decision::Code("123456".to_owned())),
        ];
        let down = [
            FromHolder::Accepted,
            FromHolder::Data(vec![7; 40]),
            FromHolder::Link("subrosa://".to_owned()),
            FromHolder::Note(Note { level: Level::Plain, text: "a".to_owned() }),
            FromHolder::Progress(Progress::Imported { records: 1, bytes: 2 }),
            FromHolder::Pull,
            FromHolder::Ask(Question { code: "1".to_owned(), device: "phone".to_owned() }),
            FromHolder::Alive,
            FromHolder::Done,
            FromHolder::Ending,
        ];
        let sent = |send: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
            let mut bytes = Vec::new();
            send(&mut bytes).unwrap();
            bytes
        };
        (
            up.iter().map(|frame| sent(&|to| frame.send(to))).collect(),
            down.iter().map(|frame| sent(&|to| frame.send(to))).collect(),
        )
    }

    #[test]
    fn frames_come_back() {
        let (up, down) = frames();
        for bytes in up {
            let mut again = Vec::new();
            FromClient::receive(&mut &bytes[..]).unwrap().send(&mut again).unwrap();
            assert_eq!(again, bytes);
        }
        for bytes in down {
            let mut again = Vec::new();
            FromHolder::receive(&mut &bytes[..]).unwrap().send(&mut again).unwrap();
            assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error_and_one_that_was_changed_is_read_or_refused() {
        let (up, down) = frames();
        for bytes in up.iter().chain(&down) {
            for len in 0..bytes.len() {
                assert!(matches!(FromClient::receive(&mut &bytes[..len]), Err(WireError::Gone)));
                assert!(matches!(FromHolder::receive(&mut &bytes[..len]), Err(WireError::Gone)));
            }
            for bit in 0..8 * bytes.len() {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let mut again = Vec::new();
                if let Ok(frame) = FromClient::receive(&mut &changed[..]) {
                    frame.send(&mut again).unwrap();
                }
                if let Ok(frame) = FromHolder::receive(&mut &changed[..]) {
                    frame.send(&mut again).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused_before_anything_is_read() {
        for length in [0, FRAME_BYTES_MAX + 1, u32::MAX] {
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.push(tag::INPUT);
            assert!(matches!(FromClient::receive(&mut &bytes[..]), Err(WireError::Frame(_))));
        }
    }
}
