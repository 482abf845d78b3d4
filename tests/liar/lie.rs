//! What a relay is told to lie about.

use clap::{Subcommand, ValueEnum};

/// One lie; everything else stays honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Lie {
    /// None
    Honest,
    /// Acknowledge what is pushed, and forget it
    Forget,
    /// Keep what is pushed, and acknowledge nothing
    NeverAcknowledge,
    /// Leave what comes of the log of which data was pushed first out of all feeds but its author's, and say digest and heads
    /// as they are
    Withhold,
    /// The same, and say digest and heads as if that log had ended
    WithholdInAll,
    /// Serve the state of the moment that was kept, for ever, to each link by itself
    Freeze,
    /// Serve another state, that of the moment when worlds were split, and what those say who are in it
    OtherWorld,
    /// Exchange the first two vaults of a link in its feeds
    SwapVaults,
    /// Name logs that nobody made, in heads and feeds, with segments that their made-up keys signed
    InventLogs,
    /// Name a longer head of each log
    InventHeads,
    /// Name another incarnation in each feed than in HELLO
    InventIncarnation,
    /// Be of another incarnation on each link
    AnotherIncarnation,
    /// Say that it is the year 1970
    InventTime,
    /// Say a digest that nobody has
    InventDigest,
    /// Say the greatest cursor there is
    InventCursor,
    /// Say that each vault is full, and of no size
    InventQuota,
    /// Give each fed segment the number of another one in its log
    Renumber,
    /// Give each fed segment a cursor that counts down
    Reverse,
    /// Feed all that a feed has said once more each time it is caught up
    Replay,
    /// Send a grant that it did not sign
    FalseGrant,
    /// Alter each statement
    AlterStatements,
    /// Leave out the first statement of each chain
    ShortenStatements,
    /// Refuse whatever is pushed, as if it had another future of the log
    Conflict,
    /// Feed segments of logs that it makes up without end
    Endless,
    /// Send one frame of a kind that does not parse, or that there is not
    Malformed {
        /// Its tag
        #[arg(value_parser = clap::value_parser!(u8))]
        tag: u8,
        /// What is wrong with it
        how: How,
    },
    /// Take connections and streams, keep them alive, and answer nothing
    Stall,
    /// Greet, and answer nothing else
    Greet,
    /// Send frames on the control stream as fast as the line takes them, which a device must ignore
    FloodControl,
    /// The same on each feed
    FloodFeeds,
    /// Send parts of statements without end
    FloodStatements,
    /// Name logs in a feed without end
    FloodLogs,
    /// Open as many feeds as the device lets it, and send the largest frame on each but for its last byte
    Unfinished,
    /// Feed segments of the largest size, of a log that it makes up, as fast as the line takes them
    Large,
    /// Say that somebody has joined each meeting
    ReadyForNobody,
    /// Alter each message of a meeting
    AlterMessages,
    /// Give each side of a meeting its own messages back
    EchoMessages,
    /// Say each message of a meeting nine times
    RepeatMessages,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// Its last byte is missing
    Short,
    /// It has a byte more
    Long,
    /// There is nothing behind its tag
    Empty,
    /// Its tag is one that there is not, but the rest is as it should be
    UnknownTag,
    /// It says that it is longer than any frame
    Oversized,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Short, Self::Long, Self::Empty, Self::UnknownTag, Self::Oversized];
}
