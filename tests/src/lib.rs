//! Shared by the tests: seeded randomness, option sets that reach every corner, and a model of the database.
//!
//! Nothing here is published. docs/testing.md says which test lives where and how to rerun one with its seed.

pub mod budget;
pub mod history;
pub mod model;
pub mod options;
pub mod work;

pub use aidb_test_data::{Fill, Random, Sizes, Unit, edges_up_to, shown, stem_of};
pub use budget::{Budget, Violations, first_seed, tell_figures};
pub use model::{Entries, Model, ModelCursor, Walk};
pub use options::options;
