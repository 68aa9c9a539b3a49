//! Exchange between subtasks: result partitions, input gates, credits and framing.
