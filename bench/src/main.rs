//! Compares AiDb with other stores, on the same workloads in the same run. README.md beside `src` explains the results.
//!
//! `compare` starts this program again for every engine, workload and round; the engines take turns. `run` is such a
//! process, and prints its sample as JSON. `tune` does the same for options of AiDb. `prepare` makes the data that the
//! workloads read. `report` shows the samples of earlier runs again.

mod compare;
mod data;
mod engines;
mod goals;
mod measure;
mod plot;
mod processes;
mod report;
mod statistics;
mod tune;
mod workloads;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use engines::{Failure, Kind};
use workloads::{Dataset, Task, WORKLOADS};

#[derive(Parser)]
#[command(about = "AiDb beside other stores, on the same workloads in the same run")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run workloads for engines in interleaved rounds, and write tables, samples and plots
    Compare(compare::Plan),
    /// Write tables and plots of earlier runs' samples
    Report(compare::Again),
    /// Measure AiDb's options: one at a time, against the common configuration
    Tune(tune::Plan),
    /// Print the names of the workloads
    List,
    /// Run one workload of one engine, in this process
    #[command(hide = true)]
    Run {
        engine: Kind,
        workload: String,
        #[command(flatten)]
        child: Child,
    },
    /// Make the data that workloads of one engine read
    #[command(hide = true)]
    Prepare {
        engine: Kind,
        dataset: String,
        #[command(flatten)]
        child: Child,
    },
}

/// The arguments of a single process.
#[derive(clap::Args)]
struct Child {
    #[arg(long)]
    path: PathBuf,
    #[arg(long)]
    entries: u64,
    #[arg(long)]
    seconds: f64,
    #[arg(long, default_value_t = 1)]
    round: u32,
    /// AiDb's options, as NAME=VALUE
    #[arg(long = "set")]
    settings: Vec<String>,
}

/// Ends a process that hangs.
const MAX_CHILD_SECONDS: u32 = 900;

impl Child {
    fn task(self, engine: Kind) -> Task {
        // SAFETY: no handler is installed; the signal's default ends the process.
        unsafe { libc::alarm(MAX_CHILD_SECONDS) };
        Task {
            engine,
            path: self.path,
            entries: self.entries,
            seconds: self.seconds,
            round: self.round,
            settings: self.settings,
        }
    }
}

fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Compare(plan) => compare::compare(&plan),
        Command::Report(again) => compare::report_again(&again),
        Command::Tune(plan) => tune::tune(&plan),
        Command::List => {
            for workload in WORKLOADS {
                println!("{}", workload.name);
            }
            Ok(())
        }
        Command::Run {
            engine,
            workload,
            child,
        } => {
            let found = workloads::workload(&workload)
                .ok_or_else(|| format!("no workload {workload}; `list` names them"))?;
            let sample = found.run(&child.task(engine))?;
            println!("{}", serde_json::to_string(&sample)?);
            Ok(())
        }
        Command::Prepare {
            engine,
            dataset,
            child,
        } => {
            let dataset =
                Dataset::from_name(&dataset).ok_or_else(|| format!("no dataset {dataset}"))?;
            workloads::prepare(&child.task(engine), dataset)
        }
    }
}
