//! Tags of frames.

macro_rules! tags {
    ($name:ident: $($const_name:ident = $value:literal, $frame:literal, $direction:literal;)*) => {
        $(pub(crate) const $const_name: u8 = $value;)*
        /// Tag, name and direction of every frame; compared with `docs/PROTOCOL.md` by a test.
        pub const $name: &[(u8, &str, &str)] = &[$(($value, $frame, $direction),)*];
    };
}

tags! { TAG_TABLE:
    HELLO = 0x01, "HELLO", "C->R";
    AUTH = 0x02, "AUTH", "C->R";
    CREATE = 0x03, "CREATE", "C->R";
    STATEMENT = 0x04, "STATEMENT", "C->R";
    SUBSCRIBE = 0x05, "SUBSCRIBE", "C->R";
    LOG = 0x06, "LOG", "C->R";
    PUSH = 0x07, "PUSH", "C->R";
    HEADS = 0x08, "HEADS", "C->R";
    WANT = 0x09, "WANT", "C->R";
    RENDEZVOUS_OPEN = 0x0a, "RENDEZVOUS OPEN", "C->R";
    RENDEZVOUS_JOIN = 0x0b, "RENDEZVOUS JOIN", "C->R";
    RENDEZVOUS_DATA = 0x0c, "RENDEZVOUS DATA", "C->R";
    STATEMENTS_WANT = 0x0e, "STATEMENTS WANT", "C->R";
    STATEMENTS = 0x0f, "STATEMENTS", "C->R";
    ASK = 0x12, "ASK", "C->R";
    R_HELLO = 0x81, "HELLO", "R->C";
    R_VAULT = 0x82, "VAULT", "R->C";
    R_GRANT = 0x83, "GRANT", "R->C";
    R_ACK = 0x84, "ACK", "R->C";
    R_HEADS = 0x88, "HEADS", "R->C";
    R_RENDEZVOUS_READY = 0x8a, "RENDEZVOUS READY", "R->C";
    R_RENDEZVOUS_DATA = 0x8c, "RENDEZVOUS DATA", "R->C";
    R_STATEMENTS = 0x8e, "STATEMENTS", "R->C";
    R_ERROR = 0x8f, "ERROR", "R->C";
    F_START = 0xc0, "FEED START", "feed";
    F_LOG = 0xc1, "FEED LOG", "feed";
    F_SEGMENT = 0xc2, "FEED SEGMENT", "feed";
    F_AHEAD = 0xc3, "FEED AHEAD", "feed";
    F_CAUGHT_UP = 0xc4, "FEED CAUGHT_UP", "feed";
    F_ANSWER = 0xc5, "FEED ANSWER", "feed";
}
