//! Whether a store that is opened is a copy, which must write new logs: another copy may be writing the old ones.

use crate::error::Error;
use crate::life::Core;
use crate::life::gate::Turn;

/// What a store needs that was just opened or made, before anybody else writes: new logs if it is a copy, and what could
/// not be merged before.
pub(crate) fn settle(core: &Core, created: bool, turn: &Turn) -> Result<(), Error> {
    core.check_token(created, turn)?;
    core.retry_held(turn)
}

impl Core {
    /// Opens new logs when token or inode is another than noted (`docs/FORMAT.md`, "Token"), and replaces the token.
    fn check_token(&self, created: bool, turn: &Turn) -> Result<(), Error> {
        let noted = self.compare_token()?;
        let moved = !created && !noted.same;
        let new = if moved { self.new_logs_of_all()? } else { Vec::new() };
        self.write_in_turn(turn, |tx| {
            tx.note_token(&noted)?;
            new.into_iter().try_for_each(|(vault, new)| tx.rotate_logs(vault, None, new))
        })?;
        if moved {
            tracing::info!("the store was copied or moved: new logs opened");
        }
        self.replace_token(&noted)
    }
}
