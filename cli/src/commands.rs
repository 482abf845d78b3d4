//! From the command line to requests.

mod birth;

use std::io::{self, Write as _};
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::access::Access;
use crate::args::{self, Cli, Command, Global, Pair, Relay};
use crate::demo;
use crate::failure::Failure;
use crate::place::Place;
use crate::request::{Part, Request};
use crate::stop::Stop;
use crate::terminal::{Input, Look, Terminal, text_argument};

/// Runs one command.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    // What is about the whole store takes no vault, and looks for one that is named all the same.
    let named = global.vault.clone();
    let vault = named.clone().unwrap_or_else(|| birth::HOME_VAULT.to_owned());
    let mut input = None;
    let request = match command {
        Command::Completions { shell } => return completions(shell),
        Command::Demo => return demo::run(),
        Command::Init(init) => {
            let look = look(&global);
            return birth::init(&Place::new(global.store)?, init, look);
        }
        Command::Pair(Pair::Join { link, yes, name }) => {
            return pair_join(global, birth::Join { link: text_argument(&link)?, yes, name });
        }
        Command::Pair(Pair::Offer { yes }) => Request::PairOffer { vault: named, yes },
        Command::Put(put) => {
            let mut words = put.id_and_json;
            let json = text_argument(&words.pop().unwrap_or_default())?;
            Request::Put { vault, collection: put.collection, id: words.pop(), json, replace: put.replace }
        }
        Command::Get(get) => {
            let part = match get.field {
                Some(field) => Part::Field(field),
                None if get.names => Part::Names,
                None => Part::Whole,
            };
            Request::Get { vault, collection: get.one.collection, id: get.one.id, part }
        }
        Command::List(list) => Request::List { vault, collection: list.collection },
        Command::Delete(delete) => {
            let args::One { collection, id } = delete.one;
            Request::Delete { vault, collection, id, field: delete.field }
        }
        Command::Import(import) => {
            let mut words = import.collection_and_file;
            input = Some(Input::open(&words.pop().unwrap_or_default())?);
            Request::Import { vault, collection: words.pop() }
        }
        Command::Export(export) => Request::Export { vault, collection: export.collection },
        Command::Watch => Request::Watch { vault },
        Command::Sync(sync) if sync.live => Request::SyncLive { vault: named },
        Command::Sync(sync) => Request::Sync { vault: named, timeout_secs: sync.timeout },
        Command::Relay(Relay::Set { url }) => Request::RelaySet { url: text_argument(&url)? },
        Command::Relay(Relay::Show) => Request::RelayShow,
        Command::Devices => Request::Devices { vault },
        Command::Status => Request::Status { vault: named },
        Command::Verify => Request::Verify { vault: named },
    };
    send(global, &request, input)
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "subrosa", &mut script);
    io::stdout().write_all(&script).map_err(Failure::Output)
}

fn pair_join(global: Global, join: birth::Join) -> Result<(), Failure> {
    let stop = stop_on_signal()?;
    let look = look(&global);
    birth::pair_join(&Place::new(global.store)?, join, &stop, look)
}

/// Executes a request, wherever the store is open.
fn send(global: Global, request: &Request, input: Option<Input>) -> Result<(), Failure> {
    let stop = if request.is_long() { stop_on_signal()? } else { Stop::default() };
    let mut terminal = Terminal::new(look(&global), stop.clone());
    if let Some(input) = input {
        terminal = terminal.with_input(input);
    }
    let place = Place::new(global.store)?;
    let access = Access { place: &place, wait: Duration::from_secs(global.wait), stop: &stop };
    match access.run(request, &mut terminal) {
        Err(Failure::Interrupted) if request.is_endless() => Ok(()),
        other => other,
    }
}

fn look(global: &Global) -> Look {
    Look { verbose: global.verbose, json: global.json }
}

fn stop_on_signal() -> Result<Stop, Failure> {
    Stop::on_signal().map_err(Failure::Signals)
}
