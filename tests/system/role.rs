//! Child processes: the program `child` in one of its roles.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The exit status of a role that this machine does not allow.
const NOT_RUN: i32 = 77;
/// A role that takes longer hangs.
const MAX_TIME: Duration = Duration::from_secs(300);

/// A child in a role. Dropping it kills the process and waits for it.
pub struct Role {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Role {
    /// Starts the role `name`.
    pub fn start(name: &str, arguments: &[&str]) -> Role {
        let mut process = Command::new(env!("CARGO_BIN_EXE_child"))
            .arg(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Role {
            process,
            input,
            output,
        }
    }

    /// The next line, or `None` after the child has ended.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        // The child's death cut a line without an end: it does not count.
        if self.output.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            return None;
        }
        line.pop();
        Some(line)
    }

    /// The child's process id.
    pub fn id(&self) -> i32 {
        self.process.id() as i32
    }

    /// Asks the child to end normally.
    pub fn let_go(&mut self) {
        self.input = None;
    }

    /// Waits for the child's end, whatever its status.
    pub fn wait(&mut self) {
        self.process.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// SIGKILL, as `kill -9` sends it, to a child that nobody has waited for yet.
pub fn kill(pid: i32) {
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Runs a role to its end and prints its lines. Returns true if it passed, false if this machine does not allow it.
pub fn passes(name: &str, arguments: &[&str]) -> bool {
    passes_saying(name, arguments, &mut String::new())
}

/// Like [`passes`]; also returns the last line.
pub fn passes_saying(name: &str, arguments: &[&str], last: &mut String) -> bool {
    let mut role = Role::start(name, arguments);
    let pid = role.id();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(MAX_TIME) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                kill(pid);
            }
        });
        while let Some(line) = role.hear() {
            println!("{name} {}: {line}", arguments.join(" "));
            *last = line;
        }
        drop(done);
    });
    let status = role.process.wait().unwrap();
    assert!(started.elapsed() < MAX_TIME, "{name} {arguments:?} hangs");
    match status.code() {
        Some(0) => true,
        Some(NOT_RUN) => false,
        _ => panic!("{name} {arguments:?} failed: {status}"),
    }
}
