//! Times this renderer beside the official steps (reportlab, poppler, cropping, PNG) on the same
//! text and the same cores, in turns, this renderer and its fonts made anew each time, and prints how many times faster it is: by the clock, and by
//! the processor time of both, which other work on the machine disturbs less (Linux only).
//!
//! With `--png` it compares PNG encoders instead: the crate's own, and the one of the crate `image`
//! with its fast settings, on the same pages in turns.
//!
//! ```text
//! cargo run --release --example bench_render -- --python venv/bin/python
//! cargo run --release --example bench_render -- --png
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use glyph_render::{FontLibrary, NewlineMarkup, Page, RenderStyle, Renderer};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
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
    /// Compare PNG encoders instead of renderers
    #[arg(long)]
    png: bool,
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
    if options.png {
        return compare_png_encoders(&options, &root);
    }
    let mut results = Vec::new();
    for case in &options.case {
        let (text, style) = read_case(&options, &root, case)?;
        let folder = root.join("tests/fixtures/render").join(case);
        let (mut official, mut ours) = (Run::default(), Run::default());
        for _ in 0..options.rounds {
            official.add(run_official(&options, &root, &folder, &text)?);
            // Ours is so short that it is repeated, to meet the same noise of the machine.
            for _ in 0..OURS_PER_ROUND {
                ours.add(run_ours(&style, &text, options.cores)?);
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

/// A fixture's text, as often as the options want it, and its style.
fn read_case(
    options: &Options,
    root: &Path,
    case: &str,
) -> Result<(String, RenderStyle), Box<dyn Error>> {
    let folder = root.join("tests/fixtures/render").join(case);
    let text = fs::read_to_string(folder.join("text.txt"))?;
    let style = RenderStyle::from_json(&fs::read_to_string(folder.join("style.json"))?)?;
    Ok((vec![text; options.repeat].join("\n"), style))
}

/// Encodes the pages of every case with both encoders, in gray and, with red markers, in colour.
fn compare_png_encoders(options: &Options, root: &Path) -> Result<(), Box<dyn Error>> {
    const FILTERS: [FilterType; 3] = [FilterType::NoFilter, FilterType::Sub, FilterType::Adaptive];
    for case in &options.case {
        for markup in [NewlineMarkup::line_break(), NewlineMarkup::red_marker()] {
            let (text, mut style) = read_case(options, root, case)?;
            let is_gray = markup == NewlineMarkup::line_break();
            style.newline_markup = markup;
            let renderer = Renderer::new(style, FontLibrary::bundled())?;
            let pages: Vec<Page> = renderer.pages(&text).collect();
            // Processor time and bytes of all pages: ours, then the others'.
            let mut results = [(0.0, 0); 1 + FILTERS.len()];
            for _ in 0..options.rounds {
                let own = encode_all(&pages, |page| Ok(page.to_png()?))?;
                let general = FILTERS
                    .map(|filter| encode_all(&pages, |page| general_png(page, is_gray, filter)));
                for (sum, run) in results.iter_mut().zip([Ok(own)].into_iter().chain(general)) {
                    let (seconds, bytes) = run?;
                    *sum = (sum.0 + seconds, sum.1 + bytes);
                }
            }
            let [(own_seconds, own_bytes), general @ ..] = results;
            let per_page = |total: f64| total / (pages.len() * options.rounds) as f64;
            println!(
                "{case}, {}: {} pages, ours {:.2} ms and {:.0} kB a page",
                if is_gray { "gray" } else { "RGB" },
                pages.len(),
                per_page(own_seconds * 1e3),
                per_page(own_bytes as f64 / 1e3),
            );
            for (filter, (seconds, bytes)) in FILTERS.iter().zip(general) {
                println!(
                    "  image, fast, {filter:?}: {:.1} times the time, {:.2} times the bytes",
                    seconds / own_seconds,
                    bytes as f64 / own_bytes as f64,
                );
            }
        }
    }
    Ok(())
}

/// Processor time and bytes of all files.
fn encode_all(
    pages: &[Page],
    encode: impl Fn(&Page) -> Result<Vec<u8>, Box<dyn Error>>,
) -> Result<(f64, usize), Box<dyn Error>> {
    let start = cpu_seconds();
    let mut bytes = 0;
    for page in pages {
        bytes += encode(page)?.len();
    }
    Ok((cpu_seconds() - start, bytes))
}

/// A page as the crate `image` encodes it, from the same pixels and of the same kind.
fn general_png(page: &Page, is_gray: bool, filter: FilterType) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut png = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, filter);
    let (width_px, height_px) = (page.width_px, page.height_px);
    if is_gray {
        let gray: Vec<u8> = page.rgb.chunks_exact(3).map(|pixel| pixel[0]).collect();
        encoder.write_image(&gray, width_px, height_px, ExtendedColorType::L8)?;
    } else {
        encoder.write_image(&page.rgb, width_px, height_px, ExtendedColorType::Rgb8)?;
    }
    Ok(png)
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

fn run_ours(style: &RenderStyle, text: &str, cores: usize) -> Result<Run, Box<dyn Error>> {
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let renderer = Renderer::new(style.clone(), FontLibrary::bundled())?;
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

/// Processor time of this process's threads, from Linux's process table, in steps of a few
/// milliseconds; 0 elsewhere.
fn cpu_seconds() -> f64 {
    const NANOSECONDS: f64 = 1e9;
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / NANOSECONDS
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
