//! File systems that only this process sees, and that disappear with it.

use std::path::Path;
use std::process::Command;

/// Gives the process a mount namespace of its own: as root, or as root of a user namespace where the kernel allows
/// everybody to have one. Returns whether it is real root, which may use loop devices. Ends the role if neither is
/// allowed.
///
/// Must run before any thread is started, as `unshare` demands for user namespaces.
pub fn alone() -> bool {
    // SAFETY: these calls take and touch no memory of ours, and no thread but this one exists.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    // SAFETY: as above.
    let is_root = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
    if !is_root {
        // SAFETY: as above.
        if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } != 0 {
            crate::not_run("this user may not mount anything");
        }
        let map = |file: &str, text: &str| std::fs::write(format!("/proc/self/{file}"), text);
        let mapped = map("setgroups", "deny")
            .and_then(|()| map("uid_map", &format!("0 {user} 1")))
            .and_then(|()| map("gid_map", &format!("0 {group} 1")));
        if mapped.is_err() {
            crate::not_run("this user may not mount anything");
        }
    }
    // Mounts from here on must not show in the system's own namespace.
    mount(&["--make-rprivate", "/"]);
    is_root
}

/// Runs `mount`; ends the role if the machine does not allow that.
pub fn mount(arguments: &[&str]) {
    match Command::new("mount").args(arguments).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            crate::not_run(&format!("mount {}: {}", arguments.join(" "), said.trim()));
        }
        Err(error) => crate::not_run(&format!("mount: {error}")),
    }
}

/// Mounts an ext4 of `bytes` at `dir`, made with these options in a file beside it.
pub fn ext4(dir: &Path, bytes: u64, making: &[&str]) {
    let image = dir.with_extension("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(bytes)
        .unwrap();
    let image = image.display().to_string();
    // No blocks reserved for root: the disk is full for everybody at once.
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0"])
        .args(making)
        .arg(&image)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        crate::not_run("there is no mkfs.ext4");
    }
    mount(&["-o", "loop", &image, &dir.display().to_string()]);
}

/// Mounts a tmpfs of `bytes` at `dir`.
pub fn tmpfs(dir: &Path, bytes: u64) {
    let size = format!("size={bytes}");
    let dir = dir.display().to_string();
    mount(&["-t", "tmpfs", "-o", &size, "tmpfs", &dir]);
}
