//! One random call.

use std::ffi::c_void;
use std::ptr::null_mut;

use arbitrary::{Result, Unstructured};
use subrosa_ffi::*;

use crate::draw::{Drawn, rows};
use crate::world::World;

/// Checks what it is called with.
unsafe extern "C" fn on_event(user: *mut c_void, event: *const subrosa_event) {
    assert!(user.is_null() && !event.is_null());
}

unsafe extern "C" fn on_done(user: *mut c_void, status: i32, error: *mut subrosa_error) {
    assert!(user.is_null());
    assert_eq!(status == SUBROSA_OK, error.is_null());
    subrosa_error_free(error);
}

/// Makes one call and checks what it promised.
pub(crate) fn call(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let drawn = Drawn::new(input)?;
    match input.int_in_range(0..=4)? {
        0 => keys_and_sessions(world, input, &drawn),
        1 => devices_and_vaults(world, input, &drawn),
        2 => records(world, input, &drawn),
        3 => collections(world, input, &drawn),
        _ => waiting(world, input, &drawn),
    }
}

/// Runs a call with a place for its error and checks what came of it.
macro_rules! checked {
    ($world:expr, |$err:ident| $call:expr) => {{
        let mut error = null_mut();
        let $err = &raw mut error;
        // SAFETY: pointers are to locals with the lengths beside them; handles may be anything.
        let status = unsafe { $call };
        $world.check(status, error);
        status
    }};
}

/// A call that makes a handle: blank on failure, kept on success.
macro_rules! opens {
    ($world:expr, |$out:ident, $err:ident| $call:expr) => {{
        let mut made = std::ptr::without_provenance_mut(0xbad0);
        let $out = &raw mut made;
        let status = checked!($world, |$err| $call);
        if status != SUBROSA_OK {
            assert!(made.is_null(), "a result was not written");
        }
        $world.keep(made);
    }};
}

fn keys_and_sessions(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let (text, more) = (drawn.text, drawn.more);
    match input.int_in_range(0..=11)? {
        0 => opens!(world, |out, err| subrosa_key_generate(out, err)),
        1 => opens!(world, |out, err| subrosa_key_from_pkcs8(text.as_ptr(), text.len(), out, err)),
        2 => {
            let key = world.pick(input)?;
            let mut secret = subrosa_secret { data: null_mut(), len: 0, cap: 0 };
            if checked!(world, |err| subrosa_key_to_pkcs8(key, &mut secret, err)) == SUBROSA_OK {
                // SAFETY: the library made it.
                let der = unsafe { std::slice::from_raw_parts(secret.data, secret.len) };
                opens!(world, |out, err| subrosa_key_from_pkcs8(der.as_ptr(), der.len(), out, err));
            }
            // SAFETY: as the library made it; twice on purpose.
            unsafe {
                subrosa_secret_free(&mut secret);
                subrosa_secret_free(&mut secret);
            }
        }
        3 => {
            let (key, mut public) = (world.pick(input)?, subrosa_public_key { bytes: [1; 65] });
            if checked!(world, |err| subrosa_key_public(key, &mut public, err)) == SUBROSA_OK {
                let other = world.pick(input)?;
                opens!(world, |out, err| subrosa_session_peer(
                    other,
                    &public,
                    drawn.number,
                    text.as_ptr(),
                    text.len(),
                    out,
                    err
                ));
            }
        }
        4 => {
            let key = world.pick(input)?;
            opens!(world, |out, err| subrosa_session_self(
                key,
                drawn.number,
                text.as_ptr(),
                text.len(),
                out,
                err
            ));
        }
        5 | 6 => seal_and_open(world, input, drawn)?,
        7 => {
            let (key, mut signature) = (world.pick(input)?, [0_u8; 64]);
            checked!(world, |err| subrosa_key_sign(
                key,
                text.as_ptr(),
                text.len(),
                more.as_ptr(),
                more.len(),
                signature.as_mut_ptr(),
                err
            ));
        }
        8 => {
            let mut public = subrosa_public_key { bytes: [1; 65] };
            checked!(world, |err| subrosa_public_key_from_spki(text.as_ptr(), text.len(), &mut public, err));
            checked!(world, |err| subrosa_public_key_check(&public, err));
        }
        9 => opens!(world, |out, err| subrosa_cancel_new(out, err)),
        10 => {
            let cancel = world.pick(input)?;
            checked!(world, |err| subrosa_cancel_fire(cancel, err));
        }
        _ => {
            let mut id = drawn.id;
            let text = drawn.text();
            checked!(world, |err| subrosa_id_parse(text.0, text.1, &mut id, err));
            checked!(world, |err| subrosa_id_from_name(text.0, text.1, &mut id, err));
        }
    }
    Ok(())
}

