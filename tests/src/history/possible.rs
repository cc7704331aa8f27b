//! What a database may hold: surely now, and after its process died or the power went.
//!
//! * POSSIBLE-1  While it is open its contents are known exactly: a write that failed is seen as a whole or not at all, and
//!               which of the two its sequence number tells.
//! * POSSIBLE-2  After the process died they are those of all acknowledged writes, and perhaps of failed ones after them.
//! * POSSIBLE-3  After a power cut they are those of some prefix of the writes that ends at or after the last durable one.
//! * POSSIBLE-4  A failed write that was not seen may still be the last of such a prefix.

use crate::{Model, shown};

use super::operation::Entry;

struct Write {
    entries: Vec<Entry>,
    acknowledged: bool,
}

/// The states a database may be in.
#[derive(Default)]
pub struct Possible {
    /// What a power cut cannot take away.
    durable: Model,
    /// The writes since, in order.
    writes: Vec<Write>,
    /// Failed writes that were not seen, each with how many of `writes` come before it.
    unseen: Vec<(usize, Vec<Entry>)>,
    /// The power went since the database was last opened.
    cut: bool,
    /// What the open database holds (POSSIBLE-1).
    pub now: Model,
}

fn apply(model: &mut Model, entries: &[Entry]) {
    for (key, content) in entries {
        match content {
            Some(content) => model.put(key, &content.bytes()),
            None => model.delete(key),
        }
    }
}

impl Possible {
    /// A write that readers see.
    pub fn wrote(&mut self, entries: &[Entry], acknowledged: bool) {
        apply(&mut self.now, entries);
        self.writes.push(Write {
            entries: entries.to_vec(),
            acknowledged,
        });
    }

    /// A write that failed and that readers do not see.
    pub fn failed_unseen(&mut self, entries: &[Entry]) {
        self.unseen.push((self.writes.len(), entries.to_vec()));
    }

    /// Everything so far survives a loss of power.
    pub fn all_durable(&mut self) {
        for write in self.writes.drain(..) {
            apply(&mut self.durable, &write.entries);
        }
        self.unseen.clear();
    }

    /// The power goes.
    pub fn power_cut(&mut self) {
        self.cut = true;
    }

    /// Whether the end of the process changes nothing: all that was written is there, and nothing else can be.
    pub fn is_certain(&self) -> bool {
        self.unseen.is_empty() && self.writes.iter().all(|write| write.acknowledged)
    }

    /// The database was opened again and holds `found`. Errors: what is wrong with that.
    pub fn reopened(&mut self, found: Model) -> Result<(), String> {
        let acknowledged = self.writes.iter().rposition(|write| write.acknowledged);
        let fewest = match self.cut {
            true => 0,
            false => acknowledged.map_or(0, |last| last + 1),
        };
        let mut state = self.durable.clone();
        let mut at_least = None;
        let mut reached: Option<(usize, Option<Vec<Entry>>)> = None;
        for count in 0..=self.writes.len() {
            if let Some(last) = count.checked_sub(1) {
                apply(&mut state, &self.writes[last].entries);
            }
            if count < fewest {
                continue;
            }
            if at_least.is_none() {
                at_least = Some(state.clone());
            }
            for (_, entries) in self.unseen.iter().filter(|(behind, _)| *behind == count) {
                let mut with = state.clone();
                apply(&mut with, entries);
                if with == found {
                    reached = Some((count, Some(entries.clone())));
                }
            }
            if state == found {
                reached = Some((count, None));
            }
        }
        let Some((count, unseen)) = reached else {
            return Err(format!(
                "no prefix of the writes gives what is there after {}: {} writes since the durable state, at least \
                 {fewest} had to survive\n  beside the least that had to survive: {}\n  beside all writes: {}",
                if self.cut { "a power cut" } else { "reopening" },
                self.writes.len(),
                difference(&at_least.unwrap_or_default(), &found),
                difference(&state, &found),
            ));
        };
        self.writes.truncate(count);
        self.unseen.clear();
        if let Some(entries) = unseen {
            self.writes.push(Write {
                entries,
                acknowledged: true,
            });
        }
        if self.cut {
            // What the disk holds now was never anywhere else.
            self.durable = found.clone();
            self.writes.clear();
        }
        for write in &mut self.writes {
            write.acknowledged = true;
        }
        self.cut = false;
        self.now = found;
        Ok(())
    }
}

/// The first keys at which two states differ.
pub fn difference(expected: &Model, found: &Model) -> String {
    let text = |value: Option<&[u8]>| match value {
        Some(value) => {
            let tag: Vec<u8> = value.iter().take(4).copied().collect();
            match <[u8; 4]>::try_from(tag) {
                Ok(tag) => format!("{} bytes with tag {}", value.len(), u32::from_le_bytes(tag)),
                Err(_) => format!("{} bytes", value.len()),
            }
        }
        None => "nothing".to_string(),
    };
    let mut keys: Vec<&[u8]> = expected
        .iter()
        .chain(found.iter())
        .map(|(key, _)| key)
        .collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| expected.get(key) != found.get(key));
    let texts: Vec<String> = keys
        .iter()
        .take(5)
        .map(|key| {
            format!(
                "\"{}\" has {} instead of {}",
                shown(key),
                text(found.get(key)),
                text(expected.get(key))
            )
        })
        .collect();
    format!("{} keys differ: {}", keys.len(), texts.join("; "))
}
