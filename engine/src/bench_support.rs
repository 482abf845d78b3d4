//! What the benchmarks in `tests/benches` need of the inside. Only there with the feature `bench-support`; no part of
//! the API, and not for applications.

pub use subrosa_store::testing::sealed_database;
