//! Measures AiDb's options: for each, AiDb with it against AiDb in the common configuration, in interleaved rounds and
//! separate processes. docs/tuning.md has the results of the last run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::compare::minutes;
use crate::engines::{Failure, Kind};
use crate::measure::Sample;
use crate::processes::Processes;
use crate::statistics::Spread;
use crate::workloads::{Dataset, workload};

/// The command-line options of a run.
#[derive(clap::Args)]
pub struct Plan {
    /// Entries of the workloads
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000_000))]
    entries: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long reads run, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// The directory of the stores during the run
    #[arg(long)]
    data: PathBuf,
    /// Options to try, as NAME=VALUE:WORKLOAD,WORKLOAD; by default those of docs/tuning.md
    trials: Vec<String>,
}

/// The trials that docs/tuning.md describes.
const TRIALS: &[&str] = &[
    "block_cache_size=8MiB:readrandom",
    "block_cache_size=32MiB:readrandom",
    "bloom_bits_per_key=0:readmissing,scan",
    "bloom_bits_per_key=16:readmissing,readrandom",
    "write_buffer_size=4MiB:fillrandom,fillsettled",
    "write_buffer_size=256MiB:fillrandom,fillsettled",
    "compression=none:fillsettled,readrandom,readrandom-tinycache",
    "compression=lz4:fillsettled,readrandom-tinycache",
    "compression=zstd:fillsettled,readrandom-tinycache",
    "block_size=1KiB:readrandom-tinycache,readrandom",
    "block_size=16KiB:fillsettled,readrandom,readrandom-tinycache,scan",
    "level0_compaction_trigger=8:fillsettled,overwrite",
    "background_threads=1:fillsettled,overwrite",
];

/// A value of one option, and the workloads to try it on. The common configuration has no setting.
struct Trial {
    setting: Option<String>,
    workloads: Vec<String>,
}

impl Trial {
    fn parse(text: &str) -> Result<Trial, Failure> {
        let (setting, workloads) = text
            .rsplit_once(':')
            .filter(|(setting, _)| setting.contains('='))
            .ok_or_else(|| format!("expected NAME=VALUE:WORKLOAD,..., not {text}"))?;
        let workloads: Vec<String> = workloads.split(',').map(str::to_string).collect();
        if let Some(unknown) = workloads.iter().find(|name| workload(name).is_none()) {
            return Err(format!("no workload {unknown}; `list` names them").into());
        }
        Ok(Trial {
            setting: Some(setting.to_string()),
            workloads,
        })
    }

    fn name(&self) -> &str {
        self.setting.as_deref().unwrap_or("as it is")
    }
}

pub fn tune(plan: &Plan) -> Result<(), Failure> {
    let texts: Vec<&str> = match plan.trials.is_empty() {
        true => TRIALS.to_vec(),
        false => plan.trials.iter().map(String::as_str).collect(),
    };
    let mut trials: Vec<Trial> = texts
        .into_iter()
        .map(Trial::parse)
        .collect::<Result<_, _>>()?;
    let all: BTreeSet<String> = trials
        .iter()
        .flat_map(|trial| trial.workloads.iter().cloned())
        .collect();
    trials.insert(
        0,
        Trial {
            setting: None,
            workloads: all.iter().cloned().collect(),
        },
    );

    let processes = Processes {
        entries: plan.entries,
        seconds: plan.seconds,
        data: &plan.data,
    };
    let _ = fs::remove_dir_all(&plan.data);
    fs::create_dir_all(&plan.data)?;
    let count: usize = trials.iter().map(|trial| trial.workloads.len()).sum();
    let (mut done, count) = (0, count * plan.rounds as usize);
    eprintln!("{} settings, {count} processes", trials.len());
    let mut samples: BTreeMap<(String, String), Vec<Sample>> = BTreeMap::new();
    let started = std::time::Instant::now();
    // Workload by workload, so that compared runs are close together.
    for name in &all {
        let workload = workload(name).ok_or("parse has checked it")?;
        for round in 1..=plan.rounds {
            for (index, trial) in trials.iter().enumerate() {
                if !trial.workloads.contains(name) {
                    continue;
                }
                let settings: Vec<String> = trial.setting.iter().cloned().collect();
                let dataset = plan
                    .data
                    .join(format!("{}-{index}", workload.dataset.name()));
                if workload.dataset != Dataset::Nothing && !dataset.exists() {
                    processes.prepare(Kind::Aidb, workload.dataset, &dataset, &settings)?;
                }
                let sample = processes.measure(Kind::Aidb, workload, &dataset, round, &settings)?;
                done += 1;
                let left = started.elapsed().as_secs_f64() / done as f64 * (count - done) as f64;
                eprintln!(
                    "[{done}/{count}] round {round} {name} {}: {:.0} {}/s   {} left",
                    trial.name(),
                    sample.rate(),
                    workload.unit,
                    minutes(left)
                );
                let key = (trial.name().to_string(), name.clone());
                samples.entry(key).or_default().push(sample);
            }
        }
    }
    let _ = fs::remove_dir_all(&plan.data);
    println!("{}", table(&trials, &samples)?);
    Ok(())
}

