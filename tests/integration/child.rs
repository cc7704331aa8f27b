//! Child processes: this test binary again, running one ignored test. Its parent controls it by variables and pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A child that runs `role`. Dropping it kills the process and waits for it.
pub struct Role {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Role {
    /// Starts the ignored test `role` (`module::name`) with `variables` in its environment.
    pub fn start(role: &str, variables: &[(&str, String)]) -> Role {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                role,
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Role { process, output }
    }

    /// The child's next line, or `None` after it has ended.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            // The child's death cut a line without a newline: it does not count.
            if self.output.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            if let Some(said) = line.trim_end().strip_prefix("child: ") {
                return Some(said.to_string());
            }
        }
    }

    /// SIGKILL, as `kill -9` sends it.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A variable that the parent sets; `None` if someone runs the ignored test by hand.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Sends `words` to the parent in one write, so that a kill leaves the line whole or cut, never mixed with others.
pub fn say(words: &str) {
    let line = format!("\nchild: {words}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Blocks until the parent closes our standard input, or dies.
pub fn wait_for_parent() {
    let _ = std::io::stdin().lines().next();
}
