//! Tensor names as published, and the other nestings that tools write.

/// The published name of a tensor, whatever nesting `name` has.
///
/// Published: `model.visual.…`, `model.language_model.…`, `lm_head.weight`. Older exports and fine-tuning tools
/// write `visual.…`, `model.layers.…`, `language_model.model.…` or prefix everything once more.
pub(super) fn canonical(name: &str) -> String {
    let name = name.strip_prefix("base_model.model.").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("language_model.lm_head.") {
        return format!("lm_head.{rest}");
    }
    if let Some(rest) = name.strip_prefix("language_model.model.") {
        return format!("model.language_model.{rest}");
    }
    for part in ["visual.", "language_model."] {
        if name.starts_with(part) {
            return format!("model.{name}");
        }
    }
    if let Some(rest) = name.strip_prefix("model.") {
        if ["layers.", "embed_tokens.", "norm."]
            .iter()
            .any(|part| rest.starts_with(part))
        {
            return format!("model.language_model.{rest}");
        }
        if rest.starts_with("lm_head.") {
            return rest.to_owned();
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn other_nestings_lead_to_the_published_names() {
        let head = "lm_head.weight";
        let norm = "model.language_model.norm.weight";
        let q = "model.language_model.layers.0.self_attn.q_proj.weight";
        let qkv = "model.visual.blocks.3.attn.qkv.weight";
        for (given, published) in [
            (head, head),
            ("model.lm_head.weight", head),
            ("language_model.lm_head.weight", head),
            (norm, norm),
            ("model.norm.weight", norm),
            ("language_model.model.norm.weight", norm),
            (q, q),
            ("model.layers.0.self_attn.q_proj.weight", q),
            ("language_model.layers.0.self_attn.q_proj.weight", q),
            (qkv, qkv),
            ("visual.blocks.3.attn.qkv.weight", qkv),
        ] {
            assert_eq!(canonical(given), published, "{given}");
        }
    }
}
