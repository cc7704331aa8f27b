//! The disk's state of a file or directory: what is durable, and the later changes in order.
//!
//! * HISTORY-1  A sync makes every waiting change durable. A failed sync makes them uncertain for good: each may
//!              have arrived or not, and no later sync makes it durable, because the kernel may have dropped
//!              the pages it could not write.
//! * HISTORY-2  Changes after an uncertain one apply to either outcome of it.

use crate::sync::Arc;

/// A change of a `Whole`.
pub(super) trait Change {
    type Whole: Clone + Default;

    fn apply(&self, whole: &mut Self::Whole);
}

/// How far a change got.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A sync has made it durable.
    Durable,
    /// A sync for it has failed.
    Uncertain,
    /// No sync was called since.
    Waiting,
}

#[derive(Clone)]
pub(super) struct History<C: Change> {
    /// The durable state.
    base: Arc<C::Whole>,
    /// The changes since then, in order; the first is not durable.
    changes: Vec<(Fate, C)>,
}

impl<C: Change> Default for History<C> {
    fn default() -> History<C> {
        History::new(Arc::default())
    }
}

impl<C: Change> History<C> {
    /// A history without changes since `base` became durable.
    pub(super) fn new(base: Arc<C::Whole>) -> History<C> {
        History {
            base,
            changes: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, change: C) {
        self.changes.push((Fate::Waiting, change));
    }

    /// Notes a sync (HISTORY-1).
    pub(super) fn sync(&mut self) {
        self.decide(Fate::Durable);
        let changes = self.changes.iter();
        let settled = changes.take_while(|(fate, _)| *fate == Fate::Durable);
        let settled = settled.count();
        debug_assert!(self.waiting() == 0, "HISTORY-1: nothing waits after a sync");
        if settled > 0 {
            let base = Arc::make_mut(&mut self.base);
            let settled = self.changes.drain(..settled);
            settled.for_each(|(_, change)| change.apply(base));
        }
        debug_assert!(
            self.changes
                .first()
                .is_none_or(|(fate, _)| *fate == Fate::Uncertain),
            "HISTORY-1: the base has what is durable and follows no uncertain change"
        );
    }

    /// Notes a failed sync (HISTORY-1).
    pub(super) fn fail_sync(&mut self) {
        self.decide(Fate::Uncertain);
        debug_assert!(
            self.waiting() == 0,
            "HISTORY-1: nothing waits after a failed sync"
        );
    }

    fn decide(&mut self, decided: Fate) {
        for (fate, _) in &mut self.changes {
            if *fate == Fate::Waiting {
                *fate = decided;
            }
        }
    }

    pub(super) fn base(&self) -> &Arc<C::Whole> {
        &self.base
    }

    pub(super) fn base_mut(&mut self) -> &mut C::Whole {
        Arc::make_mut(&mut self.base)
    }

    pub(super) fn changes(&self) -> &[(Fate, C)] {
        &self.changes
    }

    pub(super) fn changes_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.changes.iter_mut().map(|(_, change)| change)
    }

    /// The changes that may or may not be durable.
    pub(super) fn waiting(&self) -> usize {
        let changes = self.changes.iter();
        changes.filter(|(fate, _)| *fate == Fate::Waiting).count()
    }
}
