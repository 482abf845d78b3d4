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
            assert_eq!(threads.iter().filter(|name| name.starts_with("subrosa-")).count(), 2, "{threads:?}");
        }
        let begun = clock();
        sync.stop();
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(sync_threads(), Vec::<String>::new());
    }
    // With nobody there, too.
    let url = relay.url();
    drop(relay);
    let sync = a.sync(&url);
    drop(sync);
    assert_eq!(sync_threads(), Vec::<String>::new());
}
