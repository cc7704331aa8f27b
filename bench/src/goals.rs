//! The rows of the tables: the figure of a workload, and AiDb's goal against its rivals.

use crate::engines::Kind;
use crate::measure::Sample;
use crate::workloads::Group;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// The rival to which a goal refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    Best,
    BestLsm,
    One(Kind),
}

#[derive(Debug)]
pub struct Goal {
    pub factor: f64,
    pub against: Against,
}

impl Goal {
    pub fn text(&self) -> String {
        let rival = match self.against {
            Against::Best => "the best",
            Against::BestLsm => "the best LSM",
            Against::One(kind) => kind.title(),
        };
        match self.factor {
            1.0 => rival.to_string(),
            factor => format!("{factor} x {rival}"),
        }
    }
}

#[derive(Debug)]
pub struct Row {
    pub group: Group,
    pub label: &'static str,
    pub workload: &'static str,
    pub unit: Unit,
    pub better: Better,
    pub figure: fn(&Sample) -> Option<f64>,
    pub goals: &'static [Goal],
}

/// The format of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    PerSecond,
    Milliseconds,
    Mebibytes,
    Ratio,
}

impl Unit {
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond if value >= 999.5e3 => format!("{}M", digits(value / 1e6)),
            Unit::PerSecond if value >= 999.5 => format!("{}k", digits(value / 1e3)),
            Unit::Milliseconds if value < 0.0995 => format!("{} µs", digits(value * 1e3)),
            Unit::Milliseconds => format!("{} ms", digits(value)),
            Unit::Mebibytes => format!("{value:.0} MiB"),
            Unit::PerSecond | Unit::Ratio => digits(value),
        }
    }
}

