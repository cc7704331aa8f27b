//! Combines the rounds of a run: medians, ranges, ratios, and how near a goal is.

use std::collections::BTreeMap;

use crate::engines::Kind;
use crate::goals::{Against, Better, Goal, Row};
use crate::measure::Sample;

/// One figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// `None` without values. For an even number of values the median is the mean of the middle two.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Spread { median, low, high })
    }
}

/// One row of the tables: the results of each engine.
#[derive(Debug, Clone)]
pub struct Line {
    pub row: &'static Row,
    pub spreads: BTreeMap<Kind, Spread>,
}

impl Line {
    /// `None` if no engine has the figure.
    pub fn of(row: &'static Row, samples: &[Sample]) -> Option<Line> {
        let mut values: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
        let of_row = samples
            .iter()
            .filter(|sample| sample.workload == row.workload);
        for sample in of_row {
            if let Some(value) = (row.figure)(sample) {
                values.entry(sample.engine).or_default().push(value);
            }
        }
        let spreads: BTreeMap<Kind, Spread> = values
            .into_iter()
            .filter_map(|(kind, values)| Some((kind, Spread::of(values)?)))
            .collect();
        (!spreads.is_empty()).then_some(Line { row, spreads })
    }

    fn median(&self, kind: Kind) -> Option<f64> {
        Some(self.spreads.get(&kind)?.median)
    }

    /// AiDb's median over a rival's.
    pub fn ratio(&self, rival: Kind) -> Option<f64> {
        Some(self.median(Kind::Aidb)? / self.median(rival)?)
    }

    /// AiDb's median over the median of the best of some rivals.
    fn ratio_to_best(&self, wanted: impl Fn(Kind) -> bool) -> Option<f64> {
        let rivals = Kind::ALL.into_iter().skip(1).filter(|&kind| wanted(kind));
        let medians = rivals.filter_map(|kind| self.median(kind));
        let best = match self.row.better {
            Better::More => medians.max_by(f64::total_cmp),
            Better::Less => medians.min_by(f64::total_cmp),
        };
        Some(self.median(Kind::Aidb)? / best?)
    }

    pub fn ratio_to_best_lsm(&self) -> Option<f64> {
        self.ratio_to_best(Kind::is_rival_lsm)
    }

    /// Which part of a goal AiDb reaches: 1 is all of it. `None` if the rival did not run.
    fn reached(&self, goal: &Goal) -> Option<f64> {
        let ratio = match goal.against {
            Against::Best => self.ratio_to_best(|_| true),
            Against::BestLsm => self.ratio_to_best_lsm(),
            Against::One(rival) => self.ratio(rival),
        }?;
        Some(match self.row.better {
            Better::More => ratio / goal.factor,
            Better::Less => goal.factor / ratio,
        })
    }

    /// Which part of the row's goals AiDb reaches: the smallest that is known.
    pub fn reached_of_goals(&self) -> Option<f64> {
        let parts = self.row.goals.iter().filter_map(|goal| self.reached(goal));
        parts.min_by(f64::total_cmp)
    }

    /// Whether some rival is better.
    pub fn is_behind(&self) -> bool {
        match (self.ratio_to_best(|_| true), self.row.better) {
            (Some(ratio), Better::More) => ratio < 1.0,
            (Some(ratio), Better::Less) => ratio > 1.0,
            (None, _) => false,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::goals::ROWS;
    use crate::measure::{Io, Latency};

    pub fn sample(engine: Kind, workload: &str, seconds: f64) -> Sample {
        Sample {
            engine,
            workload: workload.to_string(),
            round: 1,
            entries: 1000,
            operations: 1000,
            seconds,
            cpu_seconds: seconds,
            latency: Latency {
                p50: 900,
                p99: 20_000,
                p999: 3_000_000,
                max: 4_000_000_000,
            },
            peak_memory_bytes: 100 << 20,
            memory_before_bytes: 1 << 20,
            user_bytes: 116_000,
            io: Io {
                write_bytes: 232_000,
                ..Io::default()
            },
            disk_bytes: Some(58_000),
            companion_rate: None,
        }
    }

    fn row(label: &str) -> &'static Row {
        ROWS.iter().find(|row| row.label == label).unwrap()
    }

    #[test]
    fn the_median_of_even_and_odd_numbers_of_rounds() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.low, odd.median, odd.high), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(vec![7.0]).unwrap().median, 7.0);
        assert_eq!(Spread::of(vec![]), None);
    }

    #[test]
    fn a_goal_is_measured_against_the_best_rival_that_it_names() {
        let samples = [
            sample(Kind::Aidb, "fillseq", 1.0),
            sample(Kind::Rocksdb, "fillseq", 2.0),
            sample(Kind::Leveldb, "fillseq", 1.25),
            sample(Kind::Lmdb, "fillseq", 0.8),
        ];
        let line = Line::of(row("fillseq"), &samples).unwrap();
        assert_eq!(line.ratio(Kind::Rocksdb), Some(2.0));
        assert_eq!(line.ratio_to_best_lsm(), Some(1.25));
        assert_eq!(line.ratio(Kind::Fjall), None);
        // Twice the value of the best, which is LMDB here.
        assert_eq!(line.reached_of_goals(), Some(0.4));
        assert!(line.is_behind());
    }

    #[test]
    fn less_is_better_where_a_row_says_so() {
        let samples = [
            sample(Kind::Aidb, "open-after-kill", 0.1),
            sample(Kind::Rocksdb, "open-after-kill", 0.8),
            sample(Kind::Fjall, "open-after-kill", 1.0),
        ];
        let line = Line::of(row("open-after-kill"), &samples).unwrap();
        assert_eq!(line.ratio_to_best_lsm(), Some(0.125));
        assert_eq!(line.reached_of_goals(), Some(1.6));
        assert!(!line.is_behind());
    }

    #[test]
    fn without_rivals_there_is_no_ratio_and_nothing_is_behind() {
        let line = Line::of(row("fillseq"), &[sample(Kind::Aidb, "fillseq", 1.0)]).unwrap();
        assert_eq!(line.reached_of_goals(), None);
        assert!(!line.is_behind());
        assert!(Line::of(row("fillseq"), &[]).is_none());
    }

    #[test]
    fn amplification_is_per_byte_of_the_user() {
        let samples = [sample(Kind::Aidb, "fillsettled", 1.0)];
        let space = Line::of(row("space amplification"), &samples).unwrap();
        assert_eq!(space.spreads[&Kind::Aidb].median, 0.5);
        let write = Line::of(row("write amplification"), &samples).unwrap();
        assert_eq!(write.spreads[&Kind::Aidb].median, 2.0);
    }
}
