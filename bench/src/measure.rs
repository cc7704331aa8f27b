//! Measures one process: time, CPU time, latencies, memory, bytes read and written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::engines::{Failure, Kind};

/// One process: one engine, one workload, one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    pub engine: Kind,
    pub workload: String,
    pub round: u32,
    pub entries: u64,
    /// Entries, or calls if a call is the unit.
    pub operations: u64,
    pub seconds: f64,
    /// CPU time of all threads of the process, while the clock ran.
    pub cpu_seconds: f64,
    /// Latency of one call, which may be a batch.
    pub latency: Latency,
    /// VmHWM of the whole process at the end.
    pub peak_memory_bytes: u64,
    /// VmHWM before the store was opened.
    pub memory_before_bytes: u64,
    /// Bytes of keys and values written while the clock ran.
    pub user_bytes: u64,
    /// Bytes read and written while the clock ran, from /proc/self/io.
    pub io: Io,
    /// Blocks on the disk at the end, if the workload counts them.
    pub disk_bytes: Option<u64>,
    /// Operations per second of a companion of the measured threads.
    pub companion_rate: Option<f64>,
}

impl Sample {
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    pub fn cpu_micros(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.operations as f64
    }
}

/// In nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

/// Bytes, as /proc/PID/io counts them.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Io {
    /// Passed through read(2) and similar calls.
    pub rchar: u64,
    /// Passed through write(2) and similar calls.
    pub wchar: u64,
    /// Fetched from the device.
    pub read_bytes: u64,
    /// Dirtied pages, whatever dirtied them: the device will receive these bytes.
    pub write_bytes: u64,
}

/// The measurements while the clock ran.
pub struct Measured {
    pub operations: u64,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub io: Io,
    pub latency: Latency,
    pub user_bytes: u64,
    pub companion_rate: Option<f64>,
}

/// The end of a workload's thread: after a number of operations or a time, whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    pub operations: u64,
    pub time: Duration,
}

/// One thread's view of the clock. Each call's time starts at the end of the previous call.
pub struct Meter<'a> {
    histogram: Histogram<u64>,
    started: Instant,
    last: Instant,
    operations: u64,
    user_bytes: u64,
    until: Until,
    stop: &'a AtomicBool,
}

impl Meter<'_> {
    /// Whether to continue. `operations` is the number of operations in the last call.
    pub fn made(&mut self, operations: u64) -> bool {
        let now = Instant::now();
        let nanos = (now - self.last).as_nanos() as u64;
        self.histogram.saturating_record(nanos);
        self.last = now;
        self.operations += operations;
        self.operations < self.until.operations
            && now - self.started < self.until.time
            && !self.stop.load(Ordering::Relaxed)
    }

    /// Adds to the bytes of keys and values written.
    pub fn wrote(&mut self, bytes: usize) {
        self.user_bytes += bytes as u64;
    }
}

/// Runs `job` in each of `threads` threads, with the thread's number, under one clock. `after` runs when all are done;
/// the clock stops when it returns, and the duration that it returns is subtracted.
pub fn measure(
    threads: usize,
    until: Until,
    job: impl Fn(usize, &mut Meter<'_>) -> Result<(), Failure> + Sync,
    after: impl FnOnce() -> Result<Duration, Failure>,
) -> Result<Measured, Failure> {
    let stop = AtomicBool::new(false);
    let io_before = io()?;
    let cpu_before = cpu_seconds();
    let started = Instant::now();
    let run = |thread: usize| -> Result<(Histogram<u64>, u64, u64), Failure> {
        let mut meter = Meter {
            histogram: Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?,
            started,
            last: Instant::now(),
            operations: 0,
            user_bytes: 0,
            until,
            stop: &stop,
        };
        let result = job(thread, &mut meter);
        if result.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        result.map(|()| (meter.histogram, meter.operations, meter.user_bytes))
    };
    let mut all = Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?;
    let (mut operations, mut user_bytes) = (0, 0);
    for result in run_in(threads, &run) {
        let (histogram, made, wrote) = result?;
        all.add(histogram)?;
        operations += made;
        user_bytes += wrote;
    }
    let left_out = after()?;
    let seconds = (started.elapsed() - left_out).as_secs_f64();
    let cpu_seconds = cpu_seconds() - cpu_before;
    let io_after = io()?;
    Ok(Measured {
        operations,
        seconds,
        cpu_seconds,
        io: Io {
            rchar: io_after.rchar - io_before.rchar,
            wchar: io_after.wchar - io_before.wchar,
            read_bytes: io_after.read_bytes - io_before.read_bytes,
            write_bytes: io_after.write_bytes - io_before.write_bytes,
        },
        latency: Latency {
            p50: all.value_at_quantile(0.5),
            p99: all.value_at_quantile(0.99),
            p999: all.value_at_quantile(0.999),
            max: all.max(),
        },
        user_bytes,
        companion_rate: None,
    })
}

/// Runs `run` in each of `threads` threads, or in this one if that is enough.
fn run_in<T: Send>(
    threads: usize,
    run: &(impl Fn(usize) -> Result<T, Failure> + Sync),
) -> Vec<Result<T, Failure>> {
    if threads == 1 {
        return vec![run(0)];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|_| Err("a thread of the workload panicked".into()))
        };
        running.into_iter().map(join).collect()
    })
}

