//! AiDb in one page: open, put, get, a batch, a snapshot, an iterator. Usage: `hello [directory]`

use std::error::Error;
use std::path::PathBuf;

use aidb::{DB, IterOptions, Options, WriteBatch, WriteOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("aidb-hello"), PathBuf::from);
    let db = DB::open(&directory, Options::new())?;

    db.put(b"apple", b"red")?;
    println!("apple is {}", text(&db.get(b"apple")?.ok_or("no apple")?));
    println!("is there a cherry? {}", db.contains_key(b"cherry")?);

    let snapshot = db.snapshot()?;

    // All of a batch is stored, or none of it; with sync it also survives power loss.
    let mut batch = WriteBatch::new();
    batch.put(b"banana", b"yellow")?;
    batch.put(b"cherry", b"dark red")?;
    batch.delete(b"apple")?;
    db.write_with(&batch, &WriteOptions::synced())?;

    println!("now:");
    for entry in db.iter() {
        let (key, value) = entry?;
        println!("  {} is {}", text(&key), text(&value));
    }

    println!("from b on, backwards:");
    for entry in db.range("b"..).rev() {
        println!("  {}", text(&entry?.0));
    }

    // One small write deletes every key that begins with "b", however many there are.
    db.delete_prefix(b"b")?;
    println!("left: {}", db.count(None, None)?);

    println!("before the batch:");
    let mut cursor = db.cursor(IterOptions::new().snapshot(Some(snapshot)))?;
    while cursor.next()? {
        println!("  {} is {}", text(cursor.key()), text(cursor.value()));
    }

    db.close()?;
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
