//! What a writer that will be killed writes: its seed decides every batch, so that whoever finds the database
//! afterwards can tell what must be in it.

use aidb::{DB, Result, WriteBatch, WriteOptions};

use crate::{Entries, Model, Random, Sizes, Walk, shown};

/// Of the few keys that are long.
const KEYS: Sizes = Sizes::new((1 << 16) + 1, 500);

/// The key under which `writer` keeps the number of its last batch.
pub fn counter_key(writer: u64) -> [u8; 2] {
    [writer as u8, b'#']
}

/// Batch `number` of `writer`. Each holds the writer's counter, so every number of batches is another state.
pub fn batch(seed: u64, writer: u64, number: u64) -> (WriteBatch, WriteOptions) {
    let mut random =
        Random::new(seed ^ (writer << 56) ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    random.next();
    let mut batch = WriteBatch::new();
    let count = match random.below(4) {
        0 => 1 + random.below(20),
        _ => 1,
    };
    let fits = "a key and a value of a test are far below the limits";
    for _ in 0..count {
        let key = [vec![writer as u8], random.any_key(&KEYS)].concat();
        match random.one_in(4) {
            true => batch.delete(&key).expect(fits),
            false => batch.put(&key, &random.value()).expect(fits),
        }
    }
    batch
        .put(&counter_key(writer), &number.to_be_bytes())
        .expect(fits);
    let sync = random.one_in(20);
    (batch, WriteOptions::new().sync(sync))
}

/// How many batches of `writer` are in `db`, by its counter.
pub fn held(db: &DB, writer: u64) -> Result<u64> {
    let counter = db.get(&counter_key(writer))?;
    Ok(counter.map_or(0, |bytes| {
        bytes[..].try_into().map_or(u64::MAX, u64::from_be_bytes) + 1
    }))
}

/// The contents after some number of a writer's batches.
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

    /// Goes on, or back, to `count` batches.
    pub fn go_to(&mut self, count: u64) {
        if count < self.count {
            *self = Written::new(self.seed, self.writer);
        }
        while self.count < count {
            let (batch, _) = batch(self.seed, self.writer, self.count);
            self.model.write(&batch);
            self.count += 1;
        }
    }

    /// Whether `db` holds exactly this of the writer; what is wrong otherwise.
    pub fn compare(&self, db: &DB) -> std::result::Result<(), String> {
        let found: Result<Entries> = db.prefix(&[self.writer as u8]).collect();
        let found = found.map_err(|error| format!("walk: {error}"))?;
        let expected = self.model.entries(&Walk::default());
        if found == expected {
            return Ok(());
        }
        let at = found
            .iter()
            .zip(&expected)
            .take_while(|(one, two)| one == two)
            .count();
        let show = |entries: &Entries| {
            let entry = entries.get(at);
            entry.map(|(key, value)| format!("{} ({} bytes)", shown(key), value.len()))
        };
        Err(format!(
            "writer {} after {} batches: entry {at} is {:?}, expected {:?}",
            self.writer,
            self.count,
            show(&found),
            show(&expected)
        ))
    }
}
