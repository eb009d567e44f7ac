//! Learning rate, gradient clipping, and parameter ids that survive a restart.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Linear warm-up, a plateau, then a straight line down to a twentieth.
#[derive(Debug, Clone, Copy)]
pub struct LearningRate {
    /// Plateau.
    pub peak: f64,
    /// Steps of warm-up.
    pub warmup_steps: usize,
    /// Share of the run after which the descent starts.
    pub decay_from: f64,
}

impl LearningRate {
    /// Rate of a step, before which `share_done` of the run is done.
    pub fn at(&self, step: usize, share_done: f64) -> f64 {
        let warmup = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let left = (1.0 - share_done) / (1.0 - self.decay_from).max(f64::EPSILON);
        self.peak * warmup * left.clamp(0.05, 1.0)
    }
}

/// Scales all gradients, and together so far down that their norm stays within `max_norm`. Nothing is read off the
/// device.
pub fn clip_by_global_norm<M: Module>(
    module: &M,
    grads: &mut GradientsParams,
    scale: f64,
    max_norm: f64,
) {
    let mut square_sum = SquareSum { grads, sum: None };
    module.visit(&mut square_sum);
    if let Some(sum) = square_sum.sum {
        let norm = sum.sqrt() * scale;
        let factor = (norm.recip() * max_norm).clamp_max(1.0) * scale;
        module.visit(&mut Scale { grads, factor });
    }
}

struct SquareSum<'a> {
    grads: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let sum = grad.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(before) => before + sum,
                None => sum,
            });
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            let factor = self.factor.clone().reshape([1; D]);
            self.grads.register(param.id, grad * factor);
        }
    }
}

/// Numbers the parameters in module order, so that the optimizer's record fits the module after a restart.
pub fn number_parameters<M: Module>(module: M) -> M {
    module.map(&mut Number { next: 1 })
}

struct Number {
    next: u64,
}

impl ModuleMapper for Number {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (_, value, mapper) = param.consume();
        let id = ParamId::from(self.next);
        self.next += 1;
        Param::from_mapped_value(id, value, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::LearningRate;

    #[test]
    fn the_rate_rises_holds_and_falls() {
        let rate = LearningRate {
            peak: 1.0,
            warmup_steps: 10,
            decay_from: 0.5,
        };
        let at = |step: usize| rate.at(step, step as f64 / 100.0);
        assert!((at(0) - 0.1).abs() < 1e-9);
        assert!((at(30) - 1.0).abs() < 1e-9);
        assert!((at(75) - 0.5).abs() < 1e-9);
        assert!((at(100) - 0.05).abs() < 1e-9);
    }
}
