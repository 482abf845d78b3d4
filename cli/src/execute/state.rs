//! relay, devices, status, verify.

use subrosa::{DeviceRole, RelayAddr, Vault};

use super::live::{DISAGREES, DISPUTED, describe};
use crate::failure::Failure;
use crate::host::Host;
use crate::request::{Answer, Caller, Level};
use crate::terminal::printable;

pub(super) fn relay_set(host: &Host, url: &str, caller: &mut dyn Caller) -> Result<(), Failure> {
    let relay = RelayAddr::parse(url)?;
    host.set_relay(&relay)?;
    caller.note(Level::Plain, "the relay is set; `subrosa sync` exchanges data with it")
}

pub(super) fn relay_show(host: &Host, caller: &mut dyn Caller) -> Result<(), Failure> {
    let relay = host.device().relay()?.ok_or(Failure::NoRelay)?.without_invite().to_string();
    let json = serde_json::json!({ "relay": relay }).to_string();
    caller.answer(&Answer { text: relay, json })
}

pub(super) fn devices(vault: &Vault, caller: &mut dyn Caller) -> Result<(), Failure> {
    let devices = vault.devices()?;
    let name_of =
        |public| devices.iter().find(|device| Some(device.public) == public).map(|device| &device.name);
    let mut text = Vec::new();
    let mut json = Vec::new();
    for device in &devices {
        let role = role(device.role);
        let added_by = name_of(device.added_by);
        let origin =
            added_by.map_or_else(|| "founder".to_owned(), |name| format!("added by {}", printable(name)));
        let this = if device.is_this { ", this device" } else { "" };
        text.push(format!("{}  {role}, {origin}{this}", printable(&device.name)));
        json.push(serde_json::json!({
            "name": device.name, "role": role, "public": device.public.to_base64(),
            "added_by": device.added_by.map(|public| public.to_base64()), "this": device.is_this
        }));
    }
    let json = serde_json::Value::from(json).to_string();
    caller.answer(&Answer { text: text.join("\n"), json })
}

pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

const fn role(role: DeviceRole) -> &'static str {
    match role {
        DeviceRole::Admin => "admin",
        DeviceRole::Writer => "writer",
        DeviceRole::Reader => "reader",
        _ => "unknown",
    }
}

pub(super) fn status(host: &Host, caller: &mut dyn Caller) -> Result<(), Failure> {
    let device = host.device();
    let name = device.name()?;
    let relay_addr = device.relay()?;
    let relay = relay_addr.as_ref().map(|relay| relay.without_invite().to_string());
    let running = host.running_sync().map(|sync| sync.status());
    let sync = running.as_ref().map(describe);
    let bytes = host.store_bytes();
    let mut text = vec![
        format!("device  {}", printable(&name)),
        format!("store   {} ({} KiB)", host.dir().display(), bytes >> 10),
        format!(
            "relay   {}",
            relay.as_deref().unwrap_or("none: the data stays here; `subrosa relay set URL`")
        ),
        format!("sync    {}", sync.as_deref().unwrap_or("not running")),
    ];
    let mut vaults = Vec::new();
    for info in device.vaults()? {
        let vault = device.vault_by_id(&info.id)?;
        let (pending, devices) = (vault.pending()?, vault.devices()?.len());
        let delivery = relay_addr.as_ref().map(|relay| vault.delivery(relay)).transpose()?;
        let unsent = delivery.map_or_else(String::new, |delivery| {
            format!(", {} of {} at the relay", delivery.acknowledged, counted(delivery.held, "segment"))
        });
        let name = printable(&info.name);
        let (members, changes) = (counted(devices as u64, "device"), counted(pending, "change"));
        text.push(format!("vault   {name}: {members}, {changes} to seal{unsent}"));
        let disagrees = running.as_ref().is_some_and(|status| status.disagrees.contains(&info.id));
        let resting =
            running.as_ref().and_then(|status| status.resting.get(&info.id)).map(ToString::to_string);
        if disagrees {
            text.push(format!("        {name}: {DISAGREES}"));
        }
        let disputed = running.as_ref().is_some_and(|status| status.disputed.contains(&info.id));
        if disputed {
            text.push(format!("        {name}: {DISPUTED}"));
        }
        if let Some(fault) = &resting {
            text.push(format!("        {name}: rests, and is tried again: {fault}"));
        }
        let update_needed = vault.is_update_needed()?;
        if update_needed {
            text.push(format!("        {name}: {UPDATE_NEEDED}"));
        }
        let (forks, held) = (vault.forks()?, vault.held()?);
        text.extend(of_others(&name, &forks, &held));
        vaults.push(serde_json::json!({
            "name": info.name, "id": info.id.to_string(), "pending": pending, "devices": devices,
            "segments": delivery.map(|delivery| delivery.held),
            "segments_at_relay": delivery.map(|delivery| delivery.acknowledged),
            "disagrees": disagrees, "disputed": disputed, "resting": resting, "update_needed": update_needed,
            "held": held_json(&held), "clock_is_late": held.clock_is_late,
            "forks": forks_json(&forks)
        }));
    }
    let json = serde_json::json!({
        "device": name, "store": host.dir(), "store_bytes": bytes, "relay": relay, "sync": sync, "vaults": vaults
    });
    caller.answer(&Answer { text: text.join("\n"), json: json.to_string() })
}

