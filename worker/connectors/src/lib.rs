//! File, socket, datagen, collection, print and blackhole sources and sinks.
