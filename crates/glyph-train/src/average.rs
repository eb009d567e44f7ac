//! The mean of the weights of two models.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// The mean of each parameter of two models of the same shapes. A model that was trained on a little and the one that it
/// began with can be averaged, and the mean may be better than both at what either knows (Wortsman et al., "Robust
/// fine-tuning of zero-shot models", CVPR 2022).
pub fn mean<M: Module>(one: M, other: &M) -> M {
    let mut parameters = Parameters::default();
    other.visit(&mut parameters);
    one.map(&mut Mean {
        others: parameters.0.into_iter(),
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
    others: std::vec::IntoIter<Tensor<1>>,
}

impl ModuleMapper for Mean {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = match self.others.next() {
            Some(other) => {
                let other = other.reshape(value.shape());
                (value + other) * 0.5
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

    use super::mean;
    use crate::mini;

    #[test]
    fn every_parameter_is_the_mean_of_both() {
        let config = ModelConfig::from_json(&mini::config().to_string()).unwrap();
        let new = || Glm4v::new(&config, &Device::flex());
        let (one, other) = (new(), new());
        let tables = |glm: &Glm4v| glm.model.language_model.embed_tokens.weight.val();
        let filters = |glm: &Glm4v| glm.model.visual.downsample.weight.val();
        let wanted = (
            (tables(&one) + tables(&other)) * 0.5,
            (filters(&one) + filters(&other)) * 0.5,
        );
        let averaged = mean(one, &other);
        let most = |difference: Tensor<1>| difference.abs().max().into_scalar::<f32>();
        let difference = (tables(&averaged) - wanted.0).flatten::<1>(0, 1);
        assert_eq!(most(difference), 0.0);
        let difference = (filters(&averaged) - wanted.1).flatten::<1>(0, 3);
        assert_eq!(most(difference), 0.0);
        let moved = (tables(&averaged) - tables(&other)).flatten::<1>(0, 1);
        assert!(most(moved) > 0.0);
    }
}
