//! The model that is measured: a shape or a directory.

use glyph_model::ModelError;
use glyph_model::checkpoint::{CheckpointFiles, config_json, read_geometry};
use glyph_model::config::{ModelConfig, PreprocessorConfig};
use glyph_model::weights::WeightFiles;

use crate::bench_args::{BenchModelArgs, Shape};
use crate::bundled::Bundled;
use crate::error::CliError;
use crate::model::{self, ModelFiles};

/// What is measured.
#[derive(Debug)]
pub struct Subject {
    /// Its shape, directory, or the built-in model's name.
    pub name: String,
    /// `config.json`.
    pub config_json: String,
    /// The same, read.
    pub config: ModelConfig,
    /// How pages are cut into patches.
    pub preprocessor: PreprocessorConfig,
    /// Files of the weights; without them weights are random.
    pub weights: Option<WeightFiles>,
}

/// The text of a shape's configuration.
macro_rules! shape {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/shapes/",
            $name,
            "/config.json"
        ))
    };
}

/// The configuration of a shape, as a checkpoint would have it.
struct ShapeFiles(Shape);

impl CheckpointFiles for ShapeFiles {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ModelError> {
        let config = match self.0 {
            Shape::Mini => return Bundled.read(name),
            Shape::Official9b => shape!("9b"),
            Shape::Small300m => shape!("300m"),
        };
        Ok((name == "config.json").then(|| config.as_bytes().to_vec()))
    }
}

impl Subject {
    /// The shape, directory or built-in model that the arguments name.
    pub fn find(args: &BenchModelArgs) -> Result<Self, CliError> {
        if let Some(shape) = args.shape {
            let name = match shape {
                Shape::Official9b => "9b",
                Shape::Small300m => "300m",
                Shape::Mini => "mini",
            };
            let error = |source| CliError::Model {
                name: name.to_owned(),
                source,
            };
            return Self::read(name.to_owned(), &ShapeFiles(shape), None).map_err(error);
        }
        let files = ModelFiles::find(args.model.as_deref())?;
        let weights = files.weights().map_err(|error| files.error(error))?;
        Self::read(files.name(), &files, Some(weights)).map_err(|error| files.error(error))
    }

    fn read(
        name: String,
        files: &impl CheckpointFiles,
        weights: Option<WeightFiles>,
    ) -> Result<Self, ModelError> {
        let (config, preprocessor) = read_geometry(files)?;
        let config = match &weights {
            Some(weights) => model::config_for(config, weights),
            None => config,
        };
        Ok(Self {
            name,
            config_json: config_json(files)?,
            config,
            preprocessor,
            weights,
        })
    }
}

#[cfg(test)]
mod tests {
    use glyph_model::checkpoint::read_geometry;

    use super::ShapeFiles;
    use crate::bench_args::Shape;
    use crate::model::specs;

    #[test]
    fn shapes_have_the_parameters_of_their_names() {
        for (shape, millions) in [
            (Shape::Official9b, 10_000..10_600),
            (Shape::Small300m, 280..320),
            (Shape::Mini, 1..10),
        ] {
            let (config, _) = read_geometry(&ShapeFiles(shape)).unwrap();
            let sizes = specs(&config).into_iter();
            let n: usize = sizes
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            assert!(millions.contains(&(n / 1_000_000)), "{shape:?}: {n}");
        }
    }
}
