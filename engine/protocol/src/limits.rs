//! Every limit that two parts must agree on or that bounds what a stranger can make us hold, each with its
//! reason. `docs/PROTOCOL.md` section "Limits" repeats this table and a test compares them.

use std::time::Duration;

/// A register's encoded value stored inline; larger values are blobs.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// A collection's name in UTF-8.
pub const COLLECTION_NAME_BYTES_MAX: usize = 128;
/// A field's name in UTF-8.
pub const FIELD_NAME_BYTES_MAX: usize = 128;
/// Cells of one put, and the visible fields of a record to which a local write may add one. It bounds no record as a whole: what
/// two devices add is merged, however much, and an import takes it.
pub const FIELDS_MAX: usize = 1024;
/// Names and encoded values, together, of a record that is read whole: bounds the memory of one record in a reader's hands. A
/// larger one is read field by field.
pub const RECORD_READ_BYTES_MAX: usize = 16 << 20;
/// The same once it is decoded, about: values may take some 235 times their bytes.
pub const RECORD_READ_MEMORY_MAX: usize = 128 << 20;
/// A whole segment on the wire: the largest value, its padding and its frame.
pub const SEGMENT_BYTES_MAX: usize = 2 << 20;
/// What sealing fills a plaintext to, compressed where that pays; small enough to pipeline, and for a page of a store;
/// large enough that signature and padding vanish.
pub const SEGMENT_FILL_BYTES: usize = 62 << 10;
/// The least that a segment's plaintext is padded to, so that one keystroke looks like the next.
pub const SEGMENT_PAD_MIN: usize = 256;
/// Plaintext of one segment, decompressed: what its author can make a reader allocate for it. No honest writer needs more
/// than a whole segment on the wire.
pub const SEGMENT_PLAIN_MAX: usize = (2 << 20) + (64 << 10);
/// How deep a segment that a device seals can be carried in others, whatever happens to it.
pub const CARRIED_DEPTH_MAX: usize = 8;
/// What a device seals itself: small enough to be carried [`CARRIED_DEPTH_MAX`] times, whatever happens to its log.
pub const SEGMENT_OWN_BYTES_MAX: usize = crate::segment::carriable_bytes_max(CARRIED_DEPTH_MAX);
/// Segments of one group, which is merged in one transaction: with the next one, bounds that transaction and what a
/// device holds while it waits for the rest.
pub const GROUP_SEGMENTS_MAX: usize = 8192;
/// Plaintext of all segments of one group, decompressed.
pub const GROUP_PLAIN_BYTES_MAX: usize = 256 << 20;
/// One frame, length prefix excluded: a segment and its frame fields.
pub const FRAME_BYTES_MAX: usize = SEGMENT_BYTES_MAX + 1024;
/// A frame of a peer that has not proved membership of any vault.
pub const FRAME_BYTES_MAX_UNAUTHENTICATED: usize = 16 << 10;
/// Statements of chains that peers bring in parts and that are not stored yet, over all links: four chains of the largest
/// kind. One host has at most [`FRAMES_SHARE_HOST`] of it.
pub const CHAINS_BYTES_MAX: usize = 4 * STATEMENTS_MAX * STATEMENT_BYTES_MAX;
/// Frames of members above [`FRAME_BYTES_MAX_UNAUTHENTICATED`] that a relay takes in at a time, together:
/// announced, and not handed over yet. Others wait in the transport.
pub const FRAMES_BYTES_MAX: usize = 32 << 20;
/// One vault, and one network, has at most this part of the two above, so that others need not wait for it.
pub const FRAMES_SHARE: usize = 2;
/// One host has at most this part.
pub const FRAMES_SHARE_HOST: usize = 4;
/// A frame that took a place and is not there after this loses it as soon as another link waits for one.
pub const FRAME_PATIENCE: Duration = Duration::from_secs(10);
/// Each of these bytes that arrive gives it another second: a line this slow still brings the largest frame.
pub const FRAME_BYTES_PER_SEC_MIN: usize = 32 << 10;
/// Transport receive window of a link: what a peer may send that nobody reads.
pub const WINDOW_BYTES_MIN: u32 = 32 << 10;
/// The same of a member's link that sends large frames, while [`WINDOWS_BYTES_MAX`] has room: 10 MiB a second
/// over a line of 50 ms.
pub const MEMBER_WINDOW_BYTES: u32 = 512 << 10;
/// Such windows together. Who finds no room stays with the small one, which is slower and loses nothing.
pub const WINDOWS_BYTES_MAX: usize = 16 << 20;
/// What a relay has sent to a link that is not acknowledged yet: without more, a line of 50 ms takes 640 KiB a second.
pub const SEND_BYTES_MIN: u32 = 32 << 10;
/// The same while a member's link takes a feed, while [`SEND_WINDOWS_BYTES_MAX`] has room: 40 MiB a second over a line of
/// 50 ms.
pub const MEMBER_SEND_BYTES: u32 = 2 << 20;
/// Such windows together. Who finds no room stays with the small one, which is slower and loses nothing.
pub const SEND_WINDOWS_BYTES_MAX: usize = 64 << 20;
/// Links of peers that have proved nothing; a relay refuses more.
pub const UNAUTHENTICATED_LINKS_MAX: usize = 1024;
/// Those of one host: an eighth, so that it takes many hosts to make others wait.
pub const UNAUTHENTICATED_PER_HOST_MAX: usize = 128;
/// Those of one network: a quarter.
pub const UNAUTHENTICATED_PER_NETWORK_MAX: usize = 256;
/// Places among them that only networks may take from which a key was proved before: a share for members.
pub const MEMBERS_RESERVE: usize = 256;
/// Networks that a relay remembers for that; the one that proved a key longest ago is forgotten.
pub const KNOWN_NETWORKS_MAX: usize = 4096;
/// Time for a newcomer to speak before another one of its own crowd may take its place.
pub const STRANGER_GRACE: Duration = Duration::from_secs(3);
/// All links of one host, as a part of the relay's connections.
pub const LINKS_SHARE_HOST: usize = 4;
/// All links of one network, as a part of the relay's connections.
pub const LINKS_SHARE_NETWORK: usize = 2;
/// Handshakes a second of all: each costs a signature.
pub const HANDSHAKES_PER_SEC: f64 = 2000.0;
/// Handshakes of all at once.
pub const HANDSHAKES_BURST: f64 = 8000.0;
/// Handshakes a second of one network.
pub const HANDSHAKES_PER_SEC_NETWORK: f64 = 128.0;
/// Handshakes of one network at once.
pub const HANDSHAKES_BURST_NETWORK: f64 = 2048.0;
/// Handshakes a second of one host; many devices may share its address.
pub const HANDSHAKES_PER_SEC_HOST: f64 = 64.0;
/// Handshakes of one host at once: all devices behind it, after the relay was away.
pub const HANDSHAKES_BURST_HOST: f64 = 1024.0;
/// Hosts, and networks, whose rate is counted apart; the others share one.
pub const ORIGINS_MAX: usize = 4096;
/// Time to prove membership or to join a rendezvous.
pub const AUTH_DEADLINE: Duration = Duration::from_secs(15);
/// Wrong proofs on one link: each costs the relay a signature check.
pub const AUTH_FAILURES_MAX: usize = 16;
/// Appends of one link under way.
pub const APPENDS_PER_LINK_MAX: usize = 32;
/// Keys given by LOG on one link and vault without a segment acknowledged yet.
pub const LOGS_INTRODUCED_MAX: usize = 64;
/// WANTs waiting on one feed.
pub const WANTS_MAX: usize = 64;
/// Ranges of rseq that a feed remembers as pushed on its own link.
pub const OWN_RANGES_MAX: usize = 1024;
/// What a feed gathers before it sends.
pub const FEED_CHUNK_BYTES: usize = 256 << 10;
/// Room for a chunk: with a last segment that a device filled as it does. One with a larger segment asks for more.
pub const FEED_ROOM_BYTES: usize = FEED_CHUNK_BYTES + (64 << 10);
/// Rooms for chunks that are read and not handed to the transport yet, over all feeds. Others wait before they read.
pub const FEEDS_BYTES_MAX: usize = 32 << 20;
/// Rendezvous of one relay at a time.
pub const RENDEZVOUS_MAX: usize = 1024;
/// Rendezvous that links of one host have open.
pub const RENDEZVOUS_PER_HOST_MAX: usize = 64;
/// Rendezvous that links of one network have open.
pub const RENDEZVOUS_PER_NETWORK_MAX: usize = 128;
/// Rendezvous that one link may have open.
pub const RENDEZVOUS_PER_LINK_MAX: usize = 4;
/// Rendezvous that one link may try to join.
pub const JOINS_PER_LINK_MAX: usize = 8;
/// Joins a second that a relay permits, over all links: ids cannot be guessed, so this bounds work only.
pub const JOINS_PER_SEC: f64 = 200.0;
/// Joins that it permits at once.
pub const JOINS_BURST: f64 = 1000.0;
/// Joins a second of one network.
pub const JOINS_PER_SEC_NETWORK: f64 = 5.0;
/// Joins of one network at once.
pub const JOINS_BURST_NETWORK: f64 = 40.0;
/// Joins a second of one host.
pub const JOINS_PER_SEC_HOST: f64 = 2.0;
/// Joins of one host at once: a device that meets nobody comes six times.
pub const JOINS_BURST_HOST: f64 = 20.0;
/// Seconds after which to try again what is limited for a moment.
pub const RETRY_SECS: u32 = 5;
/// Seconds after which to come back to a relay that shuts down.
pub const DRAIN_RETRY_SECS: u32 = 2;
/// Seconds after which to push again to a relay whose disk is full.
pub const RELAY_FULL_RETRY_SECS: u32 = 300;
/// Segments in one PUSH.
pub const PUSH_SEGMENTS_MAX: usize = 256;
/// Entries in one ACK.
pub const ACK_ENTRIES_MAX: usize = 1024;
/// Versions offered in one HELLO.
pub const VERSIONS_MAX: usize = 16;
/// Extensions at the end of one layout; their bytes count in the limit of what holds them.
pub const EXTENSIONS_MAX: usize = 16;
/// Logs of one vault that a relay holds, and certified ones that a device holds, ever, closed ones included: what HEADS
/// names, and a tombstone.
pub const LOGS_PER_VAULT_MAX: usize = 16_384;
/// Heads of logs in one HEADS, and in what one group names as seen; the rest is in the next one.
pub const HEADS_PART_MAX: usize = 4096;
/// Ops that a device writes into one batch, which is sealed as one group; the next write begins another.
pub const BATCH_OPS_MAX: usize = 65_536;
/// Bytes of such a batch, as they wait. A larger write is a batch of its own.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Openings of a store whose writes went into one group; the next one begins another.
pub const RUNS_MAX: usize = 1024;
/// Vaults on one link.
pub const VAULTS_PER_LINK_MAX: usize = 64;
/// One statement.
pub const STATEMENT_BYTES_MAX: usize = 4096;
/// Statements of one vault's chain as a whole.
pub const STATEMENTS_MAX: usize = 1024;
/// Statements in one part of a chain; a part is a frame of at most [`FRAME_BYTES_MAX_UNAUTHENTICATED`].
pub const STATEMENTS_PART_MAX: usize = 64;
/// Statements by which a vault's chain grows at a relay in one day (UTC), tails included, those of recovery, those that decide
/// between rivals, and what leads to them not counted: a device that went wrong does not use up a chain.
pub const STATEMENTS_PER_DAY: usize = 64;
/// Tails of chains on one link after which a key was still not listed.
pub const TAILS_MAX: usize = 4;
/// Admin keys in one statement.
pub const ADMINS_MAX: usize = 32;
/// An invite or grant.
pub const TOKEN_BYTES_MAX: usize = 512;
/// Segments whose push is not acknowledged yet, in bytes, on one link.
pub const PUSH_WINDOW_BYTES: usize = 8 << 20;
/// A device's name in UTF-8.
pub const DEVICE_NAME_BYTES_MAX: usize = 128;
/// Devices of one vault; bounds the work of listing them.
pub const DEVICES_PER_VAULT_MAX: usize = 1024;
/// Entries in one control segment.
pub const CONTROL_ENTRIES_MAX: usize = 256;
/// One control entry, with a wrap for each device.
pub const CONTROL_ENTRY_BYTES_MAX: usize = 512 << 10;
/// Pairs of logs of one device: incarnations in certificates are below it.
pub const INCARNATIONS_MAX: u32 = 1024;
/// Logs of one device that count, those that came first: what its certificates beyond that name waits. Three quarters of what a
/// vault may have: no more of one device come to a relay that several admins share.
pub const LOGS_PER_DEVICE_MAX: usize = LOGS_PER_VAULT_MAX / 4 * 3;
/// Control segments, and entries in them, that wait in memory for a certificate, in one vault; and so many certificates beside
/// them.
pub const CONTROL_WAITING_MAX: usize = 4096;
/// Control entries of one vault that wait for sealing, beyond which none is repeated that stands in a segment already.
pub const ENTRIES_REPEATED_MAX: usize = 4096;
/// A vault's name in UTF-8.
pub const VAULT_NAME_BYTES_MAX: usize = 128;
/// Vaults that the old device of a pairing names.
pub const PAIR_VAULTS_MAX: usize = 64;
/// Messages that one side may send in a rendezvous.
pub const RENDEZVOUS_MESSAGES_MAX: usize = 8;
/// One message of a rendezvous.
pub const RENDEZVOUS_MESSAGE_BYTES_MAX: usize = 4096;
/// Life of a rendezvous.
pub const RENDEZVOUS_SECONDS: u64 = 300;
/// Keys that FEED LOG has introduced on one link and no segment has shown to be of use yet.
pub const LINK_KEYS_MAX: usize = 16_384;
/// Bytes of feed frames that a device has read and not taken, over all feeds of a link. So much of frames that are not whole ends
/// the link: a relay holds chunks of at most [`FEEDS_BYTES_MAX`] / [`FRAMES_SHARE_HOST`] for a device, and has at most
/// [`MEMBER_SEND_BYTES`] of them under way.
pub const FEED_HELD_BYTES_MAX: usize = 12 << 20;
/// Sealed segments that a device looks at while they wait for its store, of all links and vaults together.
pub const AHEAD_SEALED_BYTES_MAX: usize = 16 << 20;
/// Plaintext of them that it holds; no more are opened once it is reached, so it may be passed by one segment.
pub const AHEAD_PLAIN_BYTES_MAX: usize = 8 << 20;
/// Logs without a certificate of one vault of which something is quarantined.
pub const QUARANTINE_LOGS_MAX: usize = 4096;
/// Quarantined bytes of one log without a certificate.
pub const QUARANTINE_LOG_BYTES_MAX: usize = 1 << 20;
/// Quarantined segments of one log without a certificate.
pub const QUARANTINE_LOG_SEGMENTS_MAX: usize = 4096;
/// Quarantined bytes of all logs without a certificate of one vault.
pub const QUARANTINE_VAULT_BYTES_MAX: usize = 16 << 20;
/// Branches of one log, beyond its first, that a device keeps.
pub const BRANCHES_PER_LOG_MAX: usize = 1024;
/// Branches of all logs of one vault, beyond their first ones, that a device keeps.
pub const BRANCHES_PER_VAULT_MAX: usize = 16_384;
/// Branches of all logs of one author: an eighth, so that who cheats keeps no other author's from being kept.
pub const BRANCHES_PER_AUTHOR_MAX: usize = BRANCHES_PER_VAULT_MAX / 8;
/// Branches that each author has whatever the others have: some thousand authors double what a vault has at most.
pub const BRANCHES_OF_EACH_AUTHOR: usize = BRANCHES_PER_VAULT_MAX / DEVICES_PER_VAULT_MAX;
/// After a device saw that another one's log has several futures, it carries what a relay lacks of them no earlier than that many
/// milliseconds, and up to as many more at random: the log's author does it at once.
pub const CARRY_AFTER_MS: u64 = 24 * 60 * 60 * 1000;
/// Bytes of another author's segments that a device carries.
pub const CARRY_FOR_AUTHOR_BYTES_MAX: usize = 64 << 20;
/// Segments that are opened in one transaction to find out what deletes knew that cover puts in another future of a log; where
/// that takes more, nothing is shown again before another delete comes, or the store is opened.
pub const REPAIR_SEGMENTS_MAX: usize = 16_384;
/// Records that are looked at together, because deletes may hide puts of them which they did not know.
pub const REPAIR_RECORDS_MAX: usize = 1024;
/// Values of hidden puts that are written once more in one transaction, in bytes, but for those of one record.
pub const REPAIR_BYTES: usize = 16 << 20;
/// Logs without a certificate of which a relay is asked for the beginning once more, at an open or a change of members.
pub const STRANGERS_ASKED_MAX: usize = 32;
/// Notes of segments of one log that name logs without a certificate; beyond that the log is merged once more from
/// there, in rounds.
pub const NOTES_PER_LOG_MAX: usize = 1024;
/// Set of the names of one log that are not noted, by which certificates that it does not name are told; names of an honest log fill
/// two fifths of it.
pub const ROUND_NAMES_BYTES: usize = 16 << 10;
/// Plaintext that one transaction of a round opens, but for its last segment.
pub const ROUND_SLICE_BYTES: usize = 4 << 20;
/// Segments that one transaction of a round opens.
pub const ROUND_SLICE_SEGMENTS: usize = 1024;
/// Transactions of rounds at an opening; the others come with what is received.
pub const ROUND_SLICES_AT_OPENING: usize = 16;
/// Caps of each kind that a certificate sets.
pub const CAPS_PER_CERTIFICATE_MAX: usize = 512;
/// Groups of one log up to which caps on what somebody had merged of it are told apart; of more, the lowest counts for all.
pub const PREFIX_CAPS_PER_LOG_MAX: usize = 256;
/// Caps that are ahead themselves whose order those keep that are set when a clock is put right.
pub const CAP_LEVELS_MAX: usize = 16;
/// Futures of a log of which the end is capped, those with the latest stamps: a cap is on the stamps of all of them.
pub const CAP_BRANCHES_MAX: usize = 4;
/// Stamps beyond the latest of a device up to which it caps the log that it writes, in milliseconds: it may write until that counts.
pub const OWN_CAP_MARGIN_MS: u64 = 1_000;
/// Records that one transaction has pass from one cap to another.
pub const CAP_SLICE_RECORDS: usize = 16_384;
/// Bytes of their rows, but for the last one.
pub const CAP_SLICE_BYTES: usize = 16 << 20;
/// How far a stamp may be ahead of our clock before its group is held.
pub const CLOCK_AHEAD_MAX_MS: u64 = 5 * 60 * 1000;
/// Longest wait between a write and its sealing while online.
pub const SEAL_DELAY_MS: u64 = 250;
/// Incoming connections that have not answered a Retry or finished their handshake.
pub const INCOMING_MAX: usize = 1024;
/// Bytes buffered for one such connection.
pub const INCOMING_BUFFER_BYTES: u64 = 64 << 10;
/// Bytes buffered for all such connections.
pub const INCOMING_BUFFER_TOTAL_BYTES: u64 = 8 << 20;
/// Bidirectional streams that a relay permits.
pub const BIDI_STREAMS_MAX: u32 = 8;
/// Unidirectional streams that a relay permits.
pub const UNI_STREAMS_MAX: u32 = 4;

