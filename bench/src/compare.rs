//! A whole run: processes in turn, progress, and the files written at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::engines::{Failure, Kind};
use crate::measure::Sample;
use crate::plot;
use crate::processes::Processes;
use crate::report::{Run, lines, markdown};
use crate::workloads::{Dataset, Group, WORKLOADS, Workload, workload};

/// The command-line options of a run.
#[derive(clap::Args)]
pub struct Plan {
    /// Entries of the workloads; those of large values have fewer
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000_000))]
    entries: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long reads and synced writes run, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The engines, separated by commas; by default all in this program
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Kind>,
    /// The workloads, separated by commas; by default all
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// The directory of the stores during the run
    #[arg(long)]
    data: PathBuf,
    /// The directory for tables, samples and plots
    #[arg(long)]
    out: PathBuf,
    /// A sentence for the head of the tables, such as the commit and the day
    #[arg(long, default_value = "")]
    about: String,
}

impl Plan {
    fn processes(&self) -> Processes<'_> {
        Processes {
            entries: self.entries,
            seconds: self.seconds,
            data: &self.data,
        }
    }
}

/// The command-line options for showing samples again.
#[derive(clap::Args)]
pub struct Again {
    /// Files that earlier runs wrote, all with the same number of entries
    #[arg(required = true)]
    samples: Vec<PathBuf>,
    #[arg(long)]
    out: PathBuf,
}

/// All results of a run.
#[derive(Serialize, Deserialize)]
struct Results {
    about: String,
    engines: Vec<Kind>,
    samples: Vec<Sample>,
    failures: Vec<String>,
}

/// One process of the plan.
struct Step {
    round: u32,
    workload: &'static Workload,
    engine: Kind,
}

impl Step {
    /// A guess from a machine with two cores. Only the proportions matter once some steps are done.
    fn typical_seconds(&self, plan: &Plan) -> f64 {
        let millions = plan.entries as f64 / 1e6;
        self.workload.typical_seconds * (0.5 * millions + 0.25 * plan.seconds)
    }
}

/// One round after the other; in each round workload by workload, and for each workload engine by engine. Each round
/// begins with another engine.
fn steps(workloads: &[&'static Workload], engines: &[Kind], rounds: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 1..=rounds {
        for (place, &workload) in workloads.iter().enumerate() {
            for turn in 0..engines.len() {
                let engine = engines[(turn + place + round as usize) % engines.len()];
                if workload.suits(engine) {
                    steps.push(Step {
                        round,
                        workload,
                        engine,
                    });
                }
            }
        }
    }
    steps
}

pub fn compare(plan: &Plan) -> Result<(), Failure> {
    let (engines, workloads) = (engines(plan), chosen_workloads(plan)?);
    let steps = steps(&workloads, &engines, plan.rounds);
    let datasets: BTreeSet<Dataset> = workloads
        .iter()
        .map(|workload| workload.dataset)
        .filter(|&dataset| dataset != Dataset::Nothing)
        .collect();
    let preparing = 6.0 * plan.entries as f64 / 1e6 * (datasets.len() * engines.len()) as f64;
    let total: f64 = steps.iter().map(|step| step.typical_seconds(plan)).sum();
    eprintln!(
        "{} engines, {} workloads, {} rounds: {} processes, about {} on two idle cores",
        engines.len(),
        workloads.len(),
        plan.rounds,
        steps.len(),
        minutes(preparing + total)
    );

    let _ = fs::remove_dir_all(&plan.data);
    fs::create_dir_all(&plan.data)?;
    fs::create_dir_all(&plan.out)?;
    let mut results = Results {
        about: about(plan),
        engines,
        samples: Vec::new(),
        failures: Vec::new(),
    };
    prepare_all(plan, &datasets, &mut results);
    measure_all(plan, &steps, total, &mut results)?;
    let _ = fs::remove_dir_all(&plan.data);
    show(&plan.out, &results)?;
    match results.failures.len() {
        0 => Ok(()),
        count => Err(format!("{count} failures, listed above").into()),
    }
}

