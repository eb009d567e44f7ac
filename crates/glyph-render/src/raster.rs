//! Draws a laid-out page with glyph images from the text engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cosmic_text::{
    CacheKey, CacheKeyFlags, FontSystem, SubpixelBin, SwashCache, SwashContent, SwashImage,
};

use crate::canvas::{Canvas, Coverage, PixelRect};
use crate::layout::{PageItem, PageLayout, ParagraphBox, PlacedLine};
use crate::measure::pdf_number;
use crate::metrics::{CharInfo, FaceSet, font_system};
use crate::page::PageLine;
use crate::style::{RenderStyle, Rgb};
use crate::text::NO_BREAK_SPACE;

/// Horizontal positions of a glyph within a pixel that are told apart, as in poppler.
const BINS: [SubpixelBin; 4] = [
    SubpixelBin::Zero,
    SubpixelBin::One,
    SubpixelBin::Two,
    SubpixelBin::Three,
];

/// Faces whose bounding box, with a margin, is taller than this are placed on whole pixels, as in
/// poppler.
const MAX_BINNED_BOX_PX: i64 = 50;
/// The margin that poppler adds to a bounding box's height in whole pixels.
const BOX_MARGIN_PX: i64 = 3;

/// Memory that one thread's glyph images may take. In the official styles all characters of the
/// bundled fonts stay below it; images of large type are dropped and drawn again.
const MAX_IMAGE_BYTES: usize = 64 << 20;

/// A buffer that is larger is not kept for the next page: to map and clear it anew takes little of
/// the time of a page of more than 4 million pixels.
const MAX_KEPT_BUFFER_BYTES: usize = 16 << 20;

/// What the text engine takes for the fonts of a library, about.
const TEXT_ENGINE_BYTES: usize = 256 << 10;

/// Slot of a glyph that was not drawn yet.
const UNKNOWN: u32 = u32::MAX;
/// Slot of a glyph without pixels, such as a space.
const BLANK: u32 = u32::MAX - 1;

/// The text engine and the glyph images of one thread.
pub(crate) struct Rasterizer {
    system: FontSystem,
    cache: SwashCache,
    faces: Vec<FaceImages>,
    images: Vec<Coverage>,
    image_bytes: usize,
    pub(crate) memory: Memory,
}

/// Large buffers, kept from page to page so that the system need not map and clear them anew.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) canvas: Vec<u8>,
    pub(crate) png: Vec<u8>,
}

/// The images of one face.
struct FaceImages {
    /// Place in [`Rasterizer::images`] of each glyph at each position.
    slots: Vec<u32>,
    /// Positions within a pixel are told apart.
    is_binned: bool,
}

/// What every page of a renderer shares while it is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Paint<'a> {
    pub(crate) style: &'a RenderStyle,
    pub(crate) faces: &'a FaceSet,
    /// The text colour, then the markers' colours.
    pub(crate) colors: &'a [Rgb],
    /// 1 where everything is gray, else 3.
    pub(crate) channels: usize,
}

impl Rasterizer {
    pub(crate) fn new(faces: &FaceSet, style: &RenderStyle) -> Rasterizer {
        let font_px = style.font_size_pt * style.px_per_pt();
        let images = faces.faces.iter().map(|face| FaceImages {
            slots: Vec::new(),
            is_binned: {
                let (bottom_em, top_em) = face.box_em;
                let height_px = (top_em * font_px) as i64 - (bottom_em * font_px) as i64;
                height_px + BOX_MARGIN_PX <= MAX_BINNED_BOX_PX
            },
        });
        Rasterizer {
            system: font_system(&faces.database),
            cache: SwashCache::new(),
            faces: images.collect(),
            images: Vec::new(),
            image_bytes: 0,
            memory: Memory::default(),
        }
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let slots = self.faces.iter().map(|face| face.slots.capacity());
        let Memory { canvas, png } = &self.memory;
        TEXT_ENGINE_BYTES
            + slots.sum::<usize>() * size_of::<u32>()
            + self.image_bytes
            + canvas.capacity()
            + png.capacity()
    }

