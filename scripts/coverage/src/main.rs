//! Prints the share of lines that instrumented tests ran, file by file.
//!
//! `aidb-coverage PROFILES OBJECTS ROOT SOURCE...`: a directory of `.profraw` files, a file that lists the test
//! binaries line by line, the checkout, and the directories in it to report on. A line counts as code if a region
//! of the coverage map starts on it or spans it, and as run if the innermost of those ran. Lines from
//! `#[cfg(test)] mod tests` on are left out, as are files that hold only tests.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use llvm_profparser::{CoverageMapping, CoverageResult, merge_profiles};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [profiles, objects, root, sources @ ..] = arguments.as_slice() else {
        return Err("usage: aidb-coverage PROFILES OBJECTS ROOT SOURCE...".into());
    };
    let profiles: Vec<PathBuf> = fs::read_dir(profiles)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "profraw")
        })
        // A process that was killed while it wrote its profile leaves a part of one.
        .filter(|path| merge_profiles(&[path]).is_ok())
        .collect();
    let objects: Vec<PathBuf> = fs::read_to_string(objects)?
        .lines()
        .map(PathBuf::from)
        .collect();
    let profile = merge_profiles(&profiles)?;
    let report = CoverageMapping::new(&objects, &profile, true)?.generate_report()?;

    let root = Path::new(root).canonicalize()?;
    let mut lowest = f64::INFINITY;
    for source in sources {
        let mut files = BTreeMap::new();
        for (path, result) in &report.files {
            let inside = path.strip_prefix(&root).unwrap_or(path);
            let is_test = inside.ends_with("tests.rs") || inside.ends_with("edges.rs");
            if inside.starts_with(source) && !is_test {
                files.insert(inside.to_path_buf(), lines(&root.join(inside), result)?);
            }
        }
        println!("{source}");
        let (mut run, mut all) = (0, 0);
        for (path, (file_run, file_all)) in &files {
            let path = path.strip_prefix(source).unwrap_or(path).display();
            println!(
                "  {path:<40} {file_run:>6} of {file_all:>6}  {:>5.1} %",
                share(*file_run, *file_all)
            );
            run += file_run;
            all += file_all;
        }
        println!(
            "  {:<40} {run:>6} of {all:>6}  {:>5.1} %\n",
            "all",
            share(run, all)
        );
        lowest = lowest.min(share(run, all));
    }
    if lowest < 80.0 {
        return Err(format!("line coverage is {lowest:.1} %, 80 % are wanted").into());
    }
    Ok(())
}

fn share(run: usize, all: usize) -> f64 {
    if all == 0 {
        0.0
    } else {
        100.0 * run as f64 / all as f64
    }
}

/// How many lines of code of a file ran, and how many there are.
fn lines(path: &Path, result: &CoverageResult) -> Result<(usize, usize), Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let before_tests = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(&text);
    let (mut run, mut all) = (0, 0);
    for (index, content) in before_tests.lines().enumerate() {
        let line = index + 1;
        let content = content.trim();
        if content.is_empty()
            || content.starts_with("//")
            || content.chars().all(|c| "{}()[],;".contains(c))
        {
            continue;
        }
        // The regions that start on the line, and of those that only span it the one that starts last.
        let touching = result
            .hits
            .iter()
            .filter(|(at, _)| at.line_start <= line && line <= at.line_end);
        let (starting, spanning): (Vec<_>, Vec<_>) =
            touching.partition(|(at, _)| at.line_start == line);
        let innermost = spanning
            .into_iter()
            .max_by_key(|(at, _)| (at.line_start, at.column_start));
        let hits = starting
            .into_iter()
            .chain(innermost)
            .map(|(_, hits)| *hits)
            .max();
        if let Some(hits) = hits {
            all += 1;
            run += usize::from(hits > 0);
        }
    }
    Ok((run, all))
}
