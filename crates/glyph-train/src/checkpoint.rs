//! What a run keeps on disk: the shippable checkpoint, and beside it what training needs to go on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{DType, Device};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::weights::{SavedDType, WeightFiles, load_weights, safetensors_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::curriculum::STAGES;
use crate::mini;
use crate::optimise::number_parameters;
use crate::starts::Start;
use crate::trainee::Trainee;

/// Where training stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Index of the curriculum stage.
    pub stage: usize,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Samples drawn so far.
    pub n_samples: u64,
}

/// Refuses a stage that the curriculum does not have.
pub fn check_stage(name: &str, stage: usize) -> Result<()> {
    let last = STAGES.len() - 1;
    ensure!(
        stage <= last,
        "{name} is {stage}; the curriculum has stages 0 to {last}"
    );
    Ok(())
}

/// What ships of a trainee.
#[derive(Module, Debug)]
struct Shipped {
    glm: Glm4v,
}

/// Files of a run.
pub struct RunDir(pub PathBuf);

impl RunDir {
    /// Makes the directory.
    pub fn create(&self) -> Result<()> {
        std::fs::create_dir_all(&self.0)
            .with_context(|| format!("cannot make {}", self.0.display()))
    }

    /// The log.
    pub fn log_path(&self) -> PathBuf {
        self.0.join("log.jsonl")
    }

    /// What the run was asked for, each time that it was started.
    pub(crate) fn starts_path(&self) -> PathBuf {
        self.0.join("starts.json")
    }

    fn trainee_path(&self) -> PathBuf {
        self.0.join("trainee.safetensors")
    }

    fn optimizer_path(&self) -> PathBuf {
        self.0.join("optimizer.bpk")
    }

    fn progress_path(&self) -> PathBuf {
        self.0.join("progress.json")
    }

    /// Saves everything; each file replaces its predecessor only when it is complete.
    pub fn save(
        &self,
        trainee: &Trainee,
        optimizer: &ModuleOptimizer,
        progress: &Progress,
    ) -> Result<()> {
        replace(
            &self.trainee_path(),
            &safetensors_bytes(trainee, SavedDType::F32)?,
        )?;
        let record = optimizer
            .into_bytes()
            .context("cannot serialise the optimizer")?;
        replace(&self.optimizer_path(), &record)?;
        replace(
            &self.progress_path(),
            serde_json::to_string_pretty(progress)?.as_bytes(),
        )
    }

    /// Saves what the run was asked for, this time and before.
    pub(crate) fn save_starts(&self, starts: &[Start]) -> Result<()> {
        let json = serde_json::to_string_pretty(starts)? + "\n";
        replace(&self.starts_path(), json.as_bytes())
    }

    /// What a former run left, if it left anything.
    ///
    /// # Errors
    /// Where it cannot be read, or is missing beside weights that a run would write over.
    pub fn progress(&self) -> Result<Option<Progress>> {
        let path = self.progress_path();
        if !path.exists() {
            let weights = self.trainee_path();
            ensure!(
                !weights.exists(),
                "{} is there without {}, which says how far the run came. Restore that, or start another run with \
                 another --out; --init {} begins from the weights",
                weights.display(),
                path.display(),
                self.0.display()
            );
            return Ok(None);
        }
        let json = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let progress: Result<Progress> = serde_json::from_str(&json).map_err(Into::into);
        progress
            .and_then(|progress| {
                check_stage("stage", progress.stage)?;
                ensure!(
                    progress.seconds >= 0.0,
                    "seconds is {}; it must not be negative",
                    progress.seconds
                );
                Ok(Some(progress))
            })
            .with_context(|| {
                format!(
                    "{} cannot be used. Restore it, or start another run with another --out",
                    path.display()
                )
            })
    }

    /// Loads the weights of a run that is to go on, the heads that do not ship included.
    pub fn load_trainee(&self, config: &ModelConfig, device: &Device) -> Result<Trainee> {
        let unusable = || {
            let path = self.trainee_path();
            format!(
                "{} cannot be used. Begin another run with --init {}",
                path.display(),
                self.0.display()
            )
        };
        let trainee = Trainee::new(config, device);
        let files = self.trainee_files()?;
        let loaded = load_weights(trainee, &files, DType::F32, |_| {});
        let (trainee, _) = loaded.with_context(unusable)?;
        Ok(number_parameters(trainee))
    }

