//! `glyph info` for people.

use crate::info::{ModelInfo, QuantizedWeights, StoredType, WrongShape, WrongType};
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
                &format!("{} tensors, {}", stored.tensors, bytes(stored.bytes as u64)),
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
                    &format!("{tensors} tensors, {}", bytes(*n_bytes as u64)),
                );
            }
        }
    }
    memory_rows(&mut table, info);
    let (f32_bytes, f16_bytes) = (m.kv_f32_bytes_per_token, m.kv_f16_bytes_per_token);
    table.row(
        "  cache",
        &format!(
            "{} a token as f32, {} as f16",
            bytes(f32_bytes as u64),
            bytes(f16_bytes as u64)
        ),
    );
    table.row(
        "  full context",
        &format!(
            "{} of cache as f32",
            bytes(m.kv_f32_bytes_full_context as u64)
        ),
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

/// What the weights take on each kind of device, and what quantising them would save where the files leave it open.
fn memory_rows(table: &mut Table, info: &ModelInfo) {
    let stored = info.stored.as_ref();
    let quantization = stored.and_then(|stored| stored.quantization);
    let kind = quantization.map_or_else(String::new, |kind| format!("{kind}, the others as "));
    // As `--dtype auto` chooses.
    let (in_f32, in_16_bits) = match stored {
        Some(stored) if stored.is_f32 => (
            "on a CPU and on a GPU by wgpu",
            "by CUDA on a GPU that has bf16",
        ),
        _ => (
            "on a CPU and on a GPU without 16 bits",
            "on a GPU that has f16 or bf16",
        ),
    };
    let weights = &info.memory.weights;
    table.row(
        "memory",
        &format!(
            "{} for weights as {kind}f32, {in_f32}",
            bytes(weights.weights_f32_bytes)
        ),
    );
    table.row(
        "  in 16 bits",
        &format!("{}, {in_16_bits}", bytes(weights.weights_f16_bytes)),
    );
    for QuantizedWeights { quantize, weights } in &info.memory.quantized {
        table.row(
            &format!("  --quantize {quantize}"),
            &format!(
                "{} on a CPU, {} in 16 bits; the decoder's alone are quantised",
                bytes(weights.weights_f32_bytes),
                bytes(weights.weights_f16_bytes)
            ),
        );
    }
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
fn bytes(n: u64) -> String {
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
