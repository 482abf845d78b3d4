//! What the command line may say.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

/// An encrypted, local-first database in a folder: all your devices converge, and the relay cannot read any of it.
#[derive(Parser)]
#[command(name = "subrosa", version, propagate_version = true, subcommand_required = true)]
#[command(arg_required_else_help = true, infer_long_args = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args)]
pub(crate) struct Global {
    /// Folder of the store [default: the platform's data folder]
    #[arg(long, value_name = "DIR", env = "SUBROSA_STORE", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// Vault to work on [default: personal]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) vault: Option<String>,
    /// Seconds to wait for a store that another process holds
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = seconds, global = true)]
    pub(crate) wait: u64,
    /// Say more on stderr
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Print every answer as JSON (records always are)
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a store with the vault `personal`; needs no network
    Init(Init),
    /// Set or show the relay that this store syncs with
    #[command(subcommand)]
    Relay(Relay),
    /// Write a record: the fields given are set, the others kept; prints its id
    #[command(override_usage = "subrosa put [OPTIONS] <COLLECTION> [ID] <JSON>")]
    Put(Put),
    /// Print one record, or one field of it
    Get(Get),
    /// Print the records of a collection, in the order of their ids
    List(List),
    /// Delete one record, or one field of it
    Delete(Delete),
    /// Write the records of a file of JSON lines
    #[command(override_usage = "subrosa import [OPTIONS] [COLLECTION] <FILE>")]
    Import(Import),
    /// Print all records as sorted JSON lines; equal data gives equal bytes on every device
    Export(Export),
    /// Print every change as it comes, from here or elsewhere, until interrupted; also syncs
    Watch,
    /// Exchange everything with the relay, then end; with --live go on until interrupted
    Sync(Sync),
    /// Bring a new device in
    #[command(subcommand)]
    Pair(Pair),
    /// List the devices of the vault
    Devices,
    /// Show store, vaults, relay and what waits to be sent
    Status,
    /// Check every page, chain and certificate of the store
    Verify,
    /// Show the whole path on this machine: a relay, two devices, no network needed
    Demo,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args)]
pub(crate) struct Init {
    /// Address of a relay, subrosa://host:port/#pin.invite, or - to read it from stdin
    #[arg(long, value_name = "URL")]
    pub(crate) relay: Option<String>,
    /// Name of this device, shown on the others [default: the name of this machine]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Relay {
    /// Sync with this relay from now on
    Set {
        /// subrosa://host:port/#pin.invite, or - to read it from stdin
        url: String,
    },
    /// Print the relay's address, without its invite
    Show,
}

#[derive(Args)]
pub(crate) struct Put {
    /// Collection to write to
    pub(crate) collection: String,
    /// Id of the record (a UUID, or a name) and its JSON object; - reads the JSON from stdin
    #[arg(value_names = ["ID", "JSON"], num_args = 1..=2, required = true)]
    pub(crate) id_and_json: Vec<String>,
    /// Remove the fields that are not given
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Args)]
pub(crate) struct One {
    /// Collection of the record
    pub(crate) collection: String,
    /// Its id: a UUID, or a name
    pub(crate) id: String,
}

#[derive(Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) one: One,
    /// Print the value of this field alone, of a record of any size
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
    /// Print the names of the fields, each a JSON text, of a record of any size
    #[arg(long, conflicts_with = "field")]
    pub(crate) names: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) one: One,
    /// Delete this field alone; the record stays
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
}

#[derive(Args)]
pub(crate) struct List {
    /// Collection to print
    pub(crate) collection: String,
}

#[derive(Args)]
pub(crate) struct Import {
    /// Collection to write to, unless each line names its own, and the file; - reads stdin
    #[arg(value_names = ["COLLECTION", "FILE"], num_args = 1..=2, required = true)]
    pub(crate) collection_and_file: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Export {
    /// Collection to print [default: all of the vault, each line naming its collection]
    pub(crate) collection: Option<String>,
}

#[derive(Args)]
pub(crate) struct Sync {
    /// Go on until interrupted
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) live: bool,
    /// Give up after this many seconds, whatever has come by then [default: after 30 without any progress]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) timeout: Option<u64>,
}

/// Seconds of an option.
fn seconds(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "give a whole number of seconds")
}

#[derive(Subcommand)]
pub(crate) enum Pair {
    /// On a device that is in: show a link and let one new device in
    Offer {
        /// Let the device in without asking for the code (for scripts that pass the link on safely)
        #[arg(long)]
        yes: bool,
    },
    /// On a new device: make a store from the link of another device
    Join {
        /// The link that `pair offer` printed, or - to read it from stdin
        link: String,
        /// Show the code without a word on where to compare it (for scripts)
        #[arg(long)]
        yes: bool,
        /// Name of this device, shown on the others [default: the name of this machine]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_is_documented() {
        let manual = include_str!("../../docs/CLI.md");
        let command = Cli::command();
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(manual.contains(&format!("`--{option}")), "--{option}");
        }
        for sub in command.get_subcommands() {
            let mut names: Vec<String> = sub.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
            names = names.into_iter().map(|name| format!("{} {name}", sub.get_name())).collect();
            if names.is_empty() {
                names.push(sub.get_name().to_owned());
            }
            for name in names {
                let headings = manual.lines().filter_map(|line| line.strip_prefix("### "));
                assert!(headings.flat_map(|line| line.split(", ")).any(|heading| heading == name), "{name}");
                assert!(manual.contains(&format!("$ subrosa {name}")), "an example of {name}");
            }
            for option in sub.get_arguments().filter_map(|argument| argument.get_long()) {
                assert!(manual.contains(&format!("--{option}")), "{} --{option}", sub.get_name());
            }
        }
    }

    #[test]
    fn an_id_is_optional_before_the_json() {
        let parse = |args: &[&str]| match Cli::try_parse_from(args).unwrap().command {
            Command::Put(put) => (put.collection, put.id_and_json),
            _ => panic!("not put"),
        };
        assert_eq!(parse(&["subrosa", "put", "c", "{}"]), ("c".into(), vec!["{}".into()]));
        assert_eq!(parse(&["subrosa", "put", "c", "i", "-"]), ("c".into(), vec!["i".into(), "-".into()]));
        assert!(Cli::try_parse_from(["subrosa", "put", "c"]).is_err());
        assert!(Cli::try_parse_from(["subrosa", "put", "c", "i", "{}", "x"]).is_err());
        assert!(Cli::try_parse_from(["subrosa", "sync", "--live", "--timeout", "3"]).is_err());
    }
}
