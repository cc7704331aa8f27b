//! The tables, as Markdown.

use std::fmt::Write;

use crate::engines::Kind;
use crate::goals::{Better, ROWS, Unit};
use crate::measure::{Latency, Sample};
use crate::statistics::{Line, Spread};
use crate::workloads::{Group, WORKLOADS};

/// The description of a run, for the heads of the tables.
pub struct Run<'a> {
    pub about: &'a str,
    pub engines: &'a [Kind],
    pub samples: &'a [Sample],
    pub failures: &'a [String],
}

/// The rows of a group that have figures.
pub fn lines(samples: &[Sample], group: Group) -> Vec<Line> {
    ROWS.iter()
        .filter(|row| row.group == group)
        .filter_map(|row| Line::of(row, samples))
        .collect()
}

pub fn markdown(run: &Run<'_>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", run.about);
    text.push_str(
        "AiDb: median [smallest-largest] of the rounds. Rivals: median, in parentheses AiDb's median over theirs. Goal: what\n\
         AiDb is to reach beside the rival named; the last column is how much of it is reached, 1 being all. Where a row says\n\
         \"less\", less is better and a ratio below 1 is a win.\n",
    );
    for group in Group::ALL {
        let lines = lines(run.samples, group);
        if !lines.is_empty() {
            let _ = writeln!(text, "\n### {}\n", group.title());
            text.push_str(&group_table(run.engines, &lines));
        }
    }
    let all: Vec<Line> = ROWS
        .iter()
        .filter_map(|row| Line::of(row, run.samples))
        .collect();
    let _ = writeln!(text, "\n### Where a rival is ahead\n\n{}", behind(&all));
    let _ = writeln!(
        text,
        "\n### Processor time per operation, in microseconds\n\nOf all threads of the process while the clock ran; medians. In \
         parentheses a rival's over AiDb's: how many times as much it takes. What else the machine does changes this \
         far less than the clock.\n"
    );
    text.push_str(&per_workload(run, processor_time));
    let _ = writeln!(
        text,
        "\n### Latency of one call: p50 / p99 / p99.9 / largest\n\nMedians over the rounds. A call of fillbatch and multi-get is the whole batch, a call of a scan the whole scan.\n"
    );
    text.push_str(&per_workload(run, |samples, _| latency(samples)));
    if !run.failures.is_empty() {
        text.push_str("\n### Failures\n\n");
        for failure in run.failures {
            let _ = writeln!(text, "- {failure}");
        }
    }
    text
}

fn head(text: &mut String, first: &str, columns: &[String]) {
    let _ = writeln!(text, "| {first} | {} |", columns.join(" | "));
    let _ = writeln!(text, "| --- |{}", " ---: |".repeat(columns.len()));
}

fn group_table(engines: &[Kind], lines: &[Line]) -> String {
    let mut text = String::new();
    let mut columns: Vec<String> = engines.iter().map(|kind| kind.title().into()).collect();
    columns.extend(["AiDb / best LSM", "goal", "reached"].map(String::from));
    head(&mut text, "per second, unless marked", &columns);
    for line in lines {
        let mut cells: Vec<String> = engines.iter().map(|&kind| cell(line, kind)).collect();
        cells.push(line.ratio_to_best_lsm().map_or("-".into(), ratio));
        let goals: Vec<String> = line.row.goals.iter().map(|goal| goal.text()).collect();
        cells.push(goals.join(", "));
        cells.push(
            line.reached_of_goals()
                .map_or("-".into(), |part| match part >= 1.0 {
                    true => format!("**{}**", ratio(part)),
                    false => ratio(part),
                }),
        );
        let less = match line.row.better {
            Better::More => "",
            Better::Less => " (less)",
        };
        let _ = writeln!(text, "| {}{less} | {} |", line.row.label, cells.join(" | "));
    }
    text
}

fn ratio(ratio: f64) -> String {
    Unit::Ratio.show(ratio)
}

fn cell(line: &Line, kind: Kind) -> String {
    let unit = line.row.unit;
    match (line.spreads.get(&kind), line.ratio(kind)) {
        (None, _) => "-".into(),
        (Some(spread), _) if kind == Kind::Aidb => format!(
            "{} [{}-{}]",
            unit.show(spread.median),
            unit.show(spread.low),
            unit.show(spread.high)
        ),
        (Some(spread), Some(times)) => format!("{} ({})", unit.show(spread.median), ratio(times)),
        (Some(spread), None) => unit.show(spread.median),
    }
}

/// AiDb's losses, in a sentence each.
fn behind(lines: &[Line]) -> String {
    let losses: Vec<String> = lines
        .iter()
        .filter(|line| line.is_behind())
        .map(|line| {
            let ahead: Vec<String> = Kind::ALL
                .into_iter()
                .filter_map(|kind| Some((kind, line.ratio(kind)?)))
                .filter(|&(_, times)| match line.row.better {
                    Better::More => times < 1.0,
                    Better::Less => times > 1.0,
                })
                .map(|(kind, times)| format!("{kind} ({})", ratio(times)))
                .collect();
            format!("- {}: {}", line.row.label, ahead.join(", "))
        })
        .collect();
    match losses.is_empty() {
        true => "Nowhere in this run.".into(),
        false => losses.join("\n"),
    }
}

