//! Calls from a thread that ends, when its variables are gone.

use std::cell::RefCell;
use std::sync::mpsc;
use std::time::Duration;

use subrosa_model::merge::value::Value;

use super::{TestDevice, device_with_vault, everything, id, record};
use crate::collection::Record;
use crate::device::Device;
use crate::error::Error;

thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    /// Used after the other one, and so destroyed before it.
    static PROBE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls when it is dropped.
struct AtEnd {
    device: Device,
    said: mpsc::Sender<Result<u64, Error>>,
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        assert!(PROBE.try_with(|_| ()).is_err(), "the variables are still there");
        let _ = self.said.send(self.call());
    }
}

impl AtEnd {
    fn call(&self) -> Result<u64, Error> {
        let vault = self.device.vault("personal")?;
        let notes = vault.records("notes");
        // Larger than what needs no compressing when it is sealed.
        let text = Value::from("roses are red ".repeat(1000).as_str());
        notes.put(id(2), &Record([("text".to_owned(), text)].into()))?;
        let mut tx = vault.begin(Duration::ZERO)?;
        tx.in_collection(&notes).put(id(3), &record(&[("a", 3)]))?;
        tx.commit()?;
        while self.device.core.seal(&vault.id())?.more {}
        notes.get(id(2))?;
        notes.len()
    }
}

#[test]
fn a_thread_without_its_variables_reads_writes_and_seals_and_the_store_goes_on() {
    let mut device: TestDevice = device_with_vault();
    let handle = device.device.clone().unwrap();
    let (said, hears) = mpsc::channel();
    let work = move || {
        let vault = handle.vault("personal").unwrap();
        AT_END.set(Some(AtEnd { device: handle, said }));
        PROBE.with_borrow_mut(|probe| probe.push(1));
        // The engine's own variables are there from here on, and go before `AT_END`.
        vault.records("notes").put(id(1), &record(&[("a", 1)])).unwrap();
    };
    std::thread::spawn(work).join().unwrap();
    assert_eq!(hears.recv().unwrap().unwrap(), 3);
    device.vault().records("notes").put(id(4), &record(&[("a", 4)])).unwrap();
    assert_eq!(everything(&device.vault()).len(), 4);
    device.reopen();
    assert_eq!(everything(&device.vault()).len(), 4);
}
