//! `Watch`: JavaScript's handle of a long call under way, to end it and to follow its progress.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::Status;
use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

/// How much is done, and how much there is in all, as JavaScript's numbers.
type Amounts = FnArgs<(f64, f64)>;

/// Calls JavaScript's callback on its thread, and does not keep the loop alive.
type Teller = ThreadsafeFunction<Amounts, (), Amounts, Status, false, true>;

/// A verification or a count that JavaScript may end.
#[napi]
pub struct Watch {
    is_ended: Arc<AtomicBool>,
    teller: Option<Arc<Teller>>,
}

#[napi]
impl Watch {
    /// Calls `progress` with how much is done and how much there is in all, also after the end.
    #[napi(constructor)]
    pub fn new(progress: Option<Function<'_, Amounts, ()>>) -> napi::Result<Watch> {
        let build = |progress: Function<'_, Amounts, ()>| {
            progress
                .build_threadsafe_function::<Amounts>()
                .weak::<true>()
                .callee_handled::<false>()
                .build()
        };
        Ok(Watch {
            is_ended: Arc::default(),
            teller: progress.map(build).transpose()?.map(Arc::new),
        })
    }

    /// Ends the call soon; its answer is then about what was done.
    #[napi]
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    /// The progress callback of core, on the thread that works. `amounts`: how much is done, and how much there is.
    pub(crate) fn watch<P>(
        &self,
        amounts: impl Fn(P) -> (u64, u64) + Send + 'static,
    ) -> impl FnMut(P) -> ControlFlow<()> + Send + 'static {
        let is_ended = Arc::clone(&self.is_ended);
        let teller = self.teller.clone();
        move |at| {
            if is_ended.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if let Some(teller) = &teller {
                let (done, total) = amounts(at);
                let amounts = (done as f64, total as f64);
                // A busy loop gets this call later, or only the one at the end.
                teller.call(amounts.into(), ThreadsafeFunctionCallMode::NonBlocking);
            }
            ControlFlow::Continue(())
        }
    }
}
