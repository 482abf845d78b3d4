//! Whether a store that is opened is a copy, which must write new logs: another copy may be writing the old ones.

use crate::error::Error;
use crate::life::Core;
use crate::life::gate::Turn;

/// What a store needs that was just opened or made, before anybody else writes: new logs if it is a copy, and what could
/// not be merged before.
pub(crate) fn settle(core: &Core, _created: bool, turn: &Turn) -> Result<(), Error> {
    core.check_token(turn)?;
    core.retry_held(turn)?;
    core.keep_images(turn)
}

impl Core {
    /// Replaces the token.
    fn check_token(&self, turn: &Turn) -> Result<(), Error> {
        let noted = self.compare_token()?;
        self.write_in_turn(turn, |tx| tx.note_token(&noted))?;
        self.replace_token(&noted)
    }
}
