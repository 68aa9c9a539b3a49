//! DataStream API: a typed program becomes a StreamGraph and the factories beside it.
