//! Starts this program again, in a process of its own for each measurement.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::engines::{Failure, Kind};
use crate::measure::Sample;
use crate::workloads::{Dataset, Workload, copy};

/// The arguments for all processes of a run.
pub struct Processes<'a> {
    pub entries: u64,
    pub seconds: f64,
    /// The directory of the stores during the run.
    pub data: &'a Path,
}

impl Processes<'_> {
    /// Makes the data that workloads read, at `path`.
    pub fn prepare(
        &self,
        engine: Kind,
        dataset: Dataset,
        path: &Path,
        settings: &[String],
    ) -> Result<(), Failure> {
        let words = ["prepare", &word(engine), dataset.name()];
        let output = self.child(words, path, 1, settings)?;
        let killed = dataset == Dataset::Killed;
        // The process that kills itself must not exit with success.
        match output.status.success() != killed && (!killed || output.stderr.is_empty()) {
            true => Ok(()),
            false => Err(failure(&output)),
        }
    }

    /// Runs a workload on a copy of the dataset at `dataset`.
    pub fn measure(
        &self,
        engine: Kind,
        workload: &Workload,
        dataset: &Path,
        round: u32,
        settings: &[String],
    ) -> Result<Sample, Failure> {
        let path = self.data.join("measured");
        let _ = fs::remove_dir_all(&path);
        if workload.dataset != Dataset::Nothing {
            copy(dataset, &path)?;
        }
        let words = ["run", &word(engine), workload.name];
        let output = self.child(words, &path, round, settings)?;
        let _ = fs::remove_dir_all(&path);
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout)?),
            false => Err(failure(&output)),
        }
    }

    fn child(
        &self,
        words: [&str; 3],
        path: &Path,
        round: u32,
        settings: &[String],
    ) -> Result<Output, Failure> {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        Ok(Command::new(std::env::current_exe()?)
            .args(words)
            .arg("--path")
            .arg(path)
            .args(["--entries", &self.entries.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .args(["--round", &round.to_string()])
            .args(settings)
            .stdin(Stdio::null())
            .output()?)
    }
}

/// The name on the command line.
fn word(engine: Kind) -> String {
    engine.title().to_lowercase()
}

fn failure(output: &Output) -> Failure {
    let said = String::from_utf8_lossy(&output.stderr);
    match said.trim() {
        "" => format!("{} without a word", output.status).into(),
        said => said.replace('\n', " ").into(),
    }
}
