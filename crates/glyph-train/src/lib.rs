//! Trains glyph-mini: seeded samples, rendered by this project's renderer, read by this project's model.

pub mod average;
pub mod batch;
pub mod bench;
pub mod checkpoint;
pub mod cite;
pub mod curriculum;
pub mod data;
pub mod emphasis;
pub mod evaluate;
mod exams;
pub mod grow;
pub mod locate;
pub mod log;
pub mod mini;
pub mod misled;
pub mod optimise;
pub mod place;
pub mod plot;
pub mod quantization;
mod row;
pub mod run;
pub mod said;
pub mod samples;
pub mod source;
pub mod starts;
pub mod style;
#[cfg(test)]
mod test_batches;
pub mod trainee;
mod written;
