//! scratch
use glyph_render::*;
fn cpu() -> f64 { std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9 }
fn main() {
    let root = std::path::Path::new("/work/main/tests/fixtures/render");
    let mode = std::env::args().nth(1).unwrap();
    for case in ["latin", "chinese", "code"] {
        let text = std::fs::read_to_string(root.join(case).join("text.txt")).unwrap();
        let text = vec![text; 30].join("\n");
        let style = std::fs::read_to_string(root.join(case).join("style.json")).unwrap();
        let r = Renderer::new(RenderStyle::from_json(&style).unwrap(), FontLibrary::bundled()).unwrap();
        let n = r.pages(&text).count() as f64;
        let mut best = f64::MAX;
        for _ in 0..8 {
            let t = cpu();
            match mode.as_str() {
                "layout" => { std::hint::black_box(r.bench_layout(&text)); }
                "pages" => { std::hint::black_box(r.pages(&text).map(|p| p.rgb.len()).sum::<usize>()); }
                _ => { std::hint::black_box(r.png_pages(&text).map(|p| p.unwrap().png.len()).sum::<usize>()); }
            }
            best = best.min((cpu() - t) / n);
        }
        println!("{case} {mode} {:.3} ms", best * 1e3);
    }
}
