//! Clocks, inputs and helpers that only tests use.
