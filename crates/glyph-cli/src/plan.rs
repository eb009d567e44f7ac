//! `glyph plan`: whether a model fits a device, from its configuration alone.

use glyph_engine::{Footprint, PlanRow, default_headroom_bytes};
use glyph_model::ModelError;
use glyph_model::checkpoint::read_geometry;
use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::smart_resize;
use glyph_model::quantize::Quantization;
use glyph_model::weights::table_dtype;
use serde::Serialize;

use crate::args::PlanArgs;
use crate::device;
use crate::error::CliError;
use crate::model::{self, ModelFiles};
use crate::plan_values::{DeviceKind, PageSize, ValueType, WeightsAs};
use crate::{output, plan_table};

/// Contexts that are planned for unless told otherwise, as far as the model's own reaches.
const CONTEXTS: [usize; 4] = [8192, 32_768, 65_536, 131_072];

/// The object that `glyph plan --json` prints.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    /// Name or directory.
    pub model: String,
    /// Type of weights, activations, keys and values.
    pub dtype: ValueType,
    /// Memory of the device.
    pub device_bytes: u64,
    /// What is left untouched of it.
    pub headroom_bytes: u64,
    /// The vision tower by size of page.
    pub pages: Vec<PagePlan>,
    /// By what the decoder's weights are kept as.
    pub weights: Vec<WeightsPlan>,
}

/// The model with weights of one kind.
#[derive(Debug, Serialize)]
pub struct WeightsPlan {
    /// What the model takes.
    pub model_needs: Footprint,
    /// Page size × requests at once × tokens of each.
    pub rows: Vec<PageRow>,
}

/// The vision tower over a page.
#[derive(Debug, Serialize)]
pub struct PagePlan {
    /// Size as it was given.
    pub page_px: PageSize,
    /// Size that the model sees.
    pub resized_px: PageSize,
    /// Patches that pass the tower.
    pub patches: usize,
    /// Tokens that it makes of them.
    pub vision_tokens: usize,
    /// Activations of the tower.
    pub vision_bytes: u64,
}

/// A row, and the page that it is for.
#[derive(Debug, Serialize)]
pub struct PageRow {
    /// Size of the pages.
    pub page_px: PageSize,
    /// What the requests need.
    #[serde(flatten)]
    pub row: PlanRow,
}

/// Runs the command.
pub fn run(args: &PlanArgs) -> Result<(), CliError> {
    let report = PlanReport::new(args)?;
    if args.json {
        output::json(&report)
    } else {
        output::text(&plan_table::table(&report))
    }
}

impl PlanReport {
    fn new(args: &PlanArgs) -> Result<Self, CliError> {
        let files = ModelFiles::find(args.model.as_deref())?;
        let (config, preprocessor) = read_geometry(&files).map_err(|error| files.error(error))?;
        let is_cpu = args.device == DeviceKind::Cpu;
        // The weights need not be there; where they are, a head that they hold is loaded, whatever the
        // configuration says of tying.
        let (config, stored, table_bytes) = match files.weights() {
            Ok(weights) => {
                // Which types a GPU has is not known here.
                let table_bytes = is_cpu.then(|| {
                    let table = table_dtype(&weights, args.dtype.dtype(), &device::host());
                    table.size() as u64
                });
                let config = model::config_for(config, &weights);
                (config, weights.quantization(), table_bytes)
            }
            Err(error @ ModelError::MixedQuantization { .. }) => return Err(files.error(error)),
            Err(_) => (config, None, None),
        };
        let footprint = Footprint::new(&config, args.dtype.bytes()).on(is_cpu);
        let pages = args
            .page
            .iter()
            .map(|page| PagePlan::new(*page, &footprint, &preprocessor))
            .collect::<Result<Vec<_>, CliError>>()?;
        let device_bytes = args.device_memory.0;
        let headroom_bytes = args.memory_headroom.map_or_else(
            || default_headroom_bytes(is_cpu, device_bytes),
            |size| size.0,
        );
        let memory = (device_bytes, headroom_bytes);
        let weights = kinds_of_weights(&args.quantize, stored)?
            .into_iter()
            .map(|quantization| {
                let footprint = footprint
                    .clone()
                    .quantized(&config, quantization, table_bytes)
                    .with_kv_precision(&config, args.kv_cache);
                WeightsPlan::new(args, footprint, &pages, memory)
            })
            .collect();
        Ok(Self {
            model: files.name(),
            dtype: args.dtype,
            device_bytes,
            headroom_bytes,
            pages,
            weights,
        })
    }
}

