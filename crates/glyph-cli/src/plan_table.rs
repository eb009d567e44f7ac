//! `glyph plan` for people.

use bytesize::ByteSize;
use comfy_table::Table;
use glyph_engine::{Footprint, PREFILL_CHUNK, Shortfall};

use crate::figures_table::{aligned, empty};
use crate::info_table::{count, on_one_line};
use crate::plan::{PageRow, PlanReport, WeightsPlan};

/// The report: the model, the tower by page, what requests need.
pub fn table(report: &PlanReport) -> String {
    let device = ByteSize(report.device_bytes);
    let headroom = ByteSize(report.headroom_bytes);
    let lines = [
        line("model", &on_one_line(&report.model)),
        line("device", &format!("{device}, {headroom} of it left free")),
    ];
    let plans: String = report
        .weights
        .iter()
        .map(|plan| {
            let model = model(report, &plan.model_needs);
            format!("{model}\nRequests:\n\n{}\n\n", requests(plan).trim_fmt())
        })
        .collect();
    format!(
        "{}\nVision tower, a page at a time:\n\n{}\n\n{plans}{}",
        lines.concat(),
        pages(report).trim_fmt(),
        notes(report)
    )
}

fn line(label: &str, value: &str) -> String {
    format!("{label:<18}{value}\n")
}

/// What the model takes with weights of one kind.
fn model(report: &PlanReport, needs: &Footprint) -> String {
    let parameters = count(usize::try_from(needs.n_parameters).unwrap_or(usize::MAX));
    let (kv, features) = (needs.kv_bytes_per_token, needs.feature_bytes_per_token);
    let weights = format!(
        "{} of {parameters} parameters as {}{}",
        ByteSize(needs.weight_bytes),
        report.dtype.name(),
        match needs.quantization {
            None => String::new(),
            Some(quantization) => format!(", the decoder's as {quantization}"),
        }
    );
    let token = format!(
        "{} of keys and values, and {} of features if it is of a page",
        ByteSize(kv),
        ByteSize(features)
    );
    let context = format!("{} tokens", needs.context_tokens);
    [
        line("weights", &weights),
        line("a token", &token),
        line("context", &context),
    ]
    .concat()
}

fn pages(report: &PlanReport) -> Table {
    let mut table = empty(["page", "seen as", "patches", "tokens", "activations"]);
    for page in &report.pages {
        table.add_row([
            page.page_px.to_string(),
            page.resized_px.to_string(),
            page.patches.to_string(),
            page.vision_tokens.to_string(),
            ByteSize(page.vision_bytes).to_string(),
        ]);
    }
    aligned(table)
}

fn requests(plan: &WeightsPlan) -> Table {
    let mut table = empty([
        "page", "batch", "context", "decoder", "KV", "features", "total", "fits", "largest",
    ]);
    for PageRow { page_px, row } in &plan.rows {
        let fits = match row.shortfall {
            None => "yes",
            Some(Shortfall::Memory) => "no",
            Some(Shortfall::ModelContext) => "no: context",
            Some(Shortfall::Page) => "no: page",
        };
        let largest = match row.largest_context_tokens {
            0 => "none".to_owned(),
            tokens => tokens.to_string(),
        };
        table.add_row([
            page_px.to_string(),
            row.batch.to_string(),
            row.context_tokens.to_string(),
            ByteSize(row.decoder_bytes).to_string(),
            ByteSize(row.kv_bytes).to_string(),
            ByteSize(row.feature_bytes).to_string(),
            ByteSize(row.total_bytes).to_string(),
            fits.to_owned(),
            largest,
        ]);
    }
    aligned(table)
}

/// What the columns mean.
fn notes(report: &PlanReport) -> String {
    let mut notes = format!(
        "decoder   activations over {PREFILL_CHUNK} positions of a prompt and one token of each answer\n\
         KV        keys and values of all requests of the batch, each as long as the context\n\
         features  of the pages of those requests, their tokens taken to be all of pages\n\
         total     these with weights, vision tower and headroom\n\
         largest   the most tokens that each request of such a batch may have\n"
    );
    let some = |shortfall| {
        let mut rows = report.weights.iter().flat_map(|plan| &plan.rows);
        rows.any(|row| row.row.shortfall == Some(shortfall))
    };
    if some(Shortfall::ModelContext) {
        notes.push_str("no: context   the model's positions do not reach so far\n");
    }
    if some(Shortfall::Page) {
        notes.push_str("no: page      a page alone has more tokens than the context\n");
    }
    notes
}