/// Name and value of each limit, for the test against the specification.
pub const TABLE: &[(&str, u64)] = &[
    ("VALUE_BYTES_MAX", VALUE_BYTES_MAX as u64),
    ("COLLECTION_NAME_BYTES_MAX", COLLECTION_NAME_BYTES_MAX as u64),
    ("FIELD_NAME_BYTES_MAX", FIELD_NAME_BYTES_MAX as u64),
    ("FIELDS_MAX", FIELDS_MAX as u64),
    ("RECORD_READ_BYTES_MAX", RECORD_READ_BYTES_MAX as u64),
    ("RECORD_READ_MEMORY_MAX", RECORD_READ_MEMORY_MAX as u64),
    ("SEGMENT_BYTES_MAX", SEGMENT_BYTES_MAX as u64),
    ("SEGMENT_FILL_BYTES", SEGMENT_FILL_BYTES as u64),
    ("SEGMENT_PAD_MIN", SEGMENT_PAD_MIN as u64),
    ("SEGMENT_PLAIN_MAX", SEGMENT_PLAIN_MAX as u64),
    ("CARRIED_DEPTH_MAX", CARRIED_DEPTH_MAX as u64),
    ("SEGMENT_OWN_BYTES_MAX", SEGMENT_OWN_BYTES_MAX as u64),
    ("GROUP_SEGMENTS_MAX", GROUP_SEGMENTS_MAX as u64),
    ("GROUP_PLAIN_BYTES_MAX", GROUP_PLAIN_BYTES_MAX as u64),
    ("FRAME_BYTES_MAX", FRAME_BYTES_MAX as u64),
    ("FRAME_BYTES_MAX_UNAUTHENTICATED", FRAME_BYTES_MAX_UNAUTHENTICATED as u64),
    ("CHAINS_BYTES_MAX", CHAINS_BYTES_MAX as u64),
    ("FRAMES_BYTES_MAX", FRAMES_BYTES_MAX as u64),
    ("FRAMES_SHARE", FRAMES_SHARE as u64),
    ("FRAMES_SHARE_HOST", FRAMES_SHARE_HOST as u64),
    ("FRAME_PATIENCE_SECS", FRAME_PATIENCE.as_secs()),
    ("FRAME_BYTES_PER_SEC_MIN", FRAME_BYTES_PER_SEC_MIN as u64),
    ("WINDOW_BYTES_MIN", WINDOW_BYTES_MIN as u64),
    ("MEMBER_WINDOW_BYTES", MEMBER_WINDOW_BYTES as u64),
    ("WINDOWS_BYTES_MAX", WINDOWS_BYTES_MAX as u64),
    ("SEND_BYTES_MIN", SEND_BYTES_MIN as u64),
    ("MEMBER_SEND_BYTES", MEMBER_SEND_BYTES as u64),
    ("SEND_WINDOWS_BYTES_MAX", SEND_WINDOWS_BYTES_MAX as u64),
    ("UNAUTHENTICATED_LINKS_MAX", UNAUTHENTICATED_LINKS_MAX as u64),
    ("UNAUTHENTICATED_PER_HOST_MAX", UNAUTHENTICATED_PER_HOST_MAX as u64),
    ("UNAUTHENTICATED_PER_NETWORK_MAX", UNAUTHENTICATED_PER_NETWORK_MAX as u64),
    ("MEMBERS_RESERVE", MEMBERS_RESERVE as u64),
    ("KNOWN_NETWORKS_MAX", KNOWN_NETWORKS_MAX as u64),
    ("STRANGER_GRACE_SECS", STRANGER_GRACE.as_secs()),
    ("LINKS_SHARE_HOST", LINKS_SHARE_HOST as u64),
    ("LINKS_SHARE_NETWORK", LINKS_SHARE_NETWORK as u64),
    ("HANDSHAKES_PER_SEC", HANDSHAKES_PER_SEC as u64),
    ("HANDSHAKES_BURST", HANDSHAKES_BURST as u64),
    ("HANDSHAKES_PER_SEC_NETWORK", HANDSHAKES_PER_SEC_NETWORK as u64),
    ("HANDSHAKES_BURST_NETWORK", HANDSHAKES_BURST_NETWORK as u64),
    ("HANDSHAKES_PER_SEC_HOST", HANDSHAKES_PER_SEC_HOST as u64),
    ("HANDSHAKES_BURST_HOST", HANDSHAKES_BURST_HOST as u64),
    ("ORIGINS_MAX", ORIGINS_MAX as u64),
    ("AUTH_DEADLINE_SECS", AUTH_DEADLINE.as_secs()),
    ("AUTH_FAILURES_MAX", AUTH_FAILURES_MAX as u64),
    ("APPENDS_PER_LINK_MAX", APPENDS_PER_LINK_MAX as u64),
    ("LOGS_INTRODUCED_MAX", LOGS_INTRODUCED_MAX as u64),
    ("WANTS_MAX", WANTS_MAX as u64),
    ("OWN_RANGES_MAX", OWN_RANGES_MAX as u64),
    ("FEED_CHUNK_BYTES", FEED_CHUNK_BYTES as u64),
    ("FEED_ROOM_BYTES", FEED_ROOM_BYTES as u64),
    ("FEEDS_BYTES_MAX", FEEDS_BYTES_MAX as u64),
    ("RENDEZVOUS_MAX", RENDEZVOUS_MAX as u64),
    ("RENDEZVOUS_PER_HOST_MAX", RENDEZVOUS_PER_HOST_MAX as u64),
    ("RENDEZVOUS_PER_NETWORK_MAX", RENDEZVOUS_PER_NETWORK_MAX as u64),
    ("RENDEZVOUS_PER_LINK_MAX", RENDEZVOUS_PER_LINK_MAX as u64),
    ("JOINS_PER_LINK_MAX", JOINS_PER_LINK_MAX as u64),
    ("JOINS_PER_SEC", JOINS_PER_SEC as u64),
    ("JOINS_BURST", JOINS_BURST as u64),
    ("JOINS_PER_SEC_NETWORK", JOINS_PER_SEC_NETWORK as u64),
    ("JOINS_BURST_NETWORK", JOINS_BURST_NETWORK as u64),
    ("JOINS_PER_SEC_HOST", JOINS_PER_SEC_HOST as u64),
    ("JOINS_BURST_HOST", JOINS_BURST_HOST as u64),
    ("RETRY_SECS", RETRY_SECS as u64),
    ("DRAIN_RETRY_SECS", DRAIN_RETRY_SECS as u64),
    ("RELAY_FULL_RETRY_SECS", RELAY_FULL_RETRY_SECS as u64),
    ("PUSH_SEGMENTS_MAX", PUSH_SEGMENTS_MAX as u64),
    ("ACK_ENTRIES_MAX", ACK_ENTRIES_MAX as u64),
    ("VERSIONS_MAX", VERSIONS_MAX as u64),
    ("EXTENSIONS_MAX", EXTENSIONS_MAX as u64),
    ("LOGS_PER_VAULT_MAX", LOGS_PER_VAULT_MAX as u64),
    ("HEADS_PART_MAX", HEADS_PART_MAX as u64),
    ("BATCH_OPS_MAX", BATCH_OPS_MAX as u64),
    ("BATCH_BYTES_MAX", BATCH_BYTES_MAX as u64),
    ("RUNS_MAX", RUNS_MAX as u64),
    ("VAULTS_PER_LINK_MAX", VAULTS_PER_LINK_MAX as u64),
    ("STATEMENT_BYTES_MAX", STATEMENT_BYTES_MAX as u64),
    ("STATEMENTS_MAX", STATEMENTS_MAX as u64),
    ("STATEMENTS_PART_MAX", STATEMENTS_PART_MAX as u64),
    ("STATEMENTS_PER_DAY", STATEMENTS_PER_DAY as u64),
    ("TAILS_MAX", TAILS_MAX as u64),
    ("ADMINS_MAX", ADMINS_MAX as u64),
    ("TOKEN_BYTES_MAX", TOKEN_BYTES_MAX as u64),
    ("PUSH_WINDOW_BYTES", PUSH_WINDOW_BYTES as u64),
    ("DEVICE_NAME_BYTES_MAX", DEVICE_NAME_BYTES_MAX as u64),
    ("DEVICES_PER_VAULT_MAX", DEVICES_PER_VAULT_MAX as u64),
    ("CONTROL_ENTRIES_MAX", CONTROL_ENTRIES_MAX as u64),
    ("CONTROL_ENTRY_BYTES_MAX", CONTROL_ENTRY_BYTES_MAX as u64),
    ("INCARNATIONS_MAX", INCARNATIONS_MAX as u64),
    ("LOGS_PER_DEVICE_MAX", LOGS_PER_DEVICE_MAX as u64),
    ("CONTROL_WAITING_MAX", CONTROL_WAITING_MAX as u64),
    ("ENTRIES_REPEATED_MAX", ENTRIES_REPEATED_MAX as u64),
    ("VAULT_NAME_BYTES_MAX", VAULT_NAME_BYTES_MAX as u64),
    ("PAIR_VAULTS_MAX", PAIR_VAULTS_MAX as u64),
    ("RENDEZVOUS_MESSAGES_MAX", RENDEZVOUS_MESSAGES_MAX as u64),
    ("RENDEZVOUS_MESSAGE_BYTES_MAX", RENDEZVOUS_MESSAGE_BYTES_MAX as u64),
    ("RENDEZVOUS_SECONDS", RENDEZVOUS_SECONDS),
    ("LINK_KEYS_MAX", LINK_KEYS_MAX as u64),
    ("FEED_HELD_BYTES_MAX", FEED_HELD_BYTES_MAX as u64),
    ("AHEAD_SEALED_BYTES_MAX", AHEAD_SEALED_BYTES_MAX as u64),
    ("AHEAD_PLAIN_BYTES_MAX", AHEAD_PLAIN_BYTES_MAX as u64),
    ("QUARANTINE_LOGS_MAX", QUARANTINE_LOGS_MAX as u64),
    ("QUARANTINE_LOG_BYTES_MAX", QUARANTINE_LOG_BYTES_MAX as u64),
    ("QUARANTINE_LOG_SEGMENTS_MAX", QUARANTINE_LOG_SEGMENTS_MAX as u64),
    ("QUARANTINE_VAULT_BYTES_MAX", QUARANTINE_VAULT_BYTES_MAX as u64),
    ("BRANCHES_PER_LOG_MAX", BRANCHES_PER_LOG_MAX as u64),
    ("BRANCHES_PER_VAULT_MAX", BRANCHES_PER_VAULT_MAX as u64),
    ("BRANCHES_PER_AUTHOR_MAX", BRANCHES_PER_AUTHOR_MAX as u64),
    ("BRANCHES_OF_EACH_AUTHOR", BRANCHES_OF_EACH_AUTHOR as u64),
    ("CARRY_AFTER_MS", CARRY_AFTER_MS),
    ("CARRY_FOR_AUTHOR_BYTES_MAX", CARRY_FOR_AUTHOR_BYTES_MAX as u64),
    ("REPAIR_SEGMENTS_MAX", REPAIR_SEGMENTS_MAX as u64),
    ("REPAIR_RECORDS_MAX", REPAIR_RECORDS_MAX as u64),
    ("REPAIR_BYTES", REPAIR_BYTES as u64),
    ("STRANGERS_ASKED_MAX", STRANGERS_ASKED_MAX as u64),
    ("NOTES_PER_LOG_MAX", NOTES_PER_LOG_MAX as u64),
    ("ROUND_NAMES_BYTES", ROUND_NAMES_BYTES as u64),
    ("ROUND_SLICE_BYTES", ROUND_SLICE_BYTES as u64),
    ("ROUND_SLICE_SEGMENTS", ROUND_SLICE_SEGMENTS as u64),
    ("ROUND_SLICES_AT_OPENING", ROUND_SLICES_AT_OPENING as u64),
    ("CAPS_PER_CERTIFICATE_MAX", CAPS_PER_CERTIFICATE_MAX as u64),
    ("PREFIX_CAPS_PER_LOG_MAX", PREFIX_CAPS_PER_LOG_MAX as u64),
    ("CAP_LEVELS_MAX", CAP_LEVELS_MAX as u64),
    ("CAP_BRANCHES_MAX", CAP_BRANCHES_MAX as u64),
    ("OWN_CAP_MARGIN_MS", OWN_CAP_MARGIN_MS),
    ("CAP_SLICE_RECORDS", CAP_SLICE_RECORDS as u64),
    ("CAP_SLICE_BYTES", CAP_SLICE_BYTES as u64),
    ("CLOCK_AHEAD_MAX_MS", CLOCK_AHEAD_MAX_MS),
    ("SEAL_DELAY_MS", SEAL_DELAY_MS),
    ("INCOMING_MAX", INCOMING_MAX as u64),
    ("INCOMING_BUFFER_BYTES", INCOMING_BUFFER_BYTES),
    ("INCOMING_BUFFER_TOTAL_BYTES", INCOMING_BUFFER_TOTAL_BYTES),
    ("BIDI_STREAMS_MAX", BIDI_STREAMS_MAX as u64),
    ("UNI_STREAMS_MAX", UNI_STREAMS_MAX as u64),
];