fn seal_and_open(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let session = world.pick(input)?;
    let (aad, plain) = (drawn.text, drawn.more);
    let mut sealed = subrosa_buf { data: null_mut(), len: 0, cap: 0 };
    let status = checked!(world, |err| subrosa_session_seal(
        session,
        aad.as_ptr(),
        aad.len(),
        plain.as_ptr(),
        plain.len(),
        &mut sealed,
        err
    ));
    if status != SUBROSA_OK {
        assert!(sealed.data.is_null());
        return Ok(());
    }
    // SAFETY: the library made it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(sealed.data, sealed.len) };
    if input.ratio(1, 2)? {
        let place = input.choose_index(bytes.len())?;
        bytes[place] ^= 1;
    }
    let mut opened = subrosa_secret { data: null_mut(), len: 0, cap: 0 };
    checked!(world, |err| subrosa_session_open(
        session,
        aad.as_ptr(),
        aad.len(),
        bytes.as_ptr(),
        bytes.len(),
        &mut opened,
        err
    ));
    // SAFETY: as the library made them.
    unsafe {
        subrosa_secret_free(&mut opened);
        subrosa_buf_free(&mut sealed);
    }
    Ok(())
}

fn devices_and_vaults(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let text = drawn.text();
    let mut buf = subrosa_buf { data: null_mut(), len: 0, cap: 0 };
    match input.int_in_range(0..=15)? {
        0 => {
            let key = world.pick(input)?;
            let path = store_path(world, input)?;
            let options = options(input, drawn)?;
            let path = (path.as_ptr().cast(), path.len());
            opens!(world, |out, err| subrosa_device_create(path.0, path.1, key, &options, out, err));
        }
        1 => {
            let key = world.pick(input)?;
            let path = store_path(world, input)?;
            let path = (path.as_ptr().cast(), path.len());
            opens!(world, |out, err| subrosa_device_open(path.0, path.1, key, std::ptr::null(), out, err));
        }
        2 if input.ratio(1, 8)? => {
            let device = world.pick(input)?;
            checked!(world, |err| subrosa_device_close(device, err));
        }
        3 => {
            let device = world.pick(input)?;
            checked!(world, |err| subrosa_suspend(device, drawn.ms, err));
        }
        4 | 5 => {
            let device = world.pick(input)?;
            checked!(world, |err| subrosa_resume(device, err));
            checked!(world, |err| subrosa_network_changed(device, err));
        }
        6 => {
            let device = world.pick(input)?;
            opens!(world, |out, err| subrosa_vault_create(device, text.0, text.1, out, err));
        }
        7 | 8 => {
            let device = world.pick(input)?;
            opens!(world, |out, err| subrosa_vault_open(device, text.0, text.1, out, err));
        }
        9 => {
            let device = world.pick(input)?;
            checked!(world, |err| subrosa_device_set_relay(device, text.0, text.1, err));
            let mut relay = subrosa_secret { data: null_mut(), len: 0, cap: 0 };
            checked!(world, |err| subrosa_device_relay(device, &mut relay, err));
            // SAFETY: the library filled it, or left it blank.
            unsafe { subrosa_secret_free(&mut relay) };
        }
        10 => {
            let device = world.pick(input)?;
            opens!(world, |out, err| subrosa_device_vaults(device, out, err));
        }
        11 => {
            let vault = world.pick(input)?;
            opens!(world, |out, err| subrosa_vault_devices(vault, out, err));
            opens!(world, |out, err| subrosa_vault_forks(vault, out, err));
            let mut truth = true;
            opens!(world, |out, err| subrosa_vault_held(vault, out, &mut truth, err));
            checked!(world, |err| subrosa_vault_is_update_needed(vault, &mut truth, err));
        }
        12 => {
            let vault = world.pick(input)?;
            opens!(world, |out, err| subrosa_vault_collections(vault, out, err));
        }
        13 => list(world, input)?,
        14 => {
            let device = world.pick(input)?;
            let size = input.int_in_range(0..=4096_u32)?;
            // As large as the largest size that it may claim.
            let mut report = [0_u32; 1024];
            report[0] = size.min(4096);
            checked!(world, |err| subrosa_device_verify(device, report.as_mut_ptr().cast(), err));
        }
        _ => {
            let vault = world.pick(input)?;
            checked!(world, |err| subrosa_vault_name(vault, &mut buf, err));
            let (mut held, mut acknowledged) = (7, 7);
            checked!(world, |err| subrosa_vault_delivery(
                vault,
                text.0,
                text.1,
                &mut held,
                &mut acknowledged,
                err
            ));
        }
    }
    // SAFETY: as the library made it, or zero.
    unsafe { subrosa_buf_free(&mut buf) };
    Ok(())
}

