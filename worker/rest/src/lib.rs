//! REST: axum handlers over the dispatcher gateway, DTOs, client.
