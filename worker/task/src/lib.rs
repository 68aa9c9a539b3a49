//! The subtask: mailbox loop, operator chain, exchange with its neighbours.