fn store_path(world: &mut World, input: &mut Unstructured<'_>) -> Result<String> {
    let name =
        if input.ratio(1, 2)? { "first".to_owned() } else { format!("store-{}", input.int_in_range(0..=3)?) };
    world.stores += 1;
    Ok(world.dir.path().join(name).to_str().unwrap_or_default().to_owned())
}

fn options(input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<subrosa_device_options> {
    let text = drawn.text();
    Ok(subrosa_device_options {
        struct_size: if input.ratio(7, 8)? { size_of::<subrosa_device_options>() as u32 } else { 0 },
        flags: u32::from(input.ratio(1, 8)?),
        cache_bytes: 1 << 20,
        device_name: text.0,
        device_name_len: text.1,
        // A bound, so that no write waits for a transaction of another thread for ever.
        write_wait_ms: 1,
        reserved: u32::from(input.ratio(1, 16)?),
    })
}

fn list(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let list = world.pick(input)?;
    for index in 0..=subrosa_list_len(list) {
        let (mut name, mut len) = (std::ptr::null(), 0);
        checked!(world, |err| subrosa_list_text_view(list, index, &mut name, &mut len, err));
        let mut id = subrosa_vault_id { bytes: [0; 32] };
        if checked!(world, |err| subrosa_list_vault_id(list, index, &mut id, err)) == SUBROSA_OK {
            let device = world.pick(input)?;
            opens!(world, |out, err| subrosa_vault_open_by_id(device, &id, out, err));
        }
        // As large as the largest size that it may claim.
        let mut info = [0_u32; 1024];
        info[0] = input.int_in_range(0..=4096)?;
        checked!(world, |err| subrosa_list_forks(list, index, info.as_mut_ptr().cast(), err));
        checked!(world, |err| subrosa_list_held(list, index, info.as_mut_ptr().cast(), err));
        checked!(world, |err| subrosa_list_sync_vault(list, index, info.as_mut_ptr().cast(), err));
    }
    Ok(())
}

fn records(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let (text, more) = (drawn.text(), drawn.more());
    let mut buf = subrosa_buf { data: null_mut(), len: 0, cap: 0 };
    let record: *mut subrosa_record = world.pick(input)?;
    match input.int_in_range(0..=9)? {
        0 => opens!(world, |out, err| subrosa_record_new(out, err)),
        1 => opens!(world, |out, err| subrosa_record_from_json(text.0, text.1, out, err)),
        2 => {
            checked!(world, |err| subrosa_record_to_json(record, &mut buf, err));
        }
        3 => {
            checked!(world, |err| subrosa_record_set_i64(record, text.0, text.1, drawn.number.into(), err));
            checked!(world, |err| subrosa_record_set_bool(record, text.0, text.1, true, err));
        }
        4 => {
            let float = f64::from_bits(input.arbitrary()?);
            checked!(world, |err| subrosa_record_set_f64(record, text.0, text.1, float, err));
        }
        5 => {
            checked!(world, |err| subrosa_record_set_text(record, text.0, text.1, more.0, more.1, err));
            let (data, len) = (more.0.cast(), more.1);
            checked!(world, |err| subrosa_record_set_bytes(record, text.0, text.1, data, len, err));
        }
        6 => {
            checked!(world, |err| subrosa_record_set_json(record, text.0, text.1, more.0, more.1, err));
            checked!(world, |err| subrosa_record_get_json(record, text.0, text.1, &mut buf, err));
        }
        7 => {
            let mut existed = true;
            checked!(world, |err| subrosa_record_remove(record, text.0, text.1, &mut existed, err));
        }
        8 => getters(world, record, drawn),
        _ => {
            let (mut name, mut len, mut kind) = (std::ptr::null(), 0, 0);
            let index = input.int_in_range(0..=3)?;
            checked!(world, |err| subrosa_record_field_view(
                record, index, &mut name, &mut len, &mut kind, err
            ));
        }
    }
    // SAFETY: as the library made it, or zero.
    unsafe { subrosa_buf_free(&mut buf) };
    Ok(())
}

fn getters(world: &mut World, record: *mut subrosa_record, drawn: &Drawn<'_>) {
    let text = drawn.text();
    let (mut kind, mut flag, mut whole, mut float) = (9, true, 7, 7.0);
    checked!(world, |err| subrosa_record_kind(record, text.0, text.1, &mut kind, err));
    checked!(world, |err| subrosa_record_get_bool(record, text.0, text.1, &mut flag, err));
    checked!(world, |err| subrosa_record_get_i64(record, text.0, text.1, &mut whole, err));
    checked!(world, |err| subrosa_record_get_f64(record, text.0, text.1, &mut float, err));
    let (mut view, mut bytes, mut len) = (std::ptr::null(), std::ptr::null(), 0);
    checked!(world, |err| subrosa_record_get_text_view(record, text.0, text.1, &mut view, &mut len, err));
    checked!(world, |err| subrosa_record_get_bytes_view(record, text.0, text.1, &mut bytes, &mut len, err));
}

fn collections(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let text = drawn.text();
    let collection: *mut subrosa_collection = world.pick(input)?;
    let tx: *mut subrosa_tx = if input.ratio(1, 2)? { null_mut() } else { world.pick(input)? };
    let mut id = drawn.id;
    let mut buf = subrosa_buf { data: null_mut(), len: 0, cap: 0 };
    let (mut found, mut count) = (true, 7);
    match input.int_in_range(0..=15)? {
        0 => {
            let vault = world.pick(input)?;
            opens!(world, |out, err| subrosa_collection_open(vault, text.0, text.1, out, err));
        }
        1 => {
            let record = world.pick(input)?;
            checked!(world, |err| subrosa_insert(collection, tx, record, &mut id, err));
            checked!(world, |err| subrosa_put(collection, tx, &id, record, err));
        }
        2 => {
            let record = world.pick(input)?;
            checked!(world, |err| subrosa_replace(collection, tx, &id, record, err));
        }
        3 => opens!(world, |out, err| subrosa_get(collection, tx, &id, out, err)),
        4 => {
            checked!(world, |err| subrosa_insert_json(collection, tx, text.0, text.1, &mut id, err));
        }
        5 => {
            checked!(world, |err| subrosa_put_json(collection, tx, &id, text.0, text.1, err));
            checked!(world, |err| subrosa_get_json(collection, tx, &id, &mut buf, &mut found, err));
        }
        6 => {
            checked!(world, |err| subrosa_replace_json(collection, tx, &id, text.0, text.1, err));
        }
        7 => {
            checked!(world, |err| subrosa_delete(collection, tx, &id, &mut found, err));
        }
        8 => {
            checked!(world, |err| subrosa_count(collection, tx, &mut count, err));
        }
        9 => {
            let (limit, after) = (
                input.int_in_range(0..=3)?,
                if input.ratio(1, 2)? { &raw const id } else { std::ptr::null() },
            );
            checked!(world, |err| subrosa_page(
                collection,
                tx,
                after,
                limit,
                drawn.number,
                &mut buf,
                &mut found,
                err
            ));
            walk(&buf);
        }
        10 => {
            let ids = [id, drawn.id, id];
            checked!(world, |err| subrosa_get_many(
                collection,
                tx,
                ids.as_ptr(),
                3,
                drawn.number,
                &mut buf,
                err
            ));
            walk(&buf);
        }
        13 => {
            let limit = input.int_in_range(0..=3)?;
            opens!(world, |out, err| subrosa_field_names(
                collection, tx, &id, text.0, text.1, limit, out, err
            ));
            opens!(world, |out, err| subrosa_get_field(collection, tx, &id, text.0, text.1, out, err));
        }
        14 => {
            checked!(world, |err| subrosa_get_field_json(
                collection, tx, &id, text.0, text.1, &mut buf, &mut found, err
            ));
            checked!(world, |err| subrosa_delete_field(collection, tx, &id, text.0, text.1, &mut found, err));
        }
        11 | 12 => {
            let rows = rows(input)?;
            checked!(world, |err| subrosa_write_many(
                collection,
                tx,
                rows.as_ptr(),
                rows.len(),
                &mut buf,
                err
            ));
        }
        _ => {
            let (vault, mode) = (world.pick(input)?, drawn.number);
            opens!(world, |out, err| subrosa_tx_begin(vault, mode, drawn.ms, out, err));
        }
    }
    // SAFETY: as the library made it, or zero.
    unsafe { subrosa_buf_free(&mut buf) };
    Ok(())
}

/// Reads rows to their end.
fn walk(rows: &subrosa_buf) {
    let (mut offset, mut row) = (0, std::mem::MaybeUninit::uninit());
    // SAFETY: what the library made, and places of our own.
    while unsafe { subrosa_rows_next(rows.data, rows.len, &mut offset, row.as_mut_ptr()) } {}
    assert_eq!(offset, rows.len, "rows that do not read to their end");
}

fn waiting(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let text = drawn.text();
    let tag = u64::from(drawn.id.bytes[0]);
    match input.int_in_range(0..=14)? {
        0 => opens!(world, |out, err| subrosa_events_new(out, err)),
        1 => {
            let (events, vault) = (world.pick(input)?, world.pick(input)?);
            checked!(world, |err| subrosa_events_add_vault(events, vault, tag, err));
        }
        2 => {
            let (events, collection) = (world.pick(input)?, world.pick(input)?);
            checked!(world, |err| subrosa_events_add_collection(events, collection, tag, err));
        }
        3 => {
            let (events, sync) = (world.pick(input)?, world.pick(input)?);
            checked!(world, |err| subrosa_events_add_sync(events, sync, tag, err));
        }
        4 => {
            let events = world.pick(input)?;
            checked!(world, |err| subrosa_events_remove(events, tag, err));
        }
        5 | 6 => wait_for_event(world, input, drawn)?,
        7 => {
            let events = world.pick(input)?;
            checked!(world, |err| subrosa_events_listen(events, Some(on_event), null_mut(), None, err));
        }
        8 => {
            let (events, level) = (world.pick(input)?, input.int_in_range(-1..=6)?);
            checked!(world, |err| subrosa_events_unlisten(events, err));
            checked!(world, |err| subrosa_events_add_log(events, level, tag, err));
        }
        9 if input.ratio(1, 4)? => {
            let device = world.pick(input)?;
            opens!(world, |out, err| subrosa_sync_start(device, text.0, text.1, out, err));
        }
        10 => {
            let (sync, cancel) = (world.pick(input)?, world.pick(input)?);
            checked!(world, |err| subrosa_sync_wait(sync, drawn.ms, cancel, err));
            opens!(world, |out, err| subrosa_sync_vaults(sync, out, err));
            opens!(world, |out, err| subrosa_sync_moment(sync, out, err));
            let moment = world.pick(input)?;
            checked!(world, |err| subrosa_moment_wait(moment, drawn.ms, cancel, err));
            checked!(world, |err| subrosa_sync_wait_async(
                sync,
                drawn.ms,
                cancel,
                Some(on_done),
                null_mut(),
                None,
                err
            ));
        }
        11 if input.ratio(1, 4)? => {
            let device = world.pick(input)?;
            opens!(world, |out, err| subrosa_pair_offer_start(device, text.0, text.1, out, err));
        }
        12 => {
            let (offer, cancel) = (world.pick(input)?, world.pick(input)?);
            checked!(world, |err| subrosa_pair_offer_wait(offer, drawn.ms, cancel, err));
            checked!(world, |err| subrosa_pair_offer_confirm(offer, text.0, text.1, null_mut(), err));
        }
        13 => {
            let tx = world.pick(input)?;
            checked!(world, |err| subrosa_tx_commit(tx, err));
        }
        _ => subrosa_tx_abort(world.pick(input)?),
    }
    Ok(())
}

fn wait_for_event(world: &mut World, input: &mut Unstructured<'_>, drawn: &Drawn<'_>) -> Result<()> {
    let (events, cancel) = (world.pick(input)?, world.pick(input)?);
    // SAFETY: integers and NULL.
    let mut event: subrosa_event = unsafe { std::mem::zeroed() };
    event.struct_size = size_of::<subrosa_event>() as u32;
    checked!(world, |err| subrosa_events_wait(events, drawn.ms, cancel, &mut event, err));
    // SAFETY: as the library made it; twice on purpose.
    unsafe {
        subrosa_event_free(&mut event);
        subrosa_event_free(&mut event);
    }
    Ok(())
}
