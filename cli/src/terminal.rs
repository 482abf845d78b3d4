//! The caller that is this process: data to stdout, everything else to stderr.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use indicatif::{ProgressBar, ProgressStyle};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::failure::Failure;
use crate::request::{Answer, Caller, Decision, Level, Progress, Question};
use crate::stop::{GLANCE, Stop};

/// One piece of input.
const INPUT_BYTES: usize = 256 << 10;
/// The longest JSON, link or line that is taken in.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;

/// The longest answer to a question.
const ANSWER_BYTES_MAX: usize = 64;

/// Pieces of input that wait to be used.
const PIECES_MAX: usize = 4;

/// Where the bytes of an import come from: a thread that reads, so that a pipe which stays silent never keeps a
/// signal waiting.
pub(crate) struct Input {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Length, where it is known beforehand.
    bytes: Option<u64>,
}

impl Input {
    /// Opens a file, or stdin for `-`.
    pub(crate) fn open(path: &str) -> Result<Self, Failure> {
        if path == "-" {
            return Self::read(io::stdin(), None);
        }
        let file = File::open(Path::new(path)).map_err(Failure::Input)?;
        let meta = file.metadata().map_err(Failure::Input)?;
        if meta.is_dir() {
            return Err(Failure::Input(io::ErrorKind::IsADirectory.into()));
        }
        Self::read(file, Some(meta.len()).filter(|_| meta.is_file()))
    }

    fn read(mut from: impl Read + Send + 'static, bytes: Option<u64>) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::sync_channel(PIECES_MAX);
        let reader = std::thread::Builder::new().name("input".to_owned());
        // Ends with the input, or once nobody takes its pieces.
        reader
            .spawn(move || {
                loop {
                    let mut piece = vec![0; INPUT_BYTES];
                    let read = match from.read(&mut piece) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        other => other,
                    };
                    let is_last = !matches!(read, Ok(1..));
                    let sent = sender.send(read.map(|length| {
                        piece.truncate(length);
                        piece
                    }));
                    if is_last || sent.is_err() {
                        return;
                    }
                }
            })
            .map_err(Failure::Input)?;
        Ok(Self { pieces, bytes })
    }

    /// The next piece; `None` at the end.
    fn next(&self, stop: &Stop) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if stop.is_raised() {
                return Err(Failure::Interrupted);
            }
            match self.pieces.recv_timeout(GLANCE) {
                Ok(read) => return Ok(Some(read.map_err(Failure::Input)?).filter(|piece| !piece.is_empty())),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

/// The text that an argument gives: itself, or all of stdin for `-`.
pub(crate) fn text_argument(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    io::stdin().lock().take(TEXT_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(Failure::InputTooLong { limit: TEXT_BYTES_MAX });
    }
    Ok(text)
}

/// Why stdin gave no text.
fn unreadable(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::InputNotText,
        _ => Failure::Input(error),
    }
}

/// How answers look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// Whether `--json` was.
    pub(crate) json: bool,
}

/// This process's stdin, stdout and stderr.
pub(crate) struct Terminal {
    out: BufWriter<io::StdoutLock<'static>>,
    look: Look,
    stop: Stop,
    input: Option<Input>,
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Takes stdout for itself.
    pub(crate) fn new(look: Look, stop: Stop) -> Self {
        Self {
            out: BufWriter::with_capacity(64 << 10, io::stdout().lock()),
            look,
            stop,
            input: None,
            bar: None,
        }
    }

    /// Gives it what an import reads.
    pub(crate) fn with_input(mut self, input: Input) -> Self {
        self.input = Some(input);
        self
    }

    fn say(&self, text: &str) {
        let print = || {
            // A closed stderr takes nothing from the command.
            let _ = writeln!(io::stderr(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// One line of stdin, trimmed, in lower case; empty at its end.
    fn answer_line(&mut self) -> Result<String, Failure> {
        if self.input.is_none() {
            self.input = Some(Input::open("-")?);
        }
        let mut line = Vec::new();
        while line.len() < ANSWER_BYTES_MAX && !line.contains(&b'\n') {
            let Some(piece) = self.input()? else { break };
            line.extend_from_slice(&piece);
        }
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(String::from_utf8_lossy(line).trim().to_ascii_lowercase())
    }

    /// The bar, made when first wanted; nothing is drawn unless stderr is a terminal.
    fn bar(&mut self, bytes: Option<u64>) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let (bar, template) = match bytes {
                Some(bytes) => (
                    ProgressBar::new(bytes),
                    "{msg} [{bar:40}] {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
                ),
                None => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
            };
            bar.with_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            )
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Caller for Terminal {
    fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.out.write_all(line.as_bytes()).and_then(|()| self.out.write_all(b"\n")).map_err(output)
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Failure> {
        let text = if self.look.json { &answer.json } else { &answer.text };
        if text.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "{text}").and_then(|()| self.out.flush()).map_err(output)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(output)
    }

    fn link(&mut self, link: &str) -> Result<(), Failure> {
        self.line(link)?;
        self.flush()?;
        if io::stderr().is_terminal()
            && let Ok(code) = QrCode::new(link)
        {
            self.say(
                &code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build(),
            );
        }
        Ok(())
    }

    fn note(&mut self, level: Level, text: &str) -> Result<(), Failure> {
        if level == Level::Plain || self.look.verbose > 0 {
            self.say(text);
        }
        Ok(())
    }

    fn progress(&mut self, progress: Progress) -> Result<(), Failure> {
        match progress {
            Progress::Imported { records, bytes } => {
                let total = self.input.as_ref().and_then(|input| input.bytes);
                let bar = self.bar(total);
                bar.set_position(bytes);
                bar.set_message(format!("{records} records"));
            }
            Progress::Synced { done, known, bytes } => {
                let bar = self.bar(None);
                bar.set_message(format!("{done} of {known} segments, {} KiB", bytes >> 10));
                bar.tick();
            }
        }
        Ok(())
    }

    fn input(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.input.as_ref().map_or(Ok(None), |input| input.next(&self.stop))
    }

    fn ask(&mut self, question: &Question) -> Result<Decision, Failure> {
        self.say(&format!(
            "{} has answered the link; the code is {}",
            printable(&question.device),
            question.code
        ));
        self.say(
            "type the code that the other device shows, or yes if it is the same (anything else declines):",
        );
        let answer = self.answer_line()?;
        Ok(match answer.as_str() {
            "yes" | "y" => Decision::Same,
            code if code.starts_with(|first: char| first.is_ascii_digit()) => Decision::Code(answer),
            _ => Decision::No,
        })
    }

    fn is_there(&mut self) -> bool {
        !self.stop.is_raised()
    }
}

fn output(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe { Failure::OutputClosed } else { Failure::Output(error) }
}

/// A name chosen elsewhere, without anything that a terminal would obey.
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
