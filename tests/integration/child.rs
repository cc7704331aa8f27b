//! Child processes: this test binary again, running one ignored test that a parent steers by variables and pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A child that runs `role`; dropped, it is killed and waited for.
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

    /// The next thing the child said, or `None` when it is gone.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            // A line that ends without a newline was cut by the child's death: it was not said.
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

/// A variable that the parent set, or `None` if someone ran the ignored test by hand.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says `words` to the parent in one write, so that a kill leaves it whole or cut, never mixed.
pub fn say(words: &str) {
    let line = format!("\nchild: {words}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Blocks until the parent closes our standard input, which its death does too.
pub fn wait_for_parent() {
    let _ = std::io::stdin().lines().next();
}
