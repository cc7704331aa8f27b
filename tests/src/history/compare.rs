//! Compares a database with a model, in each way of reading.
//!
//! An error of the engine stays an error, so that a test that injects faults can tell a failed read from a wrong one.

use aidb::{DB, IterOptions, Result, Snapshot};

use crate::{Model, shown};

/// The difference, if there is one.
pub type Differs = Option<String>;

/// All entries of an iterator.
pub fn contents(db: &DB) -> Result<Model> {
    let mut model = Model::new();
    for entry in db.iter() {
        let (key, value) = entry?;
        model.put(&key, &value);
    }
    Ok(model)
}

/// Compares a walk over everything, now or at a snapshot, from the first entry to the last or back.
pub fn walk_differs(
    db: &DB,
    model: &Model,
    snapshot: Option<&Snapshot>,
    is_backward: bool,
) -> Result<Differs> {
    let mut cursor = db.cursor(IterOptions::new().snapshot(snapshot.cloned()))?;
    let mut expected = model.iter();
    let mut next = || match is_backward {
        false => expected.next(),
        true => expected.next_back(),
    };
    let mut valid = match is_backward {
        false => cursor.first()?,
        true => cursor.last()?,
    };
    while valid {
        let found = (cursor.key(), cursor.value());
        match next() {
            Some(expected) if expected == found => {}
            expected => return Ok(Some(entry_difference(expected, Some(found)))),
        }
        valid = match is_backward {
            false => cursor.next()?,
            true => cursor.prev()?,
        };
    }
    cursor.status()?;
    Ok(next().map(|missing| entry_difference(Some(missing), None)))
}

/// Compares the answer of a get of `key`.
pub fn get_differs(db: &DB, model: &Model, key: &[u8]) -> Result<Differs> {
    Ok(value_differs(model, key, db.get(key)?.as_deref()))
}

/// Compares the answer of one get of all `keys`.
pub fn gets_differ(db: &DB, model: &Model, keys: &[Vec<u8>]) -> Result<Differs> {
    let found = db.get_many(keys)?;
    let mut pairs = keys.iter().zip(&found);
    Ok(match found.len() == keys.len() {
        true => pairs.find_map(|(key, value)| value_differs(model, key, value.as_deref())),
        false => Some(format!("{} answers for {} keys", found.len(), keys.len())),
    })
}

/// Whether `db` holds exactly this model, read by a walk and by a get of the first key. No fault is active.
pub fn holds(db: &DB, model: &Model) -> std::result::Result<(), String> {
    let first = model.iter().next();
    let walked = walk_differs(db, model, None, false);
    let got = first.map_or(Ok(None), |(key, _)| get_differs(db, model, key));
    for (how, outcome) in [("walk", walked), ("get", got)] {
        match outcome {
            Ok(None) => {}
            Ok(Some(what)) => return Err(format!("{how}: {what}")),
            Err(error) => return Err(format!("{how}: {error}")),
        }
    }
    Ok(())
}

/// Compares the value read under `key`.
pub fn value_differs(model: &Model, key: &[u8], found: Option<&[u8]>) -> Differs {
    let expected = model.get(key);
    (found != expected).then(|| key_difference(key, expected, found))
}

fn entry_difference(expected: Option<(&[u8], &[u8])>, found: Option<(&[u8], &[u8])>) -> String {
    let text = |entry: Option<(&[u8], &[u8])>| match entry {
        Some((key, value)) => format!("\"{}\" with {}", shown(key), described(Some(value))),
        None => "the end".to_string(),
    };
    format!("there is {} instead of {}", text(found), text(expected))
}

fn key_difference(key: &[u8], expected: Option<&[u8]>, found: Option<&[u8]>) -> String {
    let (key, found, expected) = (shown(key), described(found), described(expected));
    format!("\"{key}\" has {found} instead of {expected}")
}

/// A value in printable form.
fn described(value: Option<&[u8]>) -> String {
    match value.map(|value| (value.len(), value.first_chunk())) {
        Some((length, Some(tag))) => {
            format!("{length} bytes with tag {}", u32::from_le_bytes(*tag))
        }
        Some((length, None)) => format!("{length} bytes"),
        None => "nothing".to_string(),
    }
}

/// The first keys at which two models differ.
pub fn difference(expected: &Model, found: &Model) -> String {
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
        .map(|key| key_difference(key, expected.get(key), found.get(key)))
        .collect();
    format!("{} keys differ: {}", keys.len(), texts.join("; "))
}
