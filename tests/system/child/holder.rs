//! Opens a database and keeps it open until its parent ends it: `holder DIR [OPTION=VALUE]...`.

use aidb::{DB, Options};

use crate::{say, wait_for_parent};

pub fn run(arguments: &[String]) {
    let (dir, settings) = arguments.split_first().unwrap();
    let mut options = Options::new();
    for setting in settings {
        let (name, value) = setting.split_once('=').unwrap();
        options.set(name, value).unwrap();
    }
    match DB::open(dir, options) {
        Ok(db) => {
            say("open");
            wait_for_parent();
            db.close().unwrap();
        }
        Err(error) => say(&format!("refused: {:?} {error}", error.kind())),
    }
}