/// Rounds to about three digits.
fn digits(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn rate(sample: &Sample) -> Option<f64> {
    Some(sample.rate())
}

fn milliseconds(sample: &Sample) -> Option<f64> {
    Some(sample.seconds * 1e3)
}

/// The only call, without the time that the bench takes for its own start.
fn one_call(sample: &Sample) -> Option<f64> {
    Some(sample.latency.max as f64 / 1e6)
}

fn peak_mebibytes(sample: &Sample) -> Option<f64> {
    Some(sample.peak_memory_bytes as f64 / f64::from(1 << 20))
}

fn space(sample: &Sample) -> Option<f64> {
    Some(sample.disk_bytes? as f64 / sample.user_bytes as f64)
}

fn written(sample: &Sample) -> Option<f64> {
    Some(sample.io.write_bytes as f64 / sample.user_bytes as f64)
}

const fn goal(factor: f64, against: Against) -> Goal {
    Goal { factor, against }
}

const LMDB: Against = Against::One(Kind::Lmdb);
const ROCKSDB: Against = Against::One(Kind::Rocksdb);

macro_rules! rows {
    ($($group:ident $label:literal $workload:literal $unit:ident $better:ident $figure:ident [$($factor:literal $against:expr),*];)*) => {
        /// Every row, in the order of the tables.
        pub const ROWS: &[Row] = &[$(Row {
            group: Group::$group,
            label: $label,
            workload: $workload,
            unit: Unit::$unit,
            better: Better::$better,
            figure: $figure,
            goals: &[$(goal($factor, $against)),*],
        },)*];
    };
}

rows! {
    Writes "fillseq" "fillseq" PerSecond More rate [2.0 Against::Best];
    Writes "fillrandom, 1 thread" "fillrandom" PerSecond More rate [3.0 Against::Best];
    Writes "fillrandom, 2 threads" "fillrandom-2" PerSecond More rate [4.0 Against::Best];
    Writes "fillrandom until settled" "fillsettled" PerSecond More rate [2.0 Against::Best];
    Writes "overwrite" "overwrite" PerSecond More rate [3.0 Against::Best];
    Writes "fillbatch 100" "fillbatch-100" PerSecond More rate [3.0 Against::Best];
    Writes "fillbatch 1000" "fillbatch-1000" PerSecond More rate [3.0 Against::Best];
    Writes "fillsync, 1 thread" "fillsync-1" PerSecond More rate [1.1 Against::Best];
    Writes "fillsync, 4 threads" "fillsync-4" PerSecond More rate [2.0 Against::Best];
    Writes "fillsync, 8 threads" "fillsync-8" PerSecond More rate [2.0 Against::Best];
    Writes "deleterandom" "deleterandom" PerSecond More rate [2.5 Against::Best];

    PointReads "readrandom, 1 thread" "readrandom" PerSecond More rate [1.2 LMDB, 3.5 ROCKSDB];
    PointReads "readrandom, 2 threads" "readrandom-2" PerSecond More rate [3.0 ROCKSDB, 1.0 LMDB];
    PointReads "readrandom, 4 threads" "readrandom-4" PerSecond More rate [3.0 ROCKSDB, 1.0 LMDB];
    PointReads "readrandom, unsettled tree" "readunsettled" PerSecond More rate [2.5 ROCKSDB];
    PointReads "readmissing" "readmissing" PerSecond More rate [2.0 Against::Best];
    PointReads "multi-get of 100, keys" "multiget-100" PerSecond More rate [2.0 LMDB];
    PointReads "readwhilewriting" "readwhilewriting" PerSecond More rate [3.0 Against::BestLsm];
    PointReads "readrandom, cache far too small" "readrandom-tinycache" PerSecond More rate [1.5 Against::BestLsm];

    Ranges "seek + 10 next" "seek-next-10" PerSecond More rate [1.0 LMDB];
    Ranges "seek + 100 next" "seek-next-100" PerSecond More rate [1.0 LMDB];
    Ranges "seek + 10 prev" "seek-prev-10" PerSecond More rate [1.0 LMDB];
    Ranges "full scan, entries" "scan" PerSecond More rate [2.0 Against::BestLsm, 1.0 LMDB];
    Ranges "full scan in reverse, entries" "scan-reverse" PerSecond More rate [4.0 Against::BestLsm, 1.0 LMDB];

    Ycsb "A: half updates" "ycsb-a" PerSecond More rate [1.5 Against::BestLsm];
    Ycsb "B: 5 % updates" "ycsb-b" PerSecond More rate [1.5 Against::BestLsm];
    Ycsb "C: reads" "ycsb-c" PerSecond More rate [1.5 Against::BestLsm];
    Ycsb "D: newest entries, 5 % inserts" "ycsb-d" PerSecond More rate [1.5 Against::BestLsm];
    Ycsb "E: short ranges, 5 % inserts" "ycsb-e" PerSecond More rate [3.0 ROCKSDB];
    Ycsb "F: half read-modify-writes" "ycsb-f" PerSecond More rate [1.5 Against::BestLsm];

    LargeValues "fillrandom, 4 KiB" "fill-4k" PerSecond More rate [1.3 Against::BestLsm];
    LargeValues "readrandom, 4 KiB" "read-4k" PerSecond More rate [1.5 Against::BestLsm];
    LargeValues "fillrandom, 64 KiB" "fill-64k" PerSecond More rate [1.3 Against::BestLsm];
    LargeValues "readrandom, 64 KiB" "read-64k" PerSecond More rate [2.0 Against::BestLsm];

    DataModel "get + put" "get-put" PerSecond More rate [1.5 Against::BestLsm];
    DataModel "the same in a transaction" "txn" PerSecond More rate [1.0 Against::Best];
    DataModel "deleting a range of all entries" "delete-range" Milliseconds Less one_call [1.0 Against::Best];
    DataModel "the first entry after that" "first-after-delete-range" Milliseconds Less one_call [1.0 Against::Best];

    Resources "open-after-kill" "open-after-kill" Milliseconds Less milliseconds [0.2 Against::BestLsm];
    Resources "peak memory, fillrandom" "fillrandom" Mebibytes Less peak_mebibytes [1.0 ROCKSDB];
    Resources "peak memory, readrandom" "readrandom" Mebibytes Less peak_mebibytes [1.0 ROCKSDB];
    Resources "space amplification" "fillsettled" Ratio Less space [1.0 Against::BestLsm];
    Resources "write amplification" "fillsettled" Ratio Less written [1.0 Against::BestLsm];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::{WORKLOADS, workload};

    #[test]
    fn every_row_has_its_workload_and_every_workload_a_row() {
        for row in ROWS {
            assert!(workload(row.workload).is_some(), "{}", row.label);
        }
        for workload in WORKLOADS {
            let shown = ROWS.iter().any(|row| row.workload == workload.name);
            assert!(shown, "{} is measured and not shown", workload.name);
        }
    }

    #[test]
    fn figures_have_about_three_digits() {
        assert_eq!(Unit::PerSecond.show(12_345_678.0), "12.3M");
        assert_eq!(Unit::PerSecond.show(999_600.0), "1.00M");
        assert_eq!(Unit::PerSecond.show(167_400.0), "167k");
        assert_eq!(Unit::PerSecond.show(4_812.0), "4.81k");
        assert_eq!(Unit::PerSecond.show(12.0), "12.0");
        assert_eq!(Unit::Milliseconds.show(0.5), "0.50 ms");
        assert_eq!(Unit::Milliseconds.show(0.0425), "42.5 µs");
        assert_eq!(Unit::Ratio.show(0.914), "0.91");
    }

    #[test]
    fn a_goal_names_its_rival() {
        assert_eq!(goal(3.0, Against::Best).text(), "3 x the best");
        assert_eq!(goal(1.0, LMDB).text(), "LMDB");
        assert_eq!(goal(0.2, Against::BestLsm).text(), "0.2 x the best LSM");
    }
}
