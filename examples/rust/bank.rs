//! A bank: tellers move money between accounts at once; none is made or lost, and no account is overdrawn.
//! Usage: `bank [directory]`

use std::error::Error;
use std::path::PathBuf;

use aidb::{DB, Options, Transaction};

const ACCOUNTS: u64 = 5;
const OPENING_BALANCE: u64 = 100;
/// How often a transfer is tried: each failure means that another one was quicker.
const ATTEMPTS: u32 = 1000;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("aidb-bank"), PathBuf::from);
    let db = DB::open(&directory, Options::new())?;
    for account in 0..ACCOUNTS {
        // An account that exists keeps its balance.
        db.put_if_absent(&key(account), &OPENING_BALANCE.to_le_bytes())?;
    }

    let refused: aidb::Result<Vec<u32>> = std::thread::scope(|scope| {
        let tellers: Vec<_> = (0..4)
            .map(|teller| {
                scope.spawn({
                    let db = db.clone();
                    move || serve(&db, teller)
                })
            })
            .collect();
        let ends = tellers.into_iter().map(|teller| teller.join());
        ends.map(|end| end.expect("a teller does not panic"))
            .collect()
    });
    println!("{} transfers were refused", refused?.iter().sum::<u32>());

    let mut sum = 0;
    for entry in db.prefix(b"account/") {
        let (key, balance) = entry?;
        println!("{}: {}", String::from_utf8_lossy(&key), amount(&balance));
        sum += amount(&balance);
    }
    println!("all together: {sum}");
    assert_eq!(sum, ACCOUNTS * OPENING_BALANCE);
    db.close()?;
    Ok(())
}

/// Makes a hundred transfers; returns how many were refused.
fn serve(db: &DB, teller: u64) -> aidb::Result<u32> {
    let mut refused = 0;
    for number in 0..100 {
        let (from, to) = (
            (teller + number) % ACCOUNTS,
            (teller * 3 + number * 7 + 1) % ACCOUNTS,
        );
        let done = db.run_transaction(ATTEMPTS, |transaction| {
            transfer(transaction, from, to, number % 40)
        })?;
        refused += u32::from(!done);
    }
    Ok(refused)
}

/// Moves money, unless the account has too little; returns whether it did.
fn transfer(transaction: &Transaction, from: u64, to: u64, sum: u64) -> aidb::Result<bool> {
    let balance = |account| {
        Ok(transaction
            .get(&key(account))?
            .map_or(0, |value| amount(&value)))
    };
    let left: u64 = balance(from)?;
    if left < sum {
        return Ok(false);
    }
    // The transaction sees its own writes, so this is right even if both accounts are the same.
    transaction.put(&key(from), &(left - sum).to_le_bytes())?;
    let there: u64 = balance(to)?;
    transaction.put(&key(to), &(there + sum).to_le_bytes())?;
    Ok(true)
}

fn key(account: u64) -> Vec<u8> {
    format!("account/{account}").into_bytes()
}

fn amount(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_le_bytes)
}
