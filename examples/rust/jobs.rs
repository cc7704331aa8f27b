//! A job queue: several workers take jobs at once, and each job is done once. Usage: `jobs [directory]`
//!
//! A job lies under `waiting/` and its number. A worker takes the first one in a transaction: it removes the job there
//! and puts it under `running/`. If the process dies, the job is still there, and `put_back`
//! makes it wait again.

use std::error::Error;
use std::path::PathBuf;

use aidb::{DB, Options};

/// How often a worker tries to take a job before it gives up: each failure means that another worker was quicker.
const ATTEMPTS: u32 = 1000;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("aidb-jobs"), PathBuf::from);
    let db = DB::open(&directory, Options::new())?;
    put_back(&db)?;

    let first = last_number(&db)? + 1;
    for number in first..first + 20 {
        db.put(
            format!("waiting/{number:06}").as_bytes(),
            b"sweep the floor",
        )?;
    }

    let done: aidb::Result<Vec<usize>> = std::thread::scope(|scope| {
        let workers: Vec<_> = ["ann", "bob", "cleo"]
            .map(|name| scope.spawn(|| work(&db, name)))
            .into();
        let ends = workers.into_iter().map(|worker| worker.join());
        ends.map(|end| end.expect("a worker does not panic"))
            .collect()
    });
    let done = done?;
    println!("{} jobs were done, each once", done.iter().sum::<usize>());
    db.close()?;
    Ok(())
}

/// Does jobs until none is left; returns how many it did.
fn work(db: &DB, name: &str) -> aidb::Result<usize> {
    let mut done = 0;
    while let Some((number, what)) = take(db)? {
        let (number_text, what) = (text(&number), text(&what));
        println!("{name} does job {number_text}: {what}");
        db.delete(&[b"running/", &number[..]].concat())?;
        done += 1;
    }
    Ok(done)
}

/// Takes the first job that waits: its number, and what to do.
fn take(db: &DB) -> aidb::Result<Option<(Vec<u8>, Vec<u8>)>> {
    db.run_transaction(ATTEMPTS, |transaction| {
        let Some(first) = transaction.prefix(b"waiting/").next().transpose()? else {
            return Ok(None);
        };
        let (key, what) = first;
        let number = key["waiting/".len()..].to_vec();
        transaction.delete(&key)?;
        transaction.put(&[b"running/", &number[..]].concat(), &what)?;
        Ok(Some((number, what)))
    })
}

/// Makes the jobs wait again that a dead process was doing.
fn put_back(db: &DB) -> aidb::Result<()> {
    db.run_transaction(ATTEMPTS, |transaction| {
        for entry in transaction.prefix(b"running/") {
            let (key, what) = entry?;
            transaction.delete(&key)?;
            let waiting = [b"waiting/", &key["running/".len()..]].concat();
            transaction.put(&waiting, &what)?;
        }
        Ok(())
    })
}

/// The number of the last job that waits; 0 if none does.
fn last_number(db: &DB) -> aidb::Result<u64> {
    let last = db.prefix(b"waiting/").next_back().transpose()?;
    let number = last.and_then(|(key, _)| {
        let digits = std::str::from_utf8(key.get("waiting/".len()..)?).ok()?;
        digits.parse().ok()
    });
    Ok(number.unwrap_or(0))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