    /// Loads the weights of a run, or of a checkpoint directory, for another run to begin from. Heads that are not there
    /// or have changed since start anew; they are learned again within minutes.
    pub fn load_to_begin(&self, config: &ModelConfig, device: &Device) -> Result<Trainee> {
        ensure!(
            self.0.is_dir(),
            "{} cannot be used: it is no directory",
            self.0.display()
        );
        let mut trainee = Trainee::new(config, device);
        if self.trainee_path().exists() {
            let files = self.trainee_files()?;
            let whole = load_weights(trainee.clone(), &files, DType::F32, |_| {});
            let Ok((whole, _)) = whole else {
                let shipped = Shipped { glm: trainee.glm };
                let loaded = load_weights(shipped, &files, DType::F32, |_| {});
                let unusable = || format!("{} cannot be used", self.trainee_path().display());
                trainee.glm = loaded.with_context(unusable)?.0.glm;
                return Ok(number_parameters(trainee));
            };
            trainee = whole;
        } else {
            let unusable = || format!("{} cannot be used", self.0.display());
            let files = WeightFiles::open(&self.0).with_context(unusable)?;
            let loaded = load_weights(trainee.glm, &files, DType::F32, |_| {});
            trainee.glm = loaded.with_context(unusable)?.0;
        }
        Ok(number_parameters(trainee))
    }

    fn trainee_files(&self) -> Result<WeightFiles> {
        let path = self.trainee_path();
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let files = WeightFiles::from_bytes(vec![("trainee.safetensors".to_owned(), bytes)]);
        files.with_context(|| format!("{} cannot be used", path.display()))
    }

    /// Loads the optimizer of a run.
    pub fn load_optimizer(&self, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer> {
        let path = self.optimizer_path();
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        optimizer
            .from_bytes(burn::tensor::Bytes::from_bytes_vec(bytes))
            .with_context(|| {
                format!(
                    "{} cannot be used. Begin another run with --init {}",
                    path.display(),
                    self.0.display()
                )
            })
    }
}

/// Writes the checkpoint in the published layout: f16 weights and every file that loading needs.
pub fn export(glm: &Glm4v, dir: &Path, render_style: &Value) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let pretty = |value: &Value| serde_json::to_string_pretty(value).map(|json| json + "\n");
    for (name, value) in [
        ("config.json", mini::config()),
        ("generation_config.json", mini::generation_config()),
        ("preprocessor_config.json", mini::preprocessor_config()),
        ("tokenizer.json", mini::tokenizer()),
        ("tokenizer_config.json", mini::tokenizer_config()),
        ("render.json", render_style.clone()),
    ] {
        replace(&dir.join(name), pretty(&value)?.as_bytes())?;
    }
    replace(
        &dir.join("chat_template.jinja"),
        mini::CHAT_TEMPLATE.as_bytes(),
    )?;
    replace(
        &dir.join("model.safetensors"),
        &safetensors_bytes(glm, SavedDType::F16)?,
    )
}

/// Writes a file; it takes the place of its predecessor only when it is complete.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .with_context(|| format!("cannot write {}", partial.display()))?;
    std::fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use glyph_model::config::ModelConfig;
    use glyph_model::weights::{SavedDType, safetensors_bytes};

    use super::{RunDir, Shipped};
    use crate::mini;
    use crate::trainee::Trainee;

    #[test]
    fn a_run_begins_from_one_with_other_heads_but_does_not_go_on_from_it() {
        let config = ModelConfig::from_json(&mini::config().to_string()).unwrap();
        let device = Device::flex();
        let shipped = Shipped {
            glm: Trainee::new(&config, &device).glm,
        };
        let bytes = safetensors_bytes(&shipped, SavedDType::F32).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trainee.safetensors"), bytes).unwrap();
        let run = RunDir(folder.path().to_owned());
        let goes_on = run.load_trainee(&config, &device);
        let error = format!("{:?}", goes_on.err().unwrap());
        assert!(error.contains("--init"), "{error}");
        let begun = run.load_to_begin(&config, &device).unwrap();
        let table = |glm: &glyph_model::Glm4v| {
            let table = glm.model.language_model.embed_tokens.weight.val();
            table.into_data()
        };
        assert_eq!(table(&begun.glm), table(&shipped.glm));
    }
}