/// Each figure with the option, divided by the same without.
fn table(
    trials: &[Trial],
    samples: &BTreeMap<(String, String), Vec<Sample>>,
) -> Result<String, Failure> {
    let mut text = String::from(
        "| option | workload | rate | processor time | peak memory | bytes on disk | bytes written |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let base = &trials[0];
    let median = |trial: &Trial, name: &str, figure: fn(&Sample) -> f64| -> Option<f64> {
        let key = (trial.name().to_string(), name.to_string());
        let values = samples.get(&key)?.iter().map(figure).collect();
        Some(Spread::of(values)?.median)
    };
    for trial in &trials[1..] {
        for name in &trial.workloads {
            write!(text, "| `{}` | {name} |", trial.name().replace('=', " "))?;
            let figures: [fn(&Sample) -> f64; 5] = [
                Sample::rate,
                Sample::cpu_micros,
                |sample| sample.peak_memory_bytes as f64,
                |sample| sample.disk_bytes.unwrap_or(0) as f64,
                |sample| sample.io.write_bytes as f64,
            ];
            for figure in figures {
                let with = median(trial, name, figure).filter(|figure| *figure > 0.0);
                let without = median(base, name, figure).filter(|figure| *figure > 0.0);
                match with.zip(without) {
                    Some((with, without)) => write!(text, " {:.2} |", with / without)?,
                    None => text.push_str(" |"),
                }
            }
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::sample;

    #[test]
    fn every_trial_names_an_option_and_workloads() {
        for text in TRIALS {
            let trial = Trial::parse(text).unwrap();
            let setting = trial.setting.unwrap();
            let (name, value) = setting.split_once('=').unwrap();
            aidb::Options::new().set(name, value).unwrap();
        }
        assert!(Trial::parse("block_size=1KiB").is_err());
        assert!(Trial::parse("block_size:scan").is_err());
        assert!(Trial::parse("block_size=1KiB:skim").is_err());
    }

    #[test]
    fn the_table_has_ratios_to_the_same_workload_without_the_option() {
        let trials = [
            Trial {
                setting: None,
                workloads: vec!["scan".into()],
            },
            Trial::parse("block_size=1KiB:scan").unwrap(),
        ];
        let of = |seconds| vec![sample(Kind::Aidb, "scan", seconds)];
        let samples = BTreeMap::from([
            (("as it is".to_string(), "scan".to_string()), of(2.0)),
            (("block_size=1KiB".to_string(), "scan".to_string()), of(4.0)),
        ]);
        let text = table(&trials, &samples).unwrap();
        assert!(
            text.contains("| `block_size 1KiB` | scan | 0.50 |"),
            "{text}"
        );
    }
}
