//! Executes requests on an open store. The same code serves the terminal and the holder's socket.

mod live;
mod pairing;
mod records;
mod state;
mod transfer;

pub(crate) use live::LAGGED;

use crate::failure::Failure;
use crate::host::Host;
use crate::request::{Caller, Request};

/// Executes one request for one caller.
pub(crate) fn execute(host: &Host, request: Request, caller: &mut dyn Caller) -> Result<(), Failure> {
    if let Some(named) = request.named_vault() {
        host.vault(named)?;
    }
    match request {
        Request::Put { vault, collection, id, json, replace } => {
            let how = if replace { records::How::Replace } else { records::How::Put };
            records::put(&host.vault(&vault)?, &collection, records::Input { id, json, how }, caller)
        }
        Request::Get { vault, collection, id, part } => {
            records::get(&host.vault(&vault)?, &collection, &id, &part, caller)
        }
        Request::List { vault, collection } => records::list(&host.vault(&vault)?, &collection, caller),
        Request::Delete { vault, collection, id, field } => {
            records::delete(&host.vault(&vault)?, &collection, &id, field.as_deref())
        }
        Request::Import { vault, collection } => transfer::import(&host.vault(&vault)?, collection, caller),
        Request::Export { vault, collection } => transfer::export(&host.vault(&vault)?, collection, caller),
        Request::Watch { vault } => live::watch(host, &host.vault(&vault)?, caller),
        Request::Sync { timeout_secs, .. } => live::sync(host, timeout_secs, caller),
        Request::SyncLive { .. } => live::sync_live(host, caller),
        Request::RelaySet { url } => state::relay_set(host, &url, caller),
        Request::RelayShow => state::relay_show(host, caller),
        Request::PairOffer { yes, .. } => pairing::offer(host, yes, caller),
        Request::Devices { vault } => state::devices(&host.vault(&vault)?, caller),
        Request::Status { .. } => state::status(host, caller),
        Request::Verify { .. } => state::verify(host, caller),
    }
}