/// The engines to compare, in order and each once: by default all that were built.
fn engines(plan: &Plan) -> Vec<Kind> {
    let engines: BTreeSet<Kind> = match plan.engines.is_empty() {
        false => plan.engines.iter().copied().collect(),
        true => Kind::ALL
            .into_iter()
            .filter(|&kind| kind != Kind::Rocksdb || cfg!(feature = "rocksdb"))
            .collect(),
    };
    engines.into_iter().collect()
}

/// The workloads to run: by default all.
fn chosen_workloads(plan: &Plan) -> Result<Vec<&'static Workload>, Failure> {
    if plan.workloads.is_empty() {
        return Ok(WORKLOADS.iter().collect());
    }
    let chosen = plan
        .workloads
        .iter()
        .map(|name| workload(name).ok_or_else(|| format!("no workload {name}")));
    Ok(chosen.collect::<Result<Vec<_>, _>>()?)
}

/// Makes each dataset for each engine.
fn prepare_all(plan: &Plan, datasets: &BTreeSet<Dataset>, results: &mut Results) {
    for &dataset in datasets {
        for engine in results.engines.clone() {
            eprintln!("preparing {} for {engine}", dataset.name());
            if let Err(error) = prepare(plan, engine, dataset) {
                let failure = format!("{engine}, preparing {}: {error}", dataset.name());
                eprintln!("  {failure}");
                results.failures.push(failure);
            }
        }
    }
}

/// Measures each step, which take `total` seconds, and says how much time is left.
fn measure_all(
    plan: &Plan,
    steps: &[Step],
    total: f64,
    results: &mut Results,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut done = 0.0;
    for (index, step) in steps.iter().enumerate() {
        let outcome = measure(plan, step);
        done += step.typical_seconds(plan);
        let remaining = started.elapsed().as_secs_f64() / done * (total - done);
        let said = match &outcome {
            Ok(sample) => format!("{:>12.0} {}/s", sample.rate(), step.workload.unit),
            Err(error) => format!("FAILED: {error}"),
        };
        eprintln!(
            "[{}/{}] round {} {} {}: {said}   {} left",
            index + 1,
            steps.len(),
            step.round,
            step.workload.name,
            step.engine,
            minutes(remaining)
        );
        match outcome {
            Ok(sample) => results.samples.push(sample),
            Err(error) => results.failures.push(format!(
                "{}, {}, round {}: {error}",
                step.workload.name, step.engine, step.round
            )),
        }
        // Keeps the measurements if the run is interrupted.
        write_samples(&plan.out, results)?;
    }
    Ok(())
}

pub fn report_again(again: &Again) -> Result<(), Failure> {
    let mut all: Option<Results> = None;
    for path in &again.samples {
        let more: Results = serde_json::from_str(&fs::read_to_string(path)?)?;
        match &mut all {
            None => all = Some(more),
            Some(all) => {
                all.engines.extend(more.engines);
                all.engines.sort_unstable();
                all.engines.dedup();
                all.samples.extend(more.samples);
                all.failures.extend(more.failures);
                all.about = format!("{}\n\n{}", all.about, more.about);
            }
        }
    }
    let all = all.ok_or("no samples")?;
    let sizes: BTreeSet<u64> = all.samples.iter().map(|sample| sample.entries).collect();
    if sizes.len() > 1 {
        return Err(format!("samples of {sizes:?} entries do not compare").into());
    }
    fs::create_dir_all(&again.out)?;
    write_samples(&again.out, &all)?;
    show(&again.out, &all)
}

fn write_samples(out: &Path, results: &Results) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(results)?;
    Ok(fs::write(out.join("samples.json"), text)?)
}

