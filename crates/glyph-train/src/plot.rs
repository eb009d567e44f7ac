//! The curves of a run as an SVG picture.

use anyhow::{Result, ensure};

use crate::log::LogLine;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;

/// A curve: its label, colour and value at a log line.
type Curve = (&'static str, &'static str, fn(&LogLine) -> Option<f64>);

const CURVES: [Curve; 9] = [
    (
        "held-out random strings, next character",
        "#c0392b",
        |line| line.held_out_random,
    ),
    ("held-out prose, next character", "#2471a3", |line| {
        line.held_out_prose
    }),
    (
        "held-out random strings, characters known by the tower",
        "#7d3c98",
        |line| line.held_out_cells,
    ),
    ("held-out needles, exact", "#1e8449", |line| {
        line.held_out_needles
    }),
    ("held-out look-ups, exact", "#e67e22", |line| {
        line.held_out_lookups
    }),
    ("held-out \"not there\", exact", "#17a589", |line| {
        line.held_out_not_there
    }),
    ("training, next token", "#aab7b8", |line| {
        (line.answer_loss > 0.0).then_some(line.answer_accuracy)
    }),
    (
        "training, line that a question is about",
        "#af601a",
        |line| (line.place_loss > 0.0).then_some(line.place_accuracy),
    ),
    ("learning rate, relative", "#d4ac0d", |line| {
        Some(line.learning_rate * 300.0)
    }),
];

/// Accuracies over hours, with a line where each curriculum stage begins.
pub fn svg(log: &[LogLine]) -> Result<String> {
    let last = log.last().map_or(0.0, |line| line.seconds);
    ensure!(
        last > 0.0,
        "the log holds no training; run `glyph-train run` first"
    );
    let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / last;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value.clamp(0.0, 1.0));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    for tenth in (0..=10).step_by(2) {
        let value = f64::from(tenth) / 10.0;
        out += &format!(
            "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#e5e8e8\"/><text x=\"{2}\" y=\"{3:.1}\" \
             text-anchor=\"end\">{value:.1}</text>\n",
            y(value),
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(value) + 4.0
        );
    }
    let hours = last / 3600.0;
    for quarter in 0..=4 {
        let at = last * f64::from(quarter) / 4.0;
        out += &format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.2} h</text>\n",
            x(at),
            HEIGHT - BOTTOM + 18.0,
            hours * f64::from(quarter) / 4.0
        );
    }
    let mut stage = "";
    for line in log {
        if line.stage != stage {
            stage = &line.stage;
            out += &format!(
                "<path d=\"M{0:.1} {TOP}V{1:.1}\" stroke=\"#95a5a6\" stroke-dasharray=\"3 3\"/>\
                 <text x=\"{2:.1}\" y=\"{3}\" fill=\"#566573\">{stage}</text>\n",
                x(line.seconds),
                HEIGHT - BOTTOM,
                x(line.seconds) + 3.0,
                TOP - 8.0
            );
        }
    }
    for (i, (label, colour, value)) in CURVES.iter().enumerate() {
        let points: Vec<String> = log
            .iter()
            .filter_map(|line| value(line).map(|v| format!("{:.1},{:.1}", x(line.seconds), y(v))))
            .collect();
        out += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n",
            points.join(" ")
        );
        let legend_y = HEIGHT - BOTTOM - 12.0 - 15.0 * i as f64;
        out += &format!(
            "<path d=\"M{0} {1:.1}h18\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{2}\" \
             y=\"{3:.1}\">{label}</text>\n",
            WIDTH - 400.0,
            legend_y,
            WIDTH - 376.0,
            legend_y + 4.0
        );
    }
    Ok(out + "</svg>\n")
}