/// A row for each workload that ran, and a cell for each engine, made from its samples and AiDb's.
fn per_workload(run: &Run<'_>, show: impl Fn(&[&Sample], &[&Sample]) -> Option<String>) -> String {
    let mut text = String::new();
    let columns: Vec<String> = run.engines.iter().map(|kind| kind.title().into()).collect();
    head(&mut text, "", &columns);
    for workload in WORKLOADS {
        let of_engine = |kind: Kind| -> Vec<&Sample> {
            let samples = run.samples.iter();
            samples
                .filter(|sample| sample.engine == kind && sample.workload == workload.name)
                .collect()
        };
        let ours = of_engine(Kind::Aidb);
        let cells: Vec<String> = run
            .engines
            .iter()
            .map(|&kind| show(&of_engine(kind), &ours).unwrap_or_else(|| "-".into()))
            .collect();
        if cells.iter().any(|cell| cell != "-") {
            let _ = writeln!(text, "| {} | {} |", workload.name, cells.join(" | "));
        }
    }
    text
}

fn processor_time(samples: &[&Sample], ours: &[&Sample]) -> Option<String> {
    let micros = |samples: &[&Sample]| -> Option<f64> {
        let spread = Spread::of(samples.iter().map(|sample| sample.cpu_micros()).collect())?;
        Some(spread.median)
    };
    let median = micros(samples)?;
    let shown = match median < 0.995 {
        true => format!("{median:.3}"),
        false => ratio(median),
    };
    match micros(ours) {
        Some(ours) if samples[0].engine != Kind::Aidb => {
            Some(format!("{shown} ({})", ratio(median / ours)))
        }
        _ => Some(shown),
    }
}

fn latency(samples: &[&Sample]) -> Option<String> {
    let median = |part: fn(&Latency) -> u64| -> Option<String> {
        let values = samples.iter().map(|sample| part(&sample.latency) as f64);
        Some(nanos(Spread::of(values.collect())?.median))
    };
    Some(format!(
        "{} / {} / {} / {}",
        median(|latency| latency.p50)?,
        median(|latency| latency.p99)?,
        median(|latency| latency.p999)?,
        median(|latency| latency.max)?
    ))
}

/// With the unit that keeps it readable.
fn nanos(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 1e6 => format!("{} µs", ratio(nanos / 1e3)),
        nanos if nanos < 1e9 => format!("{} ms", ratio(nanos / 1e6)),
        nanos => format!("{} s", ratio(nanos / 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::sample;

    #[test]
    fn a_table_shows_ratios_goals_and_losses() {
        let samples = [
            sample(Kind::Aidb, "fillseq", 1.0),
            sample(Kind::Aidb, "fillseq", 2.0),
            sample(Kind::Aidb, "fillseq", 1.0),
            sample(Kind::Leveldb, "fillseq", 2.0),
            sample(Kind::Lmdb, "fillseq", 0.5),
        ];
        let text = markdown(&Run {
            about: "Commit 1234567.",
            engines: &[Kind::Aidb, Kind::Leveldb, Kind::Lmdb],
            samples: &samples,
            failures: &["scan, redb: entry 3 is lost".into()],
        });
        let wanted = "| per second, unless marked | AiDb | LevelDB | LMDB | AiDb / best LSM | goal | reached |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n\
             | fillseq | 1.00k [500-1.00k] | 500 (2.00) | 2.00k (0.50) | 2.00 | 2 x the best | 0.25 |\n";
        assert!(text.contains(wanted), "{text}");
        assert!(text.starts_with("Commit 1234567.\n"), "{text}");
        assert!(text.contains("- fillseq: LMDB (0.50)\n"), "{text}");
        assert!(
            text.contains("| fillseq | 1000 | 2000 (2.00) | 500 (0.50) |"),
            "{text}"
        );
        let latencies = "0.90 µs / 20.0 µs / 3.00 ms / 4.00 s";
        assert!(text.contains(latencies), "{text}");
        assert!(
            text.contains("### Failures\n\n- scan, redb: entry 3 is lost\n"),
            "{text}"
        );
    }

    #[test]
    fn what_did_not_run_leaves_a_dash_and_no_row() {
        let samples = [
            sample(Kind::Aidb, "scan", 1.0),
            sample(Kind::Fjall, "fillseq", 1.0),
        ];
        let text = markdown(&Run {
            about: "",
            engines: &[Kind::Aidb, Kind::Fjall],
            samples: &samples,
            failures: &[],
        });
        assert!(
            text.contains("| fillseq | - | 1.00k | - | 2 x the best | - |"),
            "{text}"
        );
        assert!(!text.contains("overwrite"), "{text}");
        assert!(!text.contains("Failures"), "{text}");
        assert!(text.contains("Nowhere in this run."), "{text}");
    }

    #[test]
    fn a_row_where_less_is_better_says_so() {
        let samples = [
            sample(Kind::Aidb, "open-after-kill", 0.1),
            sample(Kind::Fjall, "open-after-kill", 1.0),
        ];
        let lines = lines(&samples, Group::Resources);
        let table = group_table(&[Kind::Aidb, Kind::Fjall], &lines);
        let wanted = "| open-after-kill (less) | 100 ms [100 ms-100 ms] | 1000 ms (0.10) | 0.10 | 0.2 x the best LSM | **2.00** |";
        assert!(table.contains(wanted), "{table}");
    }
}
