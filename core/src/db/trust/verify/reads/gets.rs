//! Compares gets with the expected values of a sample of keys.

use super::message::wrong_answer;
use super::pair::pair_sum;
use super::readers::{Answer, Lookups};
use crate::content::Sum;
use crate::db::trust::verify::walk::LOOK_BYTES;
use crate::error::Result;
use crate::memory;
use crate::version::TOGETHER;

/// One key in this many is looked up.
pub(super) const SAMPLED_KEYS: u64 = 16;

/// Looks each sampled key up alone, and then in a group as large as those that `get_many` looks up at once.
pub(super) struct Gets<L> {
    lookups: L,
    keys: Vec<Vec<u8>>,
    /// The pair of each of the keys, as a sum and the bytes of its value; `None` if it should have no value.
    pairs: Vec<Option<(Sum, usize)>>,
    /// Bytes of the group's values.
    bytes: usize,
    differs: bool,
    differs_together: bool,
}

impl<L: Lookups> Gets<L> {
    pub(super) fn new(lookups: L) -> Gets<L> {
        Gets {
            lookups,
            keys: Vec::new(),
            pairs: Vec::new(),
            bytes: 0,
            differs: false,
            differs_together: false,
        }
    }

    pub(super) fn look_up(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        let answer = self.lookups.get(key, value)?;
        let bytes = value.map(<[u8]>::len);
        if answer != Answer::Right && !self.differs {
            self.differs = true;
            differences.push(wrong_answer("a get of", key, bytes, answer));
        }
        self.keys.push(memory::copy_of(key, "a key")?);
        self.pairs
            .push(value.map(|value| (pair_sum(key, value), value.len())));
        self.bytes += bytes.unwrap_or_default();
        // All values of a group are held at once.
        match self.keys.len() == TOGETHER || self.bytes >= LOOK_BYTES as usize {
            true => self.look_up_together(differences),
            false => Ok(()),
        }
    }

    fn look_up_together(&mut self, differences: &mut Vec<String>) -> Result<()> {
        let (keys, pairs) = (
            std::mem::take(&mut self.keys),
            std::mem::take(&mut self.pairs),
        );
        self.bytes = 0;
        debug_assert!(
            keys.len() == pairs.len() && keys.len() <= TOGETHER,
            "READS-3: each key has its expected pair"
        );
        let mut answers: Vec<_> = (pairs.iter())
            .map(|pair| match pair {
                Some(_) => Answer::Missing,
                None => Answer::Right,
            })
            .collect();
        self.lookups.get_many(&keys, &mut |place, value| {
            let found = Some(pair_sum(&keys[place], value));
            answers[place] = match found == pairs[place].map(|(sum, _)| sum) {
                true => Answer::Right,
                false => Answer::Another,
            };
        })?;
        let wrong = answers.iter().position(|answer| *answer != Answer::Right);
        if let Some(place) = wrong
            && !self.differs_together
        {
            self.differs_together = true;
            let bytes = pairs[place].map(|(_, bytes)| bytes);
            let call = "a get of many keys, among them";
            differences.push(wrong_answer(call, &keys[place], bytes, answers[place]));
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, differences: &mut Vec<String>) -> Result<()> {
        match self.keys.is_empty() {
            true => Ok(()),
            false => self.look_up_together(differences),
        }
    }
}