/// Writes tables and plots, and prints the tables.
fn show(out: &Path, results: &Results) -> Result<(), Failure> {
    let text = markdown(&Run {
        about: &results.about,
        engines: &results.engines,
        samples: &results.samples,
        failures: &results.failures,
    });
    fs::write(out.join("tables.md"), &text)?;
    for group in Group::ALL {
        let lines = lines(&results.samples, group);
        if !lines.is_empty() {
            let picture = out.join(format!("{}.svg", group.file_name()));
            plot::draw(&picture, group, &results.engines, &lines)?;
        }
    }
    println!("{text}");
    eprintln!("tables, samples and plots are in {}", out.display());
    Ok(())
}

/// Describes the program and the machine.
fn about(plan: &Plan) -> String {
    let first = |path: &str, name: &str| -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let processor = first("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    let memory = first("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".into());
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let versions: Vec<String> = Kind::ALL.into_iter().skip(1).map(version).collect();
    format!(
        "{}\n{} entries of 16 + 100 bytes (4 KiB: {}, 64 KiB: {}, open-after-kill: {}), {} rounds, {} s for reads and synced writes.\n\
         {processor}, {cores} cores, {memory} memory, Linux {}. Rivals: {}.",
        plan.about,
        plan.entries,
        Dataset::Values4k.entries(plan.entries),
        Dataset::Values64k.entries(plan.entries),
        Dataset::Killed.entries(plan.entries),
        plan.rounds,
        plan.seconds,
        system.trim(),
        versions.join(", ")
    )
}

/// A rival with its version from the lock file.
fn version(kind: Kind) -> String {
    let locked = |package: &str| {
        let lock = include_str!("../Cargo.lock");
        let name = format!("name = \"{package}\"\nversion = \"");
        let rest = lock.split_once(&name).map_or("?\"", |(_, rest)| rest);
        rest.split('"').next().unwrap_or("?").to_string()
    };
    match kind {
        Kind::Aidb => format!("AiDb {}", locked("aidb")),
        Kind::Rocksdb => format!("librocksdb-sys {}", locked("librocksdb-sys")),
        Kind::Fjall => format!("fjall {}", locked("fjall")),
        Kind::Leveldb => "LevelDB 1.23".into(),
        Kind::Lmdb => format!("LMDB of lmdb-master-sys {}", locked("lmdb-master-sys")),
        Kind::Redb => format!("redb {}", locked("redb")),
    }
}

pub fn minutes(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

fn dataset_path(plan: &Plan, engine: Kind, dataset: Dataset) -> PathBuf {
    plan.data.join(format!("{}-{engine}", dataset.name()))
}

fn prepare(plan: &Plan, engine: Kind, dataset: Dataset) -> Result<(), Failure> {
    plan.processes()
        .prepare(engine, dataset, &dataset_path(plan, engine, dataset), &[])
}

fn measure(plan: &Plan, step: &Step) -> Result<Sample, Failure> {
    let dataset = dataset_path(plan, step.engine, step.workload.dataset);
    plan.processes()
        .measure(step.engine, step.workload, &dataset, step.round, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_take_turns_and_no_engine_is_always_first() {
        let workloads = [&WORKLOADS[0], &WORKLOADS[1]];
        let engines = [Kind::Aidb, Kind::Fjall, Kind::Lmdb];
        let steps = steps(&workloads, &engines, 3);
        assert_eq!(steps.len(), 18);
        for turn in steps.chunks(3) {
            let mut taken: Vec<Kind> = turn.iter().map(|step| step.engine).collect();
            assert!(
                turn.iter()
                    .all(|step| step.workload.name == turn[0].workload.name)
            );
            taken.sort_unstable();
            assert_eq!(taken, engines);
        }
        let firsts: BTreeSet<Kind> = steps
            .chunks(3)
            .filter(|turn| turn[0].workload.name == WORKLOADS[0].name)
            .map(|turn| turn[0].engine)
            .collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn the_lock_file_knows_the_version_of_every_rival() {
        for kind in Kind::ALL {
            assert!(!version(kind).contains('?'), "{}", version(kind));
        }
    }
}
