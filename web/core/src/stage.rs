//! Words of closed sets in messages: where work is, what runs it, how it ended.

use serde::{Deserialize, Serialize};

/// What a drawing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrawingStage {
    /// A font is fetched.
    Font,
    /// Pages are drawn.
    Pages,
}

/// What the loading of a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadStage {
    /// A file is fetched.
    Download,
    /// The device is opened.
    Device,
    /// Weights are brought to it.
    Weights,
}

/// What a model does before the first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerStage {
    /// Pages pass the vision tower.
    Encode,
    /// The prompt passes the decoder.
    Prefill,
}

/// What runs a model in a tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TabDevice {
    /// A graphics adapter, by WebGPU.
    Webgpu,
    /// The CPU.
    Cpu,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// By itself.
    Stop,
    /// At the longest that was wanted.
    Length,
    /// By the person.
    Cancelled,
}

impl Finish {
    /// As messages and servers name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
        }
    }
}
