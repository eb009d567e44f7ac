//! What is shared between targets.

pub mod lowered_features;
