//! The control plane: gateways in domain types, their in-process twins and tonic.
