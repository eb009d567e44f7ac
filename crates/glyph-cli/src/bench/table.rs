//! `glyph bench` for people.

use bytesize::ByteSize;
use comfy_table::Table;

use super::report::{Comparison, Report};
use super::timing::Seconds;
use crate::figures_table::{aligned, empty};
use crate::info_table::{count, on_one_line};

/// Stands where nothing was measured.
const NOTHING: &str = "–";

/// The report: the model, a row for each figure, transformers beside it where it was measured.
pub fn table(comparison: &Comparison) -> String {
    let ours = &comparison.glyph;
    let parameters = count(usize::try_from(ours.parameters).unwrap_or(usize::MAX));
    let others = [
        ("weights", &ours.quantize),
        ("keys and values", &ours.kv_cache),
    ];
    let others = others
        .into_iter()
        .filter_map(|(what, kind)| Some(format!(", {what} {}", kind.as_ref()?)));
    let dtype = others.fold(ours.dtype.clone(), |line, other| line + &other);
    let lines = [
        (
            "model",
            format!("{}, {parameters} parameters", on_one_line(&ours.model)),
        ),
        ("device", on_one_line(&ours.device)),
        ("dtype", dtype),
    ];
    let lines: String = lines
        .iter()
        .map(|(label, value)| format!("{label:<10}{value}\n"))
        .collect();
    format!(
        "{lines}\n{}\n\nThe decoder's products with weights, each by itself:\n\n{}\n\n{NOTES}",
        rows(comparison).trim_fmt(),
        products(ours).trim_fmt()
    )
}

const NOTES: &str = "\
±          half of the range of the runs, over their median
of copy    bytes that a token has to read (weights, keys and values), over bytes read and written a second by a copy
           of far more than caches hold; beyond 100 % where they hold what is read
of matmul  operations that the work takes, over those a second of burn's product of large matrices; beyond 100 % on a
           CPU where the model's own kernels are faster
           both by the best of the device's runs
";

/// What is measured, and how it is shown.
type Row = (&'static str, fn(&Report) -> Option<String>, Better);

/// Which way the ratio goes.
#[derive(Clone, Copy)]
enum Better {
    Vision,
    Prefill,
    Decode,
    Memory,
    None,
}

const ROWS: [Row; 17] = [
    (
        "make or load the weights",
        |r| Some(format!("{:.2} s", r.load?.seconds)),
        Better::None,
    ),
    (
        "",
        |r| Some(format!("{:.2} GB/s", r.load?.bytes_per_s? / 1e9)),
        Better::None,
    ),
    (
        "vision, a page",
        |r| Some(time(r.vision.as_ref()?.seconds)),
        Better::None,
    ),
    (
        "",
        |r| Some(rate(r.vision.as_ref()?.tokens_per_s)),
        Better::Vision,
    ),
    (
        "",
        |r| Some(share(r.vision.as_ref()?.share_of_matmul?, "matmul")),
        Better::None,
    ),
    (
        "prefill",
        |r| Some(time(r.prefill.as_ref()?.seconds)),
        Better::None,
    ),
    (
        "",
        |r| Some(rate(r.prefill.as_ref()?.tokens_per_s)),
        Better::Prefill,
    ),
    (
        "",
        |r| Some(share(r.prefill.as_ref()?.share_of_matmul?, "matmul")),
        Better::None,
    ),
    (
        "decode, a token",
        |r| Some(time(r.decode.as_ref()?.seconds)),
        Better::None,
    ),
    (
        "",
        |r| Some(rate(r.decode.as_ref()?.tokens_per_s)),
        Better::Decode,
    ),
    (
        "",
        |r| Some(share(r.decode.as_ref()?.share_of_copy?, "copy")),
        Better::None,
    ),
    (
        "weights",
        |r| Some(bytes(r.memory.weight_bytes)),
        Better::None,
    ),
    (
        "keys and values",
        |r| Some(bytes(r.memory.kv_bytes)),
        Better::None,
    ),
    (
        "  a token",
        |r| Some(bytes(r.memory.kv_bytes_per_token)),
        Better::None,
    ),
    (
        "peak memory",
        |r| Some(bytes(r.memory.peak_bytes?)),
        Better::Memory,
    ),
    (
        "the device: copy",
        |r| Some(format!("{:.1} GB/s", r.ceilings.copy?.bytes_per_s / 1e9)),
        Better::None,
    ),
    (
        "  matmul",
        |r| {
            Some(format!(
                "{:.2} TFLOP/s",
                r.ceilings.matmul?.flops_per_s / 1e12
            ))
        },
        Better::None,
    ),
];

fn products(report: &Report) -> Table {
    let mut table = empty(["", "rows", "d_in", "d_out", "time", "of copy", "of matmul"]);
    for product in &report.products {
        let share = |share: Option<f64>| {
            share.map_or_else(
                || NOTHING.to_owned(),
                |share| format!("{:.1} %", share * 1e2),
            )
        };
        table.add_row([
            product.name.clone(),
            product.rows.to_string(),
            product.d_in.to_string(),
            product.d_out.to_string(),
            time(product.seconds),
            share(product.share_of_copy),
            share(product.share_of_matmul),
        ]);
    }
    aligned(table)
}

fn rows(comparison: &Comparison) -> Table {
    let (ours, theirs) = (&comparison.glyph, comparison.transformers.as_ref());
    let mut header = vec![what(ours), ours.engine.clone()];
    if let Some(theirs) = theirs {
        header.extend([theirs.engine.clone(), "ratio".to_owned()]);
    }
    let mut table = empty(header);
    for (label, value, better) in ROWS {
        let show = |report| value(report).unwrap_or_else(|| NOTHING.to_owned());
        let mut row = vec![label.to_owned(), show(ours)];
        if let Some(theirs) = theirs {
            row.extend([show(theirs), ratio(comparison, better)]);
        }
        table.add_row(row);
    }
    aligned(table)
}

/// How much of each was computed.
fn what(report: &Report) -> String {
    let parts = [
        report
            .vision
            .as_ref()
            .map(|v| format!("page {}: {} tokens", v.page_px, v.tokens)),
        report
            .prefill
            .as_ref()
            .map(|p| format!("prompt {} in {}s", p.tokens, p.chunk_tokens)),
        report
            .decode
            .as_ref()
            .map(|d| format!("answer {}", d.tokens)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn ratio(comparison: &Comparison, better: Better) -> String {
    let value = comparison.ratios.and_then(|ratios| match better {
        Better::Vision => ratios.vision,
        Better::Prefill => ratios.prefill,
        Better::Decode => ratios.decode,
        Better::Memory => ratios.peak_bytes,
        Better::None => None,
    });
    value.map_or_else(String::new, |value| format!("{value:.2} ×"))
}

fn time(seconds: Seconds) -> String {
    format!(
        "{:.2} ms ± {:.0} %",
        seconds.median * 1e3,
        seconds.spread() * 1e2
    )
}

fn rate(tokens_per_s: f64) -> String {
    format!("{tokens_per_s:.1} tokens/s")
}

fn share(share: f64, ceiling: &str) -> String {
    format!("{:.1} % of {ceiling}", share * 1e2)
}

fn bytes(n: u64) -> String {
    ByteSize(n).to_string()
}
