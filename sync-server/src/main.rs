//! The `subrosa-relay` command: parses, calls the library, prints.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use subrosa_relay::store::Usage;
use subrosa_relay::{Answer, Config, Question, Relay, Signals, Status, ask, check_is_relay, init};

mod log;

use self::log::say;

/// Stores and forwards sealed segments that it cannot read.
#[derive(Parser)]
#[command(name = "subrosa-relay", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Data {
    /// The relay's data directory.
    #[arg(long = "data", value_name = "DIR", env = "SUBROSA_RELAY_DATA")]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new relay: key, settings, and a first invite. The last line printed is its URL.
    Init {
        #[command(flatten)]
        data: Data,
        /// UDP address to listen on.
        #[arg(long, default_value = "0.0.0.0:4433")]
        listen: SocketAddr,
        /// Name and port under which clients reach it; may be given several times.
        #[arg(long, value_name = "HOST:PORT")]
        public: Vec<String>,
        /// Let anyone create vaults, without an invite.
        #[arg(long)]
        open: bool,
    },
    /// Serve until SIGTERM or SIGINT.
    Serve {
        #[command(flatten)]
        data: Data,
        /// Let anyone create vaults, without an invite.
        #[arg(long)]
        open: bool,
    },
    /// Issue, list and revoke invites.
    Invite {
        #[command(subcommand)]
        command: InviteCommand,
    },
    /// Show what the relay holds and whom it serves.
    Status {
        #[command(flatten)]
        data: Data,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Check every chain, signature and count in the database.
    Verify {
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Subcommand)]
enum InviteCommand {
    /// Issue an invite. The last line printed is the relay's URL with it.
    New {
        #[command(flatten)]
        data: Data,
        /// Vaults that it may create.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        uses: u16,
        /// Quota class of those vaults.
        #[arg(long, default_value_t = 0)]
        class: u8,
        /// Days until it expires; never without this.
        #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=36500))]
        expires_days: Option<u32>,
    },
    /// List the invites issued in this life of the database.
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Revoke an invite; the vaults that it created stay.
    Revoke {
        #[command(flatten)]
        data: Data,
        /// As `invite list` shows it.
        id: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse(); // exits with 2 on wrong usage
    let log = match log::install() {
        Ok(log) => log,
        Err(error) => {
            say(format_args!("subrosa-relay: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            log.line(format!("subrosa-relay: {}", reason(&error))); // behind what was logged, and never for ever
            ExitCode::FAILURE
        }
    }
}

/// Why it failed, once: an error of the relay names its cause by itself.
fn reason(error: &anyhow::Error) -> String {
    if error.is::<subrosa_relay::Error>() { error.to_string() } else { format!("{error:#}") }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init { data, listen, public, open } => {
            initialize(&data.dir, &Config { listen, public, open, ..Config::default() })?;
        }
        Command::Serve { data, open } => serve(&data.dir, open)?,
        Command::Invite { command } => invite(command)?,
        Command::Status { data, json } => {
            let Answer::Status(status) = ask(&data.dir, &Question::Status)? else { bail!(UNEXPECTED) };
            if json { print_line(&serde_json::to_string(&status)?)? } else { print_status(&status)? }
        }
        Command::Verify { data } => return verify(&data.dir),
    }
    Ok(ExitCode::SUCCESS)
}

const UNEXPECTED: &str = "the running relay gave an answer to another question; is it of this version?";

fn initialize(data: &Path, config: &Config) -> anyhow::Result<()> {
    let made = init(data, config)?;
    say(format_args!(
        "Made a relay in {}. Back up relay.key and relay.toml: they are the relay.",
        data.display()
    ));
    say(format_args!("Serve it with: subrosa-relay serve --data {}", data.display()));
    match made.url {
        Some(url) => {
            say(format_args!("The URL below carries an invite for one vault; give it to one device only."));
            let url = url.to_string();
            print_qr(&url);
            print_line(&url)?;
        }
        None => {
            say(format_args!(
                "Warning: {} is not an address that others can reach, so there is no URL yet. Set `public` in \
                 relay.toml to this machine's name and port, then run: subrosa-relay invite new --data {}",
                config.listen,
                data.display()
            ));
        }
    }
    Ok(())
}

fn serve(data: &Path, open: bool) -> anyhow::Result<()> {
    check_is_relay(data)?;
    let mut config = Config::load(data)?;
    config.open |= open;
    let signals = Signals::catch()?; // before anybody is told where it listens
    let relay = Relay::start(config, data)?;
    print_line(&format!("listening on {}", relay.addr()))?;
    relay.wait_for(signals)?;
    tracing::info!("draining");
    relay.stop().map_or(Ok(()), |error| Err(error.into()))
}

fn invite(command: InviteCommand) -> anyhow::Result<()> {
    match command {
        InviteCommand::New { data, uses, class, expires_days } => {
            let question = Question::InviteNew { uses, class, expires_days };
            let Answer::Invite { id, url, token } = ask(&data.dir, &question)? else { bail!(UNEXPECTED) };
            say(format_args!("Invite {id}, for {}.", counted(uses.into(), "vault")));
            match url {
                Some(url) => print_line(&url)?,
                None => bail!(
                    "no address is known that clients could use: set `public` in relay.toml and restart; the \
                     invite itself is {token}"
                ),
            }
        }
        InviteCommand::List { data } => {
            let Answer::Invites(invites) = ask(&data.dir, &Question::InviteList)? else { bail!(UNEXPECTED) };
            for invite in invites {
                print_line(&serde_json::to_string(&invite)?)?;
            }
        }
        InviteCommand::Revoke { data, id } => {
            ask(&data.dir, &Question::InviteRevoke { id })?;
        }
    }
    Ok(())
}

fn verify(data: &Path) -> anyhow::Result<ExitCode> {
    let Answer::Verified { checked, problems } = ask(data, &Question::Verify)? else { bail!(UNEXPECTED) };
    print_line(&usage(&checked))?;
    for problem in &problems {
        say(format_args!("{problem}"));
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!(
        "{}: stop the relay and move relay.redb away; devices will send their data again",
        counted(problems.len() as u64, "problem")
    )
}

fn print_status(status: &Status) -> anyhow::Result<()> {
    let serving = status
        .listening
        .map_or("not serving".to_owned(), |addr| format!("listening on {addr} for {} s", status.uptime_secs));
    print_line(&format!("subrosa-relay {}, {serving}", status.version))?;
    print_line(&format!("pin          {}", status.pin))?;
    print_line(&format!("public       {}", status.public.join(", ")))?;
    print_line(&format!("admission    {}", if status.open { "open" } else { "by invite" }))?;
    print_line(&format!("incarnation  {}", status.incarnation))?;
    let (links, members, feeds) = (status.links, status.members, status.feeds);
    print_line(&format!("links        {links} ({members} members, {feeds} feeds)"))?;
    let away = status.turned_away;
    let (strangers, rendezvous) = (away.strangers, away.rendezvous);
    print_line(&format!(
        "turned away  {} connections, {strangers} strangers, {rendezvous} rendezvous, {} slow frames, {} slow feeds",
        away.connections, away.frames, away.feeds
    ))?;
    print_line(&format!("stored       {}", usage(&status.stored)))
}

fn usage(usage: &Usage) -> String {
    let (vaults, logs) = (counted(usage.vaults, "vault"), counted(usage.logs, "log"));
    let (segments, bytes) = (counted(usage.segments, "segment"), counted(usage.bytes, "byte"));
    format!("{vaults}, {logs}, {segments}, {bytes}")
}

fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn print_line(line: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("stdout is closed")
}

/// To stderr, so that stdout stays data; only where someone can see it.
fn print_qr(text: &str) {
    if !io::stderr().is_terminal() {
        return;
    }
    if let Ok(code) = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L) {
        let image = code.render::<qrcode::render::unicode::Dense1x2>().build();
        say(format_args!("{image}"));
    }
}
