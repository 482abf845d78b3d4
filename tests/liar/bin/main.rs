//! `lying-relay`: a relay that lies as it is told, for tests by hand and of the commands.
//!
//! Prints its address. Each line of its standard input is another lie, told from then on; or `keep`, `roll-back`, `split`,
//! `cut`, as in [`LyingRelay`]. It ends with its input.

use std::io::BufRead as _;
use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use subrosa_tests::liar::{Lie, LyingRelay};

/// A relay that lies as it is told. For tests.
#[derive(Parser)]
#[command(name = "lying-relay")]
struct Cli {
    /// UDP address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(subcommand)]
    lie: Lie,
}

/// A line of its input.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Keep a copy of the database
    Keep,
    /// Put that copy in its place
    RollBack,
    /// Make a second world
    Split,
    /// End all connections
    Cut,
    #[command(flatten)]
    Lie(Lie),
}

fn main() -> anyhow::Result<()> {
    let Cli { listen, lie } = Cli::parse();
    let relay = LyingRelay::start_on(listen, lie)?;
    println!("{}", relay.url());
    for line in std::io::stdin().lock().lines() {
        match Line::try_parse_from(line?.split_whitespace()).map(|line| line.order) {
            Ok(Order::Keep) => relay.keep(),
            Ok(Order::RollBack) => relay.roll_back(),
            Ok(Order::Split) => relay.split(),
            Ok(Order::Cut) => relay.cut(),
            Ok(Order::Lie(lie)) => relay.tell(lie),
            Err(error) => eprintln!("{error}"),
        }
        println!("done");
    }
    Ok(())
}
