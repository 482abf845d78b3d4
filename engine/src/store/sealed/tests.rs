//! Tests of the sealed file.

mod basics;
