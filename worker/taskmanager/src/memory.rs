//! How a TaskManager's memory is divided (Flink's `TaskExecutorProcessSpec`).
//!
//! ```text
//!   process = managed (state backends) + network (channels) + heap (the rest: rows, user code)
//! ```
//!
//! Managed and network are fractions of the process; network lies between a least and a most. The
//! network share caps the exchange: all channels of all slots together hold no more than it.

use weir_graph::JobGraph;

/// The window of a channel that has as much memory as it can use.
const WINDOW_BYTES_MAX: u64 = 256 << 10;

/// Below it, each chunk would go in many pieces.
const WINDOW_BYTES_MIN: u64 = 8 << 10;

/// How memory is to be divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryOptions {
    /// All memory of the process.
    pub process_bytes: u64,
    /// The share of state backends.
    pub managed_fraction: f64,
    /// The share of the exchange.
    pub network_fraction: f64,
    /// The least that the exchange gets.
    pub network_bytes_min: u64,
    /// The most that the exchange gets.
    pub network_bytes_max: u64,
}

impl Default for MemoryOptions {
    /// Flink's defaults.
    fn default() -> Self {
        Self {
            process_bytes: 1728 << 20,
            managed_fraction: 0.4,
            network_fraction: 0.1,
            network_bytes_min: 64 << 20,
            network_bytes_max: 1 << 30,
        }
    }
}

/// Memory that cannot be divided as asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum MemoryError {
    /// A fraction is no share of a whole.
    #[error("memory option `{option}` is {value}: want a number between 0 and 1")]
    Fraction {
        /// Which.
        option: &'static str,
        /// What it is.
        value: f64,
    },
    /// The least is more than the most.
    #[error("network memory: the least ({min} bytes) is over the most ({max} bytes)")]
    NetworkRange {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The shares are more than the whole.
    #[error(
        "managed memory ({managed} bytes) and network memory ({network} bytes) do not fit into \
         the process ({process} bytes): lower a fraction or give the process more"
    )]
    Overcommitted {
        /// For state backends.
        managed: u64,
        /// For the exchange.
        network: u64,
        /// All there is.
        process: u64,
    },
    /// There are too many channels for the network memory.
    #[error(
        "network memory of {network} bytes is too little for {channels} channels, which need \
         {needed} bytes: raise it, or lower the parallelism or the number of slots"
    )]
    TooManyChannels {
        /// All there is.
        network: u64,
        /// How many channels the slots can have together.
        channels: u64,
        /// The least that so many need.
        needed: u64,
    },
}

/// How memory is divided, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryModel {
    /// All memory of the process.
    pub process: u64,
    /// For state backends.
    pub managed: u64,
    /// For the exchange.
    pub network: u64,
    /// For everything else.
    pub heap: u64,
}

impl MemoryModel {
    /// Divides memory.
    pub fn new(options: &MemoryOptions) -> Result<Self, MemoryError> {
        let MemoryOptions {
            process_bytes: process,
            managed_fraction,
            network_fraction,
            network_bytes_min: min,
            network_bytes_max: max,
        } = *options;
        let share = |option, value: f64| {
            if !(0.0..=1.0).contains(&value) {
                return Err(MemoryError::Fraction { option, value });
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a share of a size, to the nearest kibibyte at worst"
            )]
            Ok((process as f64 * value) as u64)
        };
        let managed = share("managed-fraction", managed_fraction)?;
        let network = share("network-fraction", network_fraction)?;
        if min > max {
            return Err(MemoryError::NetworkRange { min, max });
        }
        let network = network.clamp(min, max);
        let heap = process
            .checked_sub(managed)
            .and_then(|rest| rest.checked_sub(network));
        let heap = heap.ok_or(MemoryError::Overcommitted {
            managed,
            network,
            process,
        })?;
        Ok(Self {
            process,
            managed,
            network,
            heap,
        })
    }

    /// How much each channel may hold, if `slots` slots run the job.
    pub fn channel_window_bytes(&self, job: &JobGraph, slots: u32) -> Result<usize, MemoryError> {
        let channels = channels_per_slot(job) * u64::from(slots);
        let window = self.network / channels.max(1);
        if window < WINDOW_BYTES_MIN {
            let (network, needed) = (self.network, channels * WINDOW_BYTES_MIN);
            return Err(MemoryError::TooManyChannels {
                network,
                channels,
                needed,
            });
        }
        Ok(usize::try_from(window.min(WINDOW_BYTES_MAX)).unwrap_or(usize::MAX))
    }
}

/// The most input channels that the subtasks of one slot have: one subtask of each vertex.
fn channels_per_slot(job: &JobGraph) -> u64 {
    let widest = |vertex: &weir_graph::JobVertex| {
        let gates = |id: weir_graph::ExecutionVertexId| job.input_gates(id.vertex, id.subtask);
        let channels = vertex.subtasks().map(|id| {
            gates(id)
                .iter()
                .map(|gate| gate.channels.len() as u64)
                .sum::<u64>()
        });
        channels.max().unwrap_or(0)
    };
    job.vertices.iter().map(widest).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Fails if the parts do not come to the whole, or the network share leaves its limits.
        #[test]
        fn the_parts_make_up_the_whole(
            process_bytes in 0u64..1 << 40, managed in 0.0f64..1.0, network in 0.0f64..1.0,
        ) {
            let options = MemoryOptions {
                process_bytes,
                managed_fraction: managed,
                network_fraction: network,
                ..MemoryOptions::default()
            };
            match MemoryModel::new(&options) {
                Ok(model) => {
                    prop_assert_eq!(model.managed + model.network + model.heap, process_bytes);
                    prop_assert!(model.network >= options.network_bytes_min);
                    prop_assert!(model.network <= options.network_bytes_max);
                }
                Err(error) => {
                    let overcommitted = matches!(error, MemoryError::Overcommitted { .. });
                    prop_assert!(overcommitted, "{}", error);
                }
            }
        }
    }

    #[test]
    fn the_defaults_are_flinks() {
        let model = MemoryModel::new(&MemoryOptions::default()).expect("it fits");
        assert_eq!(model.managed >> 20, 691);
        assert_eq!(model.network >> 20, 172);
    }

    #[test]
    fn a_fraction_over_one_is_refused_by_name() {
        let options = MemoryOptions {
            managed_fraction: 1.5,
            ..MemoryOptions::default()
        };
        let error = MemoryModel::new(&options).expect_err("150 %");
        assert!(error.to_string().contains("managed-fraction"), "{error}");
    }
}
