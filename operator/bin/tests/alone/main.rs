//! The operator against a real API server that has no nodes, with JobManagers and a node that only
//! seem to be there. `tests/k8s/api-server` starts the API server; its programs come from the
//! cache, or are built, which takes ten minutes, once.

mod budget;
mod bugs;
mod election;
mod images;
mod managers;
mod matrix;
mod overlap;
mod process;
mod requests;
mod scale;
mod server;
mod storage;
mod world;
