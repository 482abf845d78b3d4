//! pair offer: lets one new device in.

use std::time::Duration;

use subrosa::{Confirmation, Error, PairError, PairOffer, PairRequest};

use super::live;
use crate::failure::Failure;
use crate::host::Host;
use crate::request::{Answer, Caller, Decision, Level, Question};
use crate::stop::GLANCE;
use crate::terminal::printable;

/// How long the vault's data may take to reach the relay, without progress, before that is left to `sync`.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn offer(host: &Host, yes: bool, caller: &mut dyn Caller) -> Result<(), Failure> {
    let relay = host.device().relay()?.ok_or(Failure::NoRelay)?;
    // The vault is at the relay before anyone looks for it there, and so is its data.
    live::sync_within(host, SYNC_TIMEOUT, caller)?;
    let mut offer = host.device().pair_offer(&relay)?;
    caller.link(&offer.link().to_text())?;
    caller.note(
        Level::Plain,
        "on the new device: subrosa pair join LINK; the link works once, for five minutes",
    )?;
    let request = wait_for_code(&mut offer, caller)?;
    // What lets the new device in shall be at the relay as soon as it is said, for the new device syncs at once.
    let _pushing = host.sync()?;
    let confirmed = match decide(&request, yes, caller)? {
        Decision::No => {
            offer.decline()?;
            return Err(Failure::Declined);
        }
        Decision::Same => offer.confirm(Confirmation::CodesEqual),
        Decision::Code(code) => offer.confirm(Confirmation::Typed(&code)),
    };
    let device = confirmed.map_err(|error| match error {
        Error::Pair(PairError::Unconfirmed) => Failure::Unconfirmed(printable(&request.name)),
        error => error.into(),
    })?;
    caller.note(Level::Plain, &format!("{} is in", printable(&device.name)))?;
    let json = serde_json::json!({ "name": device.name, "public": device.public.to_base64() });
    caller.answer(&Answer { text: String::new(), json: json.to_string() })?;

    // The new device is in; that its data is not at the relay yet is no reason to fail.
    match live::sync_within(host, SYNC_TIMEOUT, caller) {
        Err(failure @ (Failure::Stalled { .. } | Failure::Refused(_) | Failure::Sync(_))) => caller
            .note(Level::Plain, &format!("{failure}; run `subrosa sync` here before the new device syncs")),
        other => other,
    }
}

fn wait_for_code(offer: &mut PairOffer, caller: &mut dyn Caller) -> Result<PairRequest, Failure> {
    loop {
        if !caller.is_there() {
            return Err(Failure::Interrupted);
        }
        if let Some(request) = offer.wait_for_code(GLANCE)? {
            return Ok(request);
        }
    }
}

fn decide(request: &PairRequest, yes: bool, caller: &mut dyn Caller) -> Result<Decision, Failure> {
    let code = request.code.to_string();
    if yes {
        let device = printable(&request.name);
        caller.note(Level::Plain, &format!("{device} has answered the link; the code is {code}"))?;
        return Ok(Decision::Same);
    }
    caller.ask(&Question { code, device: request.name.clone() })
}
