//! How a TaskManager divides its memory (Flink's `TaskExecutorProcessUtils`, in short): a part for
//! the exchange's windows, a part for state, the rest for user code and the process itself.

/// The parts of a TaskManager's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryModel {
    /// All that the process may use; `None`: what the machine or its cgroup gives.
    pub process_bytes: Option<u64>,
    /// The share for state backends, as Flink's `taskmanager.memory.managed.fraction`.
    pub managed_fraction: f64,
    /// The share for the exchange, as Flink's `taskmanager.memory.network.fraction`.
    pub network_fraction: f64,
    /// The most that the exchange gets, whatever its share.
    pub network_bytes_max: u64,
}

impl Default for MemoryModel {
    fn default() -> Self {
        Self {
            process_bytes: None,
            managed_fraction: 0.4,
            network_fraction: 0.1,
            network_bytes_max: 1 << 30,
        }
    }
}

/// Shares that leave nothing over.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "managed fraction {managed} and network fraction {network} must each lie between 0 and 1 and \
     leave a part for user code"
)]
pub struct MemoryError {
    managed: f64,
    network: f64,
}

/// Without a limit the machine is taken to have this much.
const PROCESS_BYTES_DEFAULT: u64 = 4 << 30;

/// A channel's window is never smaller or larger than these.
const WINDOW_BYTES_MIN: u64 = 32 << 10;
const WINDOW_BYTES_MAX: u64 = 256 << 10;

impl MemoryModel {
    /// Refuses shares that cannot be.
    pub fn check(&self) -> Result<(), MemoryError> {
        let (managed, network) = (self.managed_fraction, self.network_fraction);
        let each = [managed, network].iter().all(|share| (0.0..1.0).contains(share));
        if each && managed + network < 1.0 { Ok(()) } else { Err(MemoryError { managed, network }) }
    }

    /// What a channel's window may hold, if the process has this many channels coming in.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of the memory, not an exact number"
    )]
    pub fn window_bytes(&self, channels: usize) -> usize {
        let process = self.process_bytes.unwrap_or(PROCESS_BYTES_DEFAULT) as f64;
        let network = ((process * self.network_fraction) as u64).min(self.network_bytes_max);
        let window = network / channels.max(1) as u64;
        window.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_channels_share_the_networks_part() {
        let memory = MemoryModel { process_bytes: Some(1 << 30), ..MemoryModel::default() };
        assert_eq!(memory.window_bytes(4), 256 << 10);
        let many = memory.window_bytes(1_000);
        assert!(many * 1_000 <= 110 << 20 && many >= 32 << 10, "{many}");
        assert_eq!(memory.window_bytes(1_000_000), 32 << 10);
    }

    #[test]
    fn shares_that_leave_nothing_over_are_refused() {
        let memory = MemoryModel { managed_fraction: 0.95, ..MemoryModel::default() };
        assert!(memory.check().is_err());
        assert_eq!(MemoryModel::default().check(), Ok(()));
    }
}
