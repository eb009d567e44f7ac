//! Times this renderer beside the official steps (reportlab, poppler, cropping, PNG) on the same
//! text and the same cores, in turns, and prints how many times faster it is: by the clock, and by
//! the processor time of both, which other work on the machine disturbs less (Linux only).
//!
//! ```text
//! cargo run --release -p glyph-render --example bench_render -- --python venv/bin/python
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use glyph_render::{FontLibrary, RenderStyle, Renderer};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(about = "Times glyph-render beside reportlab and poppler")]
struct Options {
    /// Python with tests/reference/requirements-render.txt installed
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Fixtures whose text and style are rendered
    #[arg(long, default_values = ["latin", "chinese", "code"])]
    case: Vec<String>,
    /// Times that a fixture's text is repeated
    #[arg(long, default_value_t = 8)]
    repeat: usize,
    /// Turns of both renderers; the sum of all counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Processes of the official steps and threads of this renderer
    #[arg(long, default_value_t = 1)]
    cores: usize,
}

/// Runs of this renderer for each run of the official steps.
const OURS_PER_ROUND: usize = 20;

/// Seconds and pages of all runs.
#[derive(Default)]
struct Run {
    seconds: f64,
    /// Processor time of all threads and processes; 0 where it cannot be read.
    cpu_seconds: f64,
    pages: usize,
}

impl Run {
    fn add(&mut self, run: Run) {
        self.seconds += run.seconds;
        self.cpu_seconds += run.cpu_seconds;
        self.pages += run.pages;
    }

    fn pages_per_second(&self) -> f64 {
        self.pages as f64 / self.seconds
    }

    fn pages_per_cpu_second(&self) -> f64 {
        self.pages as f64 / self.cpu_seconds
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    rayon_threads(options.cores)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut results = Vec::new();
    for case in &options.case {
        let folder = root.join("tests/fixtures/render").join(case);
        let text = fs::read_to_string(folder.join("text.txt"))?;
        let text = vec![text; options.repeat].join("\n");
        let style = fs::read_to_string(folder.join("style.json"))?;
        let renderer = Renderer::new(RenderStyle::from_json(&style)?, FontLibrary::bundled())?;
        let (mut official, mut ours) = (Run::default(), Run::default());
        for _ in 0..options.rounds {
            official.add(run_official(&options, &root, &folder, &text)?);
            // Ours is so short that it is repeated, to meet the same noise of the machine.
            for _ in 0..OURS_PER_ROUND {
                ours.add(run_ours(&renderer, &text, options.cores)?);
            }
        }
        let ratio = ours.pages_per_second() / official.pages_per_second();
        let cpu_ratio = ours.pages_per_cpu_second() / official.pages_per_cpu_second();
        println!(
            "{case}: {} pages, official {:.2} pages/s, ours {:.0} pages/s, {ratio:.0} times \
             ({cpu_ratio:.0} times by processor time)",
            ours.pages / OURS_PER_ROUND / options.rounds,
            official.pages_per_second(),
            ours.pages_per_second(),
        );
        results.push(json!({
            "case": case,
            "characters": text.chars().count(),
            "pages": ours.pages / OURS_PER_ROUND / options.rounds,
            "official_pages": official.pages / options.rounds / options.cores,
            "cores": options.cores,
            "official_pages_per_second": official.pages_per_second(),
            "pages_per_second": ours.pages_per_second(),
            "ratio": ratio,
            "official_pages_per_cpu_second": official.pages_per_cpu_second(),
            "pages_per_cpu_second": ours.pages_per_cpu_second(),
            "cpu_ratio": cpu_ratio,
        }));
    }
    let small = small_pages_per_second(&root)?;
    println!("small pages of 300 to 500 characters: {small:.0} pages/s on one core");
    println!(
        "{}",
        json!({"cases": results, "small_pages_per_second": small})
    );
    Ok(())
}

/// Pages per second for many short texts from one renderer, as a trainer renders them.
fn small_pages_per_second(root: &Path) -> Result<f64, Box<dyn Error>> {
    const TEXTS: usize = 5000;
    let folder = root.join("tests/fixtures/render/mini_16_lines");
    let style = RenderStyle::from_json(&fs::read_to_string(folder.join("style.json"))?)?;
    let renderer = Renderer::new(style, FontLibrary::bundled())?;
    let text: Vec<char> = fs::read_to_string(folder.join("text.txt"))?
        .chars()
        .collect();
    let part = |number: usize| {
        text.iter()
            .skip(number % 997)
            .take(300 + number % 200)
            .collect()
    };
    let texts: Vec<String> = (0..TEXTS).map(part).collect();
    let start = Instant::now();
    let pages: usize = texts.iter().map(|text| renderer.pages(text).count()).sum();
    Ok(pages as f64 / start.elapsed().as_secs_f64())
}

fn rayon_threads(cores: usize) -> Result<(), Box<dyn Error>> {
    // rayon reads this once, when its first job starts; nothing else runs yet.
    rayon::ThreadPoolBuilder::new()
        .num_threads(cores)
        .build_global()?;
    Ok(())
}

fn run_ours(renderer: &Renderer, text: &str, cores: usize) -> Result<Run, Box<dyn Error>> {
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let mut pages = 0;
    if cores == 1 {
        for page in renderer.png_pages(text) {
            page?;
            pages += 1;
        }
    } else {
        for page in renderer.png_pages_parallel(text) {
            page?;
            pages += 1;
        }
    }
    let cpu_seconds = cpu_seconds() - cpu_start;
    Ok(Run {
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds,
        pages,
    })
}

/// Processor time that this process has used, from Linux's process table.
fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the process's name, which ends in a bracket; times are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    times
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

/// Runs tests/reference/render_bench.py, which times itself without the start of Python.
fn run_official(
    options: &Options,
    root: &Path,
    folder: &Path,
    text: &str,
) -> Result<Run, Box<dyn Error>> {
    let text_path = std::env::temp_dir().join(format!("glyph-bench-{}.txt", std::process::id()));
    fs::write(&text_path, text)?;
    let output = Command::new(&options.python)
        .arg(root.join("tests/reference/render_bench.py"))
        .arg("--style")
        .arg(folder.join("style.json"))
        .arg("--text")
        .arg(&text_path)
        .args(["--cores", &options.cores.to_string()])
        .output()?;
    fs::remove_file(&text_path)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let result: Value = serde_json::from_slice(&output.stdout)?;
    let number = |key: &str| {
        result[key]
            .as_f64()
            .ok_or(format!("no {key} from render_bench.py"))
    };
    Ok(Run {
        seconds: number("seconds")?,
        cpu_seconds: number("cpu_seconds")?,
        pages: number("pages")? as usize,
    })
}
