//! The writes of a writer that will be killed. Its seed decides every batch, so that a later reader can tell what the
//! database must hold.

use aidb::{DB, Result};

use crate::history::{Content, Entry, apply, difference};
use crate::{Fill, Model, Random, Sizes};

/// The sizes of keys; few are long.
const KEYS: Sizes = Sizes::new((1 << 16) + 1, 500);

/// The key under which `writer` keeps the number of its last batch.
pub fn counter_key(writer: u64) -> [u8; 2] {
    [writer as u8, b'#']
}

/// Batch `number` of `writer`, and whether it is synced. Each batch holds the writer's counter, so each number of
/// batches makes another state.
pub fn batch(seed: u64, writer: u64, number: u64) -> (Vec<Entry>, bool) {
    let mut random =
        Random::new(seed ^ (writer << 56) ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    random.next();
    let count = match random.below(4) {
        0 => 1 + random.below(20),
        _ => 1,
    };
    let mut entries: Vec<Entry> = (0..count)
        .map(|_| {
            let key = [vec![writer as u8], random.any_key(&KEYS)].concat();
            if random.one_in(12) {
                let mut end = key.clone();
                // Keys that begin alike, or all that are larger, but none of another writer.
                end.truncate(1 + random.index(end.len()));
                let last = end.last_mut().expect("it has the writer's byte");
                *last = last.saturating_add(1);
                return Entry::DeleteRange(Some(key.clone()), Some(end.max(key)));
            }
            let put = !random.one_in(4);
            let content = put.then(|| Content {
                length: random.size(&Sizes::USUAL),
                fill: *random.pick(&Fill::ALL),
                tag: random.next() as u32,
            });
            Entry::new(key, content)
        })
        .collect();
    let counter = Content {
        length: size_of::<u32>(),
        fill: Fill::Constant,
        tag: number as u32,
    };
    entries.push(Entry::Put(counter_key(writer).to_vec(), counter));
    (entries, random.one_in(20))
}

/// How many batches of `writer` `db` holds, by its counter.
pub fn held(db: &DB, writer: u64) -> Result<u64> {
    let counter = db.get(&counter_key(writer))?;
    let number = |bytes: &[u8]| bytes.try_into().map_or(u32::MAX, u32::from_le_bytes);
    Ok(counter.map_or(0, |bytes| u64::from(number(&bytes)) + 1))
}

/// The contents after some of a writer's batches.
#[derive(Clone)]
pub struct Written {
    seed: u64,
    writer: u64,
    /// How many batches are in `model`.
    pub count: u64,
    model: Model,
}

impl Written {
    /// Before the first batch.
    pub fn new(seed: u64, writer: u64) -> Written {
        Written {
            seed,
            writer,
            count: 0,
            model: Model::new(),
        }
    }

    /// Moves forward, or back, to `count` batches.
    pub fn go_to(&mut self, count: u64) {
        if count < self.count {
            *self = Written::new(self.seed, self.writer);
        }
        while self.count < count {
            let (entries, _) = batch(self.seed, self.writer, self.count);
            apply(&mut self.model, &entries);
            self.count += 1;
        }
    }

    /// Checks that `db` holds exactly these entries of the writer. Errors: the difference.
    pub fn compare(&self, db: &DB) -> std::result::Result<(), String> {
        let mut found = Model::new();
        for entry in db.prefix(&[self.writer as u8]) {
            let (key, value) = entry.map_err(|error| format!("walk: {error}"))?;
            found.put(&key, &value);
        }
        match found == self.model {
            true => Ok(()),
            false => Err(format!(
                "writer {} after {} batches: {}",
                self.writer,
                self.count,
                difference(&self.model, &found)
            )),
        }
    }
}
