//! The mean of the weights of several models.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// A run or a checkpoint directory that is averaged with, and its share of the mean: `DIR` or `DIR=SHARE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Averaged {
    /// The directory.
    pub dir: PathBuf,
    /// Its share; all have the same where none is given.
    pub share: Option<f64>,
}

impl Averaged {
    /// From the command line.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((dir, share)) = text.rsplit_once('=') else {
            let dir = text.into();
            return Ok(Self { dir, share: None });
        };
        let given = share;
        let share: f64 = share
            .parse()
            .with_context(|| format!("the share is {given:?}, which is no number"))?;
        ensure!(
            share > 0.0 && share < 1.0,
            "the share must be between 0 and 1"
        );
        Ok(Self {
            dir: dir.into(),
            share: Some(share),
        })
    }
}

/// The share of the first of the averaged models, and those of the others.
///
/// # Errors
/// Where some have a share and others none, or where nothing is left for the first.
pub fn shares(others: &[Averaged]) -> Result<(f64, Vec<f64>)> {
    let given: Vec<f64> = others.iter().filter_map(|other| other.share).collect();
    if given.is_empty() {
        let share = 1.0 / (others.len() + 1) as f64;
        return Ok((share, vec![share; others.len()]));
    }
    ensure!(
        given.len() == others.len(),
        "some of --average-with have a share and others none. Give it to all of them, or to none"
    );
    let rest = 1.0 - given.iter().sum::<f64>();
    ensure!(
        rest > 0.0,
        "the shares of --average-with come to {:.3}: the run has what is left of 1, and that must be more than 0",
        1.0 - rest
    );
    Ok((rest, given))
}

/// Each parameter of two models of the same shapes, times its share, added up. A model that was trained on a little and the
/// one that it began with can be averaged, and the mean may be better than both at what either knows (Wortsman et al.,
/// "Robust fine-tuning of zero-shot models", CVPR 2022).
pub fn weighted_sum<M: Module>((one, one_share): (M, f64), (other, other_share): (&M, f64)) -> M {
    let mut parameters = Parameters::default();
    other.visit(&mut parameters);
    one.map(&mut WeightedSum {
        others: parameters.0.into_iter(),
        one_share,
        other_share,
    })
}

/// Parameters in module order, flat.
#[derive(Default)]
struct Parameters(Vec<Tensor<1>>);

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let n_values = value.shape().num_elements();
        self.0.push(value.reshape([n_values]));
    }
}

struct WeightedSum {
    others: std::vec::IntoIter<Tensor<1>>,
    one_share: f64,
    other_share: f64,
}

impl ModuleMapper for WeightedSum {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = match self.others.next() {
            Some(other) => {
                let other = other.reshape(value.shape());
                value * self.one_share + other * self.other_share
            }
            None => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use glyph_model::Glm4v;
    use glyph_model::config::ModelConfig;

    use super::{Averaged, shares, weighted_sum};
    use crate::mini;

    #[test]
    fn every_parameter_has_its_shares_of_both() {
        let config = ModelConfig::from_json(&mini::config().to_string()).unwrap();
        let new = || Glm4v::new(&config, &Device::flex());
        let (one, other) = (new(), new());
        let tables = |glm: &Glm4v| glm.model.language_model.embed_tokens.weight.val();
        let filters = |glm: &Glm4v| glm.model.visual.downsample.weight.val();
        let wanted = (
            tables(&one) * 0.25 + tables(&other) * 0.75,
            filters(&one) * 0.25 + filters(&other) * 0.75,
        );
        let averaged = weighted_sum((one, 0.25), (&other, 0.75));
        let most = |difference: Tensor<1>| difference.abs().max().into_scalar::<f32>();
        let difference = (tables(&averaged) - wanted.0).flatten::<1>(0, 1);
        assert_eq!(most(difference), 0.0);
        let difference = (filters(&averaged) - wanted.1).flatten::<1>(0, 3);
        assert_eq!(most(difference), 0.0);
        let moved = (tables(&averaged) - tables(&other)).flatten::<1>(0, 1);
        assert!(most(moved) > 0.0);
    }

    #[test]
    fn shares_are_given_to_all_or_to_none() {
        let averaged = |texts: &[&str]| -> Vec<Averaged> {
            texts
                .iter()
                .map(|text| Averaged::parse(text).unwrap())
                .collect()
        };
        assert_eq!(shares(&averaged(&[])).unwrap(), (1.0, vec![]));
        assert_eq!(shares(&averaged(&["a"])).unwrap(), (0.5, vec![0.5]));
        let given = averaged(&["runs/a=0.25", "b=c=0.5"]);
        assert_eq!(given[1].dir.to_str(), Some("b=c"));
        assert_eq!(shares(&given).unwrap(), (0.25, vec![0.25, 0.5]));
        for (texts, part) in [(["a=0.5", "b"], "to none"), (["a=0.5", "b=0.5"], "1.000")] {
            let error = shares(&averaged(&texts)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        for text in ["a=", "a=x", "a=1", "a=-0.5", "a=nan"] {
            let error = Averaged::parse(text).unwrap_err().to_string();
            assert!(error.contains("the share"), "{error}");
        }
    }
}
