//! The mean of the weights of several models.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// The mean of each parameter of a model and others of the same shapes. A model that was trained on a little and the one
/// that it began with can be averaged, and the mean may be better than both at what either knows (Wortsman et al.,
/// "Robust fine-tuning of zero-shot models", CVPR 2022); so can what a run passed on its way, which takes the noise of
/// small batches out (Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018).
pub fn mean<M: Module>(one: M, others: &[M]) -> M {
    let parameters = others.iter().map(|other| {
        let mut parameters = Parameters::default();
        other.visit(&mut parameters);
        parameters.0.into_iter()
    });
    one.map(&mut Mean {
        others: parameters.collect(),
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

struct Mean {
    /// Of each other model what is left of its parameters.
    others: Vec<std::vec::IntoIter<Tensor<1>>>,
}

impl ModuleMapper for Mean {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let shape = value.shape();
        let mut n_models = 1.0;
        let mut sum = value;
        for other in self.others.iter_mut().filter_map(Iterator::next) {
            sum = sum + other.reshape(shape.clone());
            n_models += 1.0;
        }
        let value = sum / n_models;
        Param::from_mapped_value(id, value, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use glyph_model::Glm4v;
    use glyph_model::config::ModelConfig;

    use super::mean;
    use crate::mini;

    #[test]
    fn every_parameter_is_the_mean_of_all() {
        let config = ModelConfig::from_json(&mini::config().to_string()).unwrap();
        let new = || Glm4v::new(&config, &Device::flex());
        let tables = |glm: &Glm4v| {
            let table = glm.model.language_model.embed_tokens.weight.val();
            table.flatten::<1>(0, 1)
        };
        let filters = |glm: &Glm4v| glm.model.visual.downsample.weight.val().flatten::<1>(0, 3);
        let most = |difference: Tensor<1>| difference.abs().max().into_scalar::<f32>();
        for n_others in 0..3 {
            let one = new();
            let others: Vec<Glm4v> = (0..n_others).map(|_| new()).collect();
            let averaged = mean(one.clone(), &others);
            for values in [&tables as &dyn Fn(&Glm4v) -> Tensor<1>, &filters] {
                let sum = others
                    .iter()
                    .fold(values(&one), |sum, other| sum + values(other));
                let wanted = sum / (n_others + 1) as f64;
                assert!(most(values(&averaged) - wanted) < 1e-6, "{n_others}");
                let moved = most(values(&averaged) - values(&one)) > 0.0;
                assert_eq!(moved, n_others > 0);
            }
        }
    }
}
