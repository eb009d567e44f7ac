//! `glyph info` for people.

use crate::info::{ModelInfo, StoredType, WrongShape, WrongType};
use crate::output;

/// Most tensor names listed of each kind; JSON lists all.
const MOST_LISTED: usize = 20;

/// The report as lines of label and value.
pub fn table(info: &ModelInfo) -> String {
    let ModelInfo {
        architecture: a,
        parameters: p,
        memory: m,
        ..
    } = info;
    let mut table = Table(String::new());
    table.row("model", &info.model);
    table.row("architecture", a.name);
    let head = if a.tied_embeddings {
        "output head tied to the embeddings"
    } else {
        "own output head"
    };
    table.row(
        "decoder",
        &format!(
            "{} layers of {}, {} query and {} key-value heads, {head}",
            a.decoder_layers, a.decoder_width, a.query_heads, a.key_value_heads
        ),
    );
    let tokens = format!(
        "{} patches of {} px a token",
        a.patches_per_token, a.patch_px
    );
    table.row(
        "vision tower",
        &format!("{} blocks of {}, {tokens}", a.vision_blocks, a.vision_width),
    );
    table.row("vocabulary", &format!("{} tokens", a.vocabulary));
    table.row("context", &format!("{} tokens", a.context_tokens));
    table.row("parameters", &count(p.total));
    table.row("  vision", &count(p.vision));
    table.row("  decoder", &count(p.decoder));
    table.row("  embeddings", &count(p.embeddings));
    if p.output_head > 0 {
        table.row("  output head", &count(p.output_head));
    }
    match &info.stored {
        None => table.row("stored", "the weight files cannot be opened"),
        Some(stored) => {
            table.row(
                "stored",
                &format!("{} tensors, {}", stored.tensors, bytes(stored.bytes)),
            );
            for (
                dtype,
                StoredType {
                    tensors,
                    bytes: n_bytes,
                },
            ) in &stored.dtypes
            {
                table.row(
                    &format!("  {dtype}"),
                    &format!("{tensors} tensors, {}", bytes(*n_bytes)),
                );
            }
        }
    }
    table.row(
        "memory",
        &format!(
            "{} for weights as f32, which this build runs in",
            bytes(m.weights_f32_bytes)
        ),
    );
    table.row("  as f16", &bytes(m.weights_f16_bytes));
    for (name, n_bytes) in [("q8", m.weights_q8_bytes), ("q4", m.weights_q4_bytes)] {
        let n_bytes = bytes(usize::try_from(n_bytes).unwrap_or(usize::MAX));
        table.row(
            &format!("  as {name}"),
            &format!("{n_bytes}, the decoder's by --quantize {name} and the others as f16"),
        );
    }
    let (f32_bytes, f16_bytes) = (m.kv_f32_bytes_per_token, m.kv_f16_bytes_per_token);
    table.row(
        "  cache",
        &format!(
            "{} a token as f32, {} as f16",
            bytes(f32_bytes),
            bytes(f16_bytes)
        ),
    );
    table.row(
        "  full context",
        &format!("{} of cache as f32", bytes(m.kv_f32_bytes_full_context)),
    );
    table.list("missing tensors", &info.missing_tensors);
    let wrong_shapes: Vec<String> = info
        .wrong_shapes
        .iter()
        .map(
            |WrongShape {
                 tensor,
                 expected,
                 found,
             }| {
                format!("{tensor} has shape {found:?}, config.json asks for {expected:?}")
            },
        )
        .collect();
    table.list("wrong shapes", &wrong_shapes);
    let wrong_types: Vec<String> = info.wrong_types.iter().map(WrongType::line).collect();
    table.list("wrong types", &wrong_types);
    table.list("unused tensors", &info.unexpected_tensors);
    table.list("file problems", &info.file_problems);
    table.row("complete", if info.is_complete { "yes" } else { "no" });
    table.0
}

struct Table(String);

impl Table {
    fn row(&mut self, label: &str, value: &str) {
        self.0
            .push_str(&format!("{label:<18}{}\n", on_one_line(value)));
    }

    /// Nothing when there is nothing to list.
    fn list(&mut self, label: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.row(label, &items.len().to_string());
        for item in items.iter().take(MOST_LISTED) {
            self.0.push_str(&format!("  {}\n", on_one_line(item)));
        }
        if items.len() > MOST_LISTED {
            self.0.push_str(&format!(
                "  and {} more; --json lists all\n",
                items.len() - MOST_LISTED
            ));
        }
    }
}

/// A name out of a checkpoint, which may hold anything, as a part of one line.
pub fn on_one_line(text: &str) -> String {
    output::tame(text).replace(['\n', '\t'], "\u{FFFD}")
}

/// A parameter count with its digits in groups.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A byte count in its decimal unit.
fn bytes(n: usize) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 { 0 } else { 1 };
    format!("{value:.decimals$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::{bytes, count};

    #[test]
    fn figures_are_grouped_and_scaled() {
        assert_eq!(
            [count(7), count(1234), count(1_234_567)],
            ["7", "1,234", "1,234,567"]
        );
        assert_eq!(
            [bytes(999), bytes(1500), bytes(38_000_000_000)],
            ["999 B", "1.5 kB", "38.0 GB"]
        );
    }
}
