//! Steps of background work, at each of which a test can end the thread that takes it.
//!
//! * STEP-1  In any build but that of the unit tests a step is nothing at all.

use super::shared::Shared;

impl Shared {
    /// Background work has come to `name`. The options' hook is called, on the thread that does the work; it may panic.
    #[inline(always)]
    pub(super) fn step(&self, name: &'static str) {
        #[cfg(test)]
        if let Some(hook) = &self.options.step_hook {
            hook(name);
        }
        let _ = name;
    }
}
