//! Keyed and operator state, serializers, the heap backend and timers.
