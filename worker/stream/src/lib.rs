//! Dataflow operators, sources, sinks, windows, watermarks and their harness.
