//! Stopping leaves nothing behind. Counted in a process of its own, since other tests start threads too.

use std::process::Command;

use crate::support::{PATIENCE, TestDevice, TestRelay, caught_up, clock};

const CHILD: &str = "SUBROSA_E2E_CHILD";

/// Names of this process's threads that sync started.
fn sync_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("subrosa-") || name.starts_with("tokio")).collect()
}

#[test]
fn stopping_leaves_no_thread() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "threads::child", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{text}");
}

/// What this process has open: stores, and how many sockets.
fn held() -> (Vec<std::path::PathBuf>, usize) {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets: Vec<_> =
        entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect();
    let sockets = targets.iter().filter(|target| target.to_string_lossy().starts_with("socket:")).count();
    (targets.into_iter().filter(|target| target.ends_with("store.subrosa")).collect(), sockets)
}

/// Does nothing unless called by the test above.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let relay = TestRelay::open();
    let a = TestDevice::new();
    for round in 0..3 {
        let sync = a.sync(&relay.url());
        a.put(&format!("{round}"), "note");
        if round > 0 {
            caught_up(&sync);
            let threads = sync_threads();
            assert_eq!(threads.iter().filter(|name| name.starts_with("subrosa-")).count(), 3, "{threads:?}");
        }
        let begun = clock();
        sync.stop();
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(sync_threads(), Vec::<String>::new());
    }
    let (files, sockets) = held();
    assert_eq!(files.len(), 1, "{files:?}");
    let sync = a.sync(&relay.url());
    caught_up(&sync);
    assert!(held().1 > sockets);
    a.device().suspend(PATIENCE).unwrap();
    assert_eq!(held(), (Vec::new(), sockets), "a device that sleeps holds nothing");
    a.device().resume().unwrap();
    caught_up(&sync);
    drop(sync);
    // With nobody there, too.
    let url = relay.url();
    drop(relay);
    let sync = a.sync(&url);
    drop(sync);
    assert_eq!(sync_threads(), Vec::<String>::new());
}