/// Waits until the process has been idle for a while, and returns that duration.
///
/// Only some engines say whether a compaction is due or running; the system reports CPU time and bytes written for all
/// of them alike.
pub fn wait_until_quiet(quiet: Duration) -> Result<Duration, Failure> {
    let mut still_since = Instant::now();
    let mut seen = (cpu_seconds(), io()?.wchar);
    while still_since.elapsed() < quiet {
        std::thread::sleep(Duration::from_millis(5));
        let now = (cpu_seconds(), io()?.wchar);
        // This loop itself costs some CPU time: up to 4 % of one core counts as idle.
        let busy = now.0 - seen.0 > 0.04 * still_since.elapsed().as_secs_f64().max(0.05);
        if busy || now.1 != seen.1 {
            seen = now;
            still_since = Instant::now();
        }
    }
    Ok(still_since.elapsed())
}

/// CPU time of all threads of this process so far, in user and system mode.
pub fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the structure, for which all zeroes is a valid value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The system's counts for this process so far.
pub fn io() -> Result<Io, Failure> {
    let text = fs::read_to_string("/proc/self/io")?;
    Ok(Io {
        rchar: field(&text, "rchar:")?,
        wchar: field(&text, "wchar:")?,
        read_bytes: field(&text, "read_bytes:")?,
        write_bytes: field(&text, "write_bytes:")?,
    })
}

/// The most memory this process ever had resident.
pub fn peak_memory() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/self/status")?;
    Ok(field(&text, "VmHWM:")? * 1024)
}

/// The number after a name in one of /proc's tables.
fn field(text: &str, name: &str) -> Result<u64, Failure> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number
        .ok_or_else(|| format!("/proc has no {name}"))?
        .parse()?)
}

/// The blocks of every file below `path`.
pub fn disk_bytes(path: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Duration = Duration::from_secs(3600);

    #[test]
    fn operations_of_all_threads_are_counted_and_the_clock_covers_what_comes_after() {
        let until = Until {
            operations: 100,
            time: FOREVER,
        };
        let job = |_: usize, meter: &mut Meter<'_>| {
            meter.wrote(7);
            while meter.made(10) {}
            Ok(())
        };
        let measured = measure(3, until, job, || {
            std::thread::sleep(Duration::from_millis(30));
            Ok(Duration::from_millis(10))
        })
        .unwrap();
        assert_eq!((measured.operations, measured.user_bytes), (300, 21));
        assert!(measured.seconds > 0.019, "{}", measured.seconds);
        assert!(measured.latency.p50 <= measured.latency.max);
    }

    #[test]
    fn a_failed_thread_ends_the_others_and_the_measurement() {
        let until = Until {
            operations: u64::MAX,
            time: FOREVER,
        };
        let job = |thread: usize, meter: &mut Meter<'_>| match thread {
            0 => Err("broken".into()),
            _ => {
                while meter.made(1) {}
                Ok(())
            }
        };
        let failed = measure(2, until, job, || Ok(Duration::ZERO));
        assert_eq!(
            failed.err().map(|error| error.to_string()),
            Some("broken".into())
        );
    }

    #[test]
    fn bytes_written_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let before = io().unwrap();
        fs::write(dir.path().join("a"), vec![1; 300_000]).unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/b"), vec![1; 5_000]).unwrap();
        assert!(io().unwrap().wchar - before.wchar >= 305_000);
        fs::File::open(dir.path().join("a"))
            .unwrap()
            .sync_all()
            .unwrap();
        assert!(disk_bytes(dir.path()).unwrap() >= 300_000);
    }

    #[test]
    fn work_in_the_background_is_waited_for() {
        let started = Instant::now();
        let worker = std::thread::spawn(move || {
            let mut sum = 0u64;
            while started.elapsed() < Duration::from_millis(200) {
                sum = std::hint::black_box(sum + 1);
            }
        });
        let quiet = wait_until_quiet(Duration::from_millis(50)).unwrap();
        assert!(worker.is_finished(), "quiet while a thread was busy");
        assert!(quiet >= Duration::from_millis(50));
        worker.join().unwrap();
    }
}
