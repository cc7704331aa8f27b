//! `Verification`: JavaScript's handle of a verification under way, to end it and to follow its progress.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aidb::VerifyProgress;
use napi::Status;
use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

/// Bytes done, and bytes in all, as JavaScript's numbers.
type Bytes = FnArgs<(f64, f64)>;

/// Calls JavaScript's callback on its thread, and does not keep the loop alive.
type Teller = ThreadsafeFunction<Bytes, (), Bytes, Status, false, true>;

/// A verification that JavaScript may end.
#[napi]
pub struct Verification {
    is_ended: Arc<AtomicBool>,
    teller: Option<Arc<Teller>>,
}

#[napi]
impl Verification {
    /// Calls `progress` with the bytes done and the bytes in all, also once after the end.
    #[napi(constructor)]
    pub fn new(progress: Option<Function<'_, Bytes, ()>>) -> napi::Result<Verification> {
        let build = |progress: Function<'_, Bytes, ()>| {
            progress
                .build_threadsafe_function::<Bytes>()
                .weak::<true>()
                .callee_handled::<false>()
                .build()
        };
        Ok(Verification {
            is_ended: Arc::default(),
            teller: progress.map(build).transpose()?.map(Arc::new),
        })
    }

    /// Ends the verification soon; its report then says that it is not complete.
    #[napi]
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }
}

impl Verification {
    /// The progress callback of core, on the thread that verifies.
    pub(crate) fn watch(&self) -> impl FnMut(VerifyProgress) -> ControlFlow<()> + Send + 'static {
        let is_ended = Arc::clone(&self.is_ended);
        let teller = self.teller.clone();
        move |at| {
            if is_ended.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if let Some(teller) = &teller {
                let bytes = (at.bytes_done as f64, at.bytes_total as f64);
                // A busy loop gets this call later, or only the one at the end.
                teller.call(bytes.into(), ThreadsafeFunctionCallMode::NonBlocking);
            }
            ControlFlow::Continue(())
        }
    }
}