    /// Gives up the buffers of large pages.
    pub(crate) fn drop_large_buffers(&mut self) {
        for buffer in [&mut self.memory.canvas, &mut self.memory.png] {
            if buffer.capacity() > MAX_KEPT_BUFFER_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    /// Draws a page before scaling and cropping, and says where its lines are.
    pub(crate) fn draw(&mut self, layout: &PageLayout, paint: Paint) -> (Canvas, Vec<PageLine>) {
        let style = paint.style;
        let (width_px, height_px) = style.page_px();
        let memory = std::mem::take(&mut self.memory.canvas);
        let mut canvas = Canvas::new(width_px, height_px, paint.channels, memory);
        let scale = style.px_per_pt();
        if style.page_bg_color != Rgb::WHITE {
            let page = PixelRect {
                left: 0,
                top: 0,
                right: (style.page_width_pt * scale).round() as i64,
                bottom: (style.page_height_pt * scale).round() as i64,
            };
            canvas.fill(page, style.page_bg_color);
        }
        let mut lines = Vec::new();
        for item in &layout.items {
            match item {
                PageItem::Box(paragraph) => draw_box(&mut canvas, *paragraph, style),
                PageItem::Line(line) => lines.push(self.draw_line(&mut canvas, line, paint)),
            }
        }
        (canvas, lines)
    }

    fn draw_line(&mut self, canvas: &mut Canvas, line: &PlacedLine, paint: Paint) -> PageLine {
        let style = paint.style;
        let scale = style.px_per_pt();
        let origin_x_px = line.origin_pt.0 * scale;
        let origin_y_px = style.top_edge_px() - line.origin_pt.1 * scale;
        let baseline_px = origin_y_px - line.start_pt.1 * scale;
        let row = floor(baseline_px);
        let font_size_pt = pdf_number(style.font_size_pt);
        let mut x_pt = line.start_pt.0;
        let mut runs = line.colors.iter().copied();
        let (mut run_end, mut color) = (0, Rgb::BLACK);
        for (at, character) in line.text.char_indices() {
            while at >= run_end {
                let Some((end, number)) = runs.next() else {
                    break;
                };
                (run_end, color) = (end, paint.colors[usize::from(number)]);
            }
            let info = paint.faces.info(character);
            let quarter = floor((x_pt * scale + origin_x_px) * BINS.len() as f64);
            let (column, bin) = (quarter >> 2, (quarter & 3) as usize);
            if let Some(image) = self.image(info, bin, paint) {
                canvas.draw(image, column, row, color);
            }
            x_pt += info.drawn_em * font_size_pt;
            if character == ' ' || character == NO_BREAK_SPACE {
                x_pt += line.word_space_pt;
            }
        }
        let stretch = style.horizontal_scale;
        PageLine {
            text: line.text.clone(),
            x_px: ((line.start_pt.0 * scale + origin_x_px) * stretch) as f32,
            baseline_px: baseline_px as f32,
            width_px: ((x_pt - line.start_pt.0) * scale * stretch) as f32,
        }
    }

    /// The image of a glyph at one of four positions within a pixel.
    fn image(&mut self, info: &CharInfo, bin: usize, paint: Paint) -> Option<&Coverage> {
        let face = self.faces.get_mut(usize::from(info.face))?;
        let bin = if face.is_binned { bin } else { 0 };
        let place = usize::from(info.glyph) * BINS.len() + bin;
        match face.slots.get(place) {
            Some(slot) if *slot != UNKNOWN => self.images.get(*slot as usize),
            _ => self.draw_image(info, bin, paint),
        }
    }

    /// Draws a glyph and keeps its image.
    #[cold]
    fn draw_image(&mut self, info: &CharInfo, bin: usize, paint: Paint) -> Option<&Coverage> {
        let face = &paint.faces.faces[usize::from(info.face)];
        let key = CacheKey {
            font_id: face.id,
            glyph_id: info.glyph,
            font_size_bits: ((paint.style.font_size_pt * paint.style.px_per_pt()) as f32).to_bits(),
            x_bin: BINS[bin],
            y_bin: SubpixelBin::Zero,
            font_weight: face.weight,
            flags: CacheKeyFlags::DISABLE_HINTING,
        };
        let image = self.outline(key, paint.faces);
        let mask = image.filter(|image| image.content == SwashContent::Mask);
        let slot = match mask {
            Some(image) if !image.data.is_empty() => {
                let place = (image.placement.left, image.placement.top);
                let size_px = (image.placement.width, image.placement.height);
                let (canvas_px, _) = paint.style.page_px();
                let coverage =
                    Coverage::new(place, size_px, &image.data, canvas_px, paint.channels);
                self.keep(coverage)
            }
            _ => BLANK,
        };
        let slots = &mut self.faces.get_mut(usize::from(info.face))?.slots;
        if slots.is_empty() {
            slots.resize(face.glyph_count * BINS.len(), UNKNOWN);
        }
        *slots.get_mut(usize::from(info.glyph) * BINS.len() + bin)? = slot;
        self.images.get(slot as usize)
    }

    /// Has the text engine draw a glyph. It may panic over a damaged font, whose glyph is blank then.
    fn outline(&mut self, key: CacheKey, faces: &FaceSet) -> Option<SwashImage> {
        let (cache, system) = (&mut self.cache, &mut self.system);
        let draw = AssertUnwindSafe(|| cache.get_image_uncached(system, key));
        catch_unwind(draw).unwrap_or_else(|_| {
            self.system = font_system(&faces.database);
            self.cache = SwashCache::new();
            None
        })
    }

    /// Keeps an image, without the others where there are too many, and gives its slot.
    fn keep(&mut self, image: Coverage) -> u32 {
        self.image_bytes += image.bytes();
        if self.image_bytes > MAX_IMAGE_BYTES {
            self.faces
                .iter_mut()
                .for_each(|face| face.slots.fill(UNKNOWN));
            self.images.clear();
            self.image_bytes = image.bytes();
        }
        self.images.push(image);
        self.images.len() as u32 - 1
    }
}

/// The next whole number below or at `value`, without a call into the mathematics library.
#[inline]
fn floor(value: f64) -> i64 {
    let truncated = value as i64;
    truncated - i64::from((truncated as f64) > value)
}

/// Draws a paragraph's background and border with edges on whole pixels, as poppler adjusts them.
fn draw_box(canvas: &mut Canvas, paragraph: ParagraphBox, style: &RenderStyle) {
    let scale = style.px_per_pt();
    let edge = |x_pt: f64| (x_pt * scale).round() as i64;
    let row = |y_pt: f64| (style.top_edge_px() - y_pt * scale).round() as i64;
    // A shape is never thinner than a pixel.
    let rect = |left_pt: f64, bottom_pt: f64, right_pt: f64, top_pt: f64| {
        let (left, top) = (edge(left_pt), row(top_pt));
        let (right, bottom) = (edge(right_pt).max(left + 1), row(bottom_pt).max(top + 1));
        PixelRect {
            left,
            top,
            right,
            bottom,
        }
    };
    let (left_pt, bottom_pt) = (paragraph.left_pt, paragraph.bottom_pt);
    let right_pt = left_pt + paragraph.width_pt;
    let top_pt = bottom_pt + paragraph.height_pt;
    canvas.fill(
        rect(left_pt, bottom_pt, right_pt, top_pt),
        style.para_bg_color,
    );
    if style.border_width_pt > 0.0 {
        let half_pt = style.border_width_pt / 2.0;
        let (outer_left_pt, outer_right_pt) = (left_pt - half_pt, right_pt + half_pt);
        let (outer_bottom_pt, outer_top_pt) = (bottom_pt - half_pt, top_pt + half_pt);
        let sides = [
            rect(
                outer_left_pt,
                outer_bottom_pt,
                left_pt + half_pt,
                outer_top_pt,
            ),
            rect(
                right_pt - half_pt,
                outer_bottom_pt,
                outer_right_pt,
                outer_top_pt,
            ),
            rect(
                outer_left_pt,
                outer_bottom_pt,
                outer_right_pt,
                bottom_pt + half_pt,
            ),
            rect(
                outer_left_pt,
                top_pt - half_pt,
                outer_right_pt,
                outer_top_pt,
            ),
        ];
        for side in sides {
            canvas.fill(side, style.para_border_color);
        }
    }
}
