//! What a store needs that was just opened or made, before anybody else writes. Whether it is a copy is no question here: heads are
//! compared before anything is sealed, and that is all the answer there is (`docs/FORMAT.md`, section 8).

use crate::error::Error;
use crate::faults;
use crate::life::Core;
use crate::life::gate::Turn;

/// Merges what could not be merged before, and keeps images of members.
pub(crate) fn settle(core: &Core, turn: &Turn) -> Result<(), Error> {
    core.retry_held(turn)?;
    core.keep_images(turn)?;
    if faults::NEW_LOGS_AT_OPENING {
        core.open_new_logs(turn)?;
    }
    tracing::info!("a store is open");
    Ok(())
}
