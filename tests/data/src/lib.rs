//! The data of every random test: keys, values and counts from a seed, on both sides of each of the engine's
//! thresholds.
//!
//! A test is as good as its data. Values of more than 64 KiB that do not compress once vanished, and 20,000 random
//! histories did not notice, because every generator of that time made values that were small or compressed well. So
//! there is one generator, and everything that draws data uses it: the unit tests of `core`, the tests of the public
//! interface, the fuzz target `interface` and the crash tests.
//!
//! * `random.rs`     a stream of numbers from a seed
//! * `thresholds.rs` a table of the engine's constants at which code takes another way
//! * `sizes.rs`      sizes and counts at, just below and just above the thresholds that a caller can afford
//! * `fill.rs`       bytes that compress well, badly, not at all, and by parts
//! * `draw.rs`       whole keys and values
//!
//! * DATA-1  The same seed gives the same data on every machine.
//! * DATA-2  Each constant of `core` with an integer type is in the table, with its value, or in a list of constants
//!           that change no path, with a reason: `tests/documents/constants.rs` compares.
//!
//! It depends on nothing, so that `core` can use it. Data that needs `aidb`, such as random options, is in
//! `aidb-tests`.

mod draw;
mod fill;
mod random;
mod sizes;
mod thresholds;

pub use draw::{shown, stem_of};
pub use fill::Fill;
pub use random::Random;
pub use sizes::{Sizes, edges, edges_up_to};
pub use thresholds::{THRESHOLDS, Threshold, Unit};