/// What it means that everybody's edits are held.
const CLOCK_IS_LATE: &str =
    "everybody else is ahead: the clock of this machine is probably late; put it right";

fn held_json(held: &subrosa::HeldGroups) -> Vec<serde_json::Value> {
    let devices = held.devices.iter().map(|of_device| {
        serde_json::json!({
            "device": of_device.name, "public": of_device.device.to_base64(), "groups": of_device.groups,
            "until_ms": of_device.until_ms
        })
    });
    devices.collect()
}

/// What is to be known of stores that went on twice, and of clocks that differ.
fn of_others(name: &str, forks: &[subrosa::ForksOfDevice], held: &subrosa::HeldGroups) -> Vec<String> {
    let device = |name: Option<&str>| name.map_or_else(|| "a device".to_owned(), printable);
    let mut text = Vec::new();
    for fork in forks {
        let whose = if fork.is_own { "this device".to_owned() } else { device(fork.name.as_deref()) };
        text.push(format!(
            "        {name}: the store of {whose} was copied or put back, and went on twice; everything is kept"
        ));
    }
    for of_device in &held.devices {
        let (whose, groups) = (device(of_device.name.as_deref()), counted(of_device.groups, "group"));
        let wait = in_words(of_device.until_ms.saturating_sub(now_ms()));
        text.push(format!(
            "        {name}: {groups} of edits by {whose} ahead of this clock, held for {wait}"
        ));
    }
    if held.clock_is_late {
        text.push(format!("        {name}: {CLOCK_IS_LATE}"));
    }
    text
}

fn forks_json(forks: &[subrosa::ForksOfDevice]) -> Vec<serde_json::Value> {
    let devices = forks.iter().map(|fork| {
        serde_json::json!({
            "device": fork.name, "public": fork.device.to_base64(), "own": fork.is_own, "logs": fork.logs,
            "futures": fork.futures
        })
    });
    devices.collect()
}

fn now_ms() -> u64 {
    subrosa::Clock::now_ms(&subrosa::SystemClock)
}

/// A time in the largest unit that it has two of.
pub(super) fn in_words(ms: u64) -> String {
    let minutes = ms.div_ceil(60_000);
    match minutes {
        0..120 => counted(minutes, "minute"),
        120..2880 => counted(minutes / 60, "hour"),
        _ => counted(minutes / 1440, "day"),
    }
}

/// What an entry means that must not be ignored and is not understood.
const UPDATE_NEEDED: &str =
    "an admin uses a newer subrosa; this one goes on reading and receiving, and sends nothing: update it";

pub(super) fn verify(host: &Host, caller: &mut dyn Caller) -> Result<(), Failure> {
    let report = host.device().verify()?;
    let text = format!(
        "{}, {}, {} checked: {}, {} without a certificate yet, {} in quarantine",
        counted(report.vaults, "vault"),
        counted(report.logs, "log"),
        counted(report.segments, "segment"),
        counted(report.bad_segments, "bad segment"),
        counted(report.uncertified_logs, "log"),
        counted(report.quarantined, "segment")
    );
    let json = serde_json::json!({
        "good": report.is_good(), "repaired": report.repaired, "vaults": report.vaults, "logs": report.logs,
        "segments": report.segments, "bad_segments": report.bad_segments,
        "uncertified_logs": report.uncertified_logs, "quarantined": report.quarantined
    });
    caller.answer(&Answer { text, json: json.to_string() })?;
    if report.is_good() {
        return Ok(());
    }
    Err(Failure::Damaged { damaged: report.bad_segments })
}
