//! The engine asks the operating system for every sync, and reports its failures.

use crate::role::passes;

#[test]
fn every_sync_reaches_the_operating_system_and_every_failure_is_reported() {
    let dir = crate::directory();
    let path = dir.path().display().to_string();
    if cfg!(target_os = "linux") {
        assert!(passes("syncs", &[&path]));
    } else {
        println!("not run: calls are watched on Linux only");
    }
}