impl WeightsPlan {
    fn new(
        args: &PlanArgs,
        model_needs: Footprint,
        pages: &[PagePlan],
        memory: (u64, u64),
    ) -> Self {
        let contexts = contexts(&args.context, model_needs.context_tokens);
        let mut rows = Vec::with_capacity(pages.len() * args.batch.len() * contexts.len());
        for page in pages {
            for batch in &args.batch {
                for context_tokens in &contexts {
                    let requests = (*batch, *context_tokens);
                    rows.push(PageRow {
                        page_px: page.page_px,
                        row: PlanRow::new(&model_needs, page.patches, requests, memory),
                    });
                }
            }
        }
        Self { model_needs, rows }
    }
}

impl PagePlan {
    fn new(
        page_px: PageSize,
        footprint: &Footprint,
        preprocessor: &PreprocessorConfig,
    ) -> Result<Self, CliError> {
        let resized = smart_resize(page_px.height_px, page_px.width_px, preprocessor);
        let (height_px, width_px) = resized.map_err(|reason| CliError::Parameter {
            option: "--page".to_owned(),
            value: page_px.to_string(),
            reason: format!("the page {reason}"),
        })?;
        let patch_px = preprocessor.patch_size;
        let patches = (height_px / patch_px) * (width_px / patch_px);
        Ok(Self {
            page_px,
            resized_px: PageSize {
                width_px,
                height_px,
            },
            patches,
            vision_tokens: footprint.vision_tokens(patches),
            vision_bytes: footprint.vision_bytes(patches),
        })
    }
}

/// What the decoder's weights are quantised to, as it was asked for; `stored` is what the model's files hold.
fn kinds_of_weights(
    asked: &[WeightsAs],
    stored: Option<Quantization>,
) -> Result<Vec<Option<Quantization>>, CliError> {
    if asked.is_empty() {
        return Ok(vec![stored]);
    }
    let kind = |asked: &WeightsAs| match (asked, stored) {
        (WeightsAs::Quantized(quantization), _) => Ok(Some(*quantization)),
        (WeightsAs::Full, None) => Ok(None),
        (WeightsAs::Full, Some(stored)) => Err(CliError::Parameter {
            option: "--quantize".to_owned(),
            value: WeightsAs::FULL.to_owned(),
            reason: format!(
                "the model's files hold {stored}; take the directory that they were made from"
            ),
        }),
    };
    asked.iter().map(kind).collect()
}

/// The contexts that were asked for, or the usual ones below the model's, and that.
fn contexts(asked: &[usize], of_model: usize) -> Vec<usize> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let below = CONTEXTS.into_iter().filter(|tokens| *tokens < of_model);
    below.chain([of_model]).collect()
}

#[cfg(test)]
mod tests {
    use super::contexts;

    #[test]
    fn contexts_end_with_the_models_own_unless_they_are_given() {
        assert_eq!(contexts(&[], 8192), [8192]);
        assert_eq!(contexts(&[], 65_536), [8192, 32_768, 65_536]);
        assert_eq!(contexts(&[], 100_000), [8192, 32_768, 65_536, 100_000]);
        assert_eq!(contexts(&[7, 1 << 20], 8192), [7, 1 << 20]);
    }
}
