//! TaskManager: slots, deployment, heartbeats.
