//! Calls of core that tell their progress to a function in Python.

use std::ops::ControlFlow;

use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::patience::{detached, look};

/// Core's progress: how much is done, and how much there is in all.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Makes `call` detached, and passes what it tells to `progress`, in this thread. `False` from there ends the call.
/// Passes on an exception that it raises, an interrupt from the keyboard, and a cancellation.
pub(crate) fn told<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    call: impl FnOnce(Tell<'_>) -> aidb::Result<T> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let outcome = detached(py, || {
        call(&mut |done, total| {
            let goes_on = Python::attach(|py| {
                look(py)?;
                let Some(progress) = &progress else {
                    return Ok(true);
                };
                let answer = progress.bind(py).call1((done, total))?;
                // Only `False` itself ends it: a function without `return` does not.
                Ok(!answer.is(PyBool::new(py, false)))
            });
            match goes_on {
                Ok(true) => ControlFlow::Continue(()),
                Ok(false) => ControlFlow::Break(()),
                Err(error) => {
                    raised = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    });
    match raised {
        Some(error) => Err(error),
        None => outcome,
    }
}
