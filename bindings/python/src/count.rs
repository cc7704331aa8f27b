//! `Reader.count`: how many entries there are in a range.

use std::ops::ControlFlow;
use std::sync::Arc;

use aidb::CountOptions;
use pyo3::prelude::*;

use crate::bytes::BytesLike;
use crate::patience::{brief_or, lengthy};
use crate::progress::{Tell, told};
use crate::store::Store;
use crate::view::View;

/// A count, for any thread.
struct Count {
    store: Arc<Store>,
    start: Option<Vec<u8>>,
    stop: Option<Vec<u8>>,
    prefix: Vec<u8>,
    snapshot: Option<aidb::Snapshot>,
    fill_cache: bool,
}

impl Count {
    fn run(&self, tell: Tell<'_>) -> aidb::Result<u64> {
        let options = CountOptions::new()
            .snapshot(self.snapshot.as_ref())
            .prefix(&self.prefix[..])
            .fill_cache(self.fill_cache);
        let (start, stop) = (self.start.as_deref(), self.stop.as_deref());
        let mut progress = |at: aidb::CountProgress| tell(at.counted, at.approximate_total);
        self.store.count_with(start, stop, &options, &mut progress)
    }

    fn run_quietly(&self) -> aidb::Result<u64> {
        self.run(&mut |_, _| ControlFlow::Continue(()))
    }
}

/// Counts the entries of a range that the view shows, and that begin with `prefix`.
pub(crate) fn count(
    py: Python<'_>,
    view: &View,
    (start, stop): (Option<BytesLike<'_>>, Option<BytesLike<'_>>),
    prefix: Option<BytesLike<'_>>,
    fill_cache: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<u64> {
    let owned = |key: BytesLike<'_>| key.copy_behind(&view.prefix);
    let prefix = match prefix {
        Some(prefix) => owned(prefix)?,
        None => view.prefix.clone(),
    };
    let count = Arc::new(Count {
        store: Arc::clone(&view.store),
        start: start.map(owned).transpose()?,
        stop: stop.map(owned).transpose()?,
        prefix,
        snapshot: view.snapshot(py)?,
        fill_cache,
    });
    match progress {
        Some(_) => told(py, progress, |tell| count.run(tell)),
        None => brief_or(
            py,
            || count.run_quietly(),
            || {
                let count = Arc::clone(&count);
                lengthy(py, move || count.run_quietly())
            },
        ),
    }
}
