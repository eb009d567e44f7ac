"""Small random GLM-4.1V checkpoints in Hugging Face layout."""

import json
import math
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig, Glm4vConfig, Glm4vForConditionalGeneration

from model_images import BOUNDS

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def text(hidden, inter, layers, heads, kv, section, factor=0.5, vocab=384, theta=10000.0, eps=1e-5):
    assert sum(section) * 2 == int(hidden // heads * factor)
    return {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": inter,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "max_position_embeddings": 4096,
        "rms_norm_eps": eps,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": theta,
            "partial_rotary_factor": factor,
            "mrope_section": section,
        },
    }


def vision(hidden, heads, depth, out, inter, image, eps=1e-5):
    return {
        "hidden_size": hidden,
        "num_heads": heads,
        "depth": depth,
        "out_hidden_size": out,
        "intermediate_size": inter,
        "image_size": image,
        "rms_norm_eps": eps,
    }


# The seeds are those whose greedy continuations keep the widest lead of the first token over the
# second (see model_fixtures.py --search).
CONFIGS = {
    # Two query heads a key head, position table as large as the published model's.
    "base": {
        "seed": 7,
        "text": text(64, 112, 2, 4, 2, [1, 1, 2], vocab=400),
        "vision": vision(32, 2, 2, 64, 96, 336),
        "bounds": "hub",
    },
    # One key head for six query heads, shared embedding, odd position table, bf16.
    "gqa-tied-bf16": {
        "seed": 4,
        "text": text(96, 160, 3, 6, 1, [2, 1, 1]),
        "vision": vision(48, 3, 2, 96, 64, 98),
        "tied": True,
        "dtype": torch.bfloat16,
        "bounds": "hub",
    },
    # As many key heads as query heads, deeper vision tower, saved in shards.
    "mha-sharded": {
        "seed": 1,
        "text": text(64, 128, 2, 2, 2, [2, 3, 3]),
        "vision": vision(40, 5, 3, 64, 80, 112),
        "shard": "350KB",
        "bounds": "small",
    },
    # The proportions of glyph-mini, f16.
    "mini-f16": {
        "seed": 4,
        "text": text(128, 256, 2, 2, 1, [4, 6, 6]),
        "vision": vision(64, 2, 3, 128, 160, 224),
        "tied": True,
        "dtype": torch.float16,
        "bounds": "small",
    },
    # Rotary over the whole head, other theta and eps, small position table.
    "full-rotary": {
        "seed": 8,
        "text": text(64, 96, 2, 4, 2, [2, 3, 3], factor=1.0, theta=50000.0, eps=1e-6),
        "vision": vision(32, 4, 2, 64, 128, 56, eps=1e-6),
        "bounds": "hub",
    },
}


def config(name: str, ids: dict[str, int]) -> Glm4vConfig:
    spec = CONFIGS[name]
    return Glm4vConfig(
        text_config=spec["text"] | {"pad_token_id": ids["<|endoftext|>"]},
        vision_config=spec["vision"],
        image_token_id=ids["<|image|>"],
        video_token_id=ids["<|video|>"],
        image_start_token_id=ids["<|begin_of_image|>"],
        image_end_token_id=ids["<|end_of_image|>"],
        video_start_token_id=ids["<|begin_of_video|>"],
        video_end_token_id=ids["<|end_of_video|>"],
        tie_word_embeddings=spec.get("tied", False),
    )


def values(name: str, shape: torch.Size, seed: int, tied: bool) -> torch.Tensor:
    """Weights that give clear, input-dependent logits; each tensor has its own random stream."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = rng.standard_normal(tuple(shape))
    last = name.split(".")[-2]
    if name.endswith(".bias"):
        scaled = 0.2 * noise
    elif tied and name == "model.language_model.norm.weight":
        # Signs at random: with a shared embedding a model would else repeat its last token.
        scaled = noise
    elif "norm" in last:
        scaled = 1.0 + 0.25 * noise
    elif last in ("embed_tokens", "position_embedding"):
        scaled = 0.6 * noise
    elif last == "lm_head":
        scaled = 0.5 * noise
    else:
        fan_in = math.prod(shape[1:])
        gain = 1.7 if last in ("q_proj", "k_proj", "qkv") else 1.2
        scaled = gain / math.sqrt(fan_in) * noise
    return torch.from_numpy(scaled.astype(np.float32))


def build(name: str, ids: dict[str, int], seed: int | None = None) -> Glm4vForConditionalGeneration:
    """The model in the checkpoint's dtype."""
    spec = CONFIGS[name]
    seed = spec["seed"] if seed is None else seed
    model = Glm4vForConditionalGeneration(config(name, ids))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(values(key, parameter.shape, seed, spec.get("tied", False)))
    model.tie_weights()
    eos = [ids["<|endoftext|>"], ids["<|user|>"], ids["<|observation|>"]]
    model.generation_config = GenerationConfig(
        do_sample=True,
        eos_token_id=eos,
        pad_token_id=ids["<|endoftext|>"],
        temperature=0.8,
        top_k=2,
        top_p=0.6,
    )
    return model.to(spec.get("dtype", torch.float32)).eval()


def save(name: str, folder: Path, tokenizer: Path, ids: dict[str, int]) -> None:
    """Writes the whole checkpoint folder."""
    spec = CONFIGS[name]
    shard = {"max_shard_size": spec["shard"]} if "shard" in spec else {}
    build(name, ids).save_pretrained(folder, **shard)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(tokenizer / file, folder / file)
    write_preprocessor(folder, spec["bounds"])
    if name == "base":
        write_older_config(folder)


def write_preprocessor(folder: Path, bounds: str) -> None:
    """preprocessor_config.json and its video twin with the fields of the published files."""
    shared = {
        "size": BOUNDS[bounds],
        "do_rescale": True,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "processor_class": "Glm4vProcessor",
    }
    image = shared | {"image_processor_type": "Glm4vImageProcessor"}
    video = shared | {"video_processor_type": "Glm4vVideoProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(image, indent=2) + "\n")
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n")


def write_older_config(folder: Path) -> None:
    """config.v4.json: the same configuration as transformers 4 wrote it, which the hub still has."""
    document = json.loads((folder / "config.json").read_text())
    section = document["text_config"]
    rope = section.pop("rope_parameters")
    section["rope_theta"] = rope["rope_theta"]
    section["partial_rotary_factor"] = rope["partial_rotary_factor"]
    section["rope_scaling"] = {"rope_type": "default", "mrope_section": rope["mrope_section"]}
    section["attention_bias"] = True
    section["tie_word_embeddings"] = document.pop("tie_word_embeddings")
    section["torch_dtype"] = document["torch_dtype"] = document.pop("dtype")
    section.pop("dtype", None)
    document["vision_config"].pop("dtype", None)
    document["vision_config"].pop("rope_parameters", None)
    document["transformers_version"] = "4.57.1"
    path = folder / "config.v4.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    older = Glm4vConfig.from_dict(json.loads(path.read_text())).text_config.rope_parameters
    assert {key: older[key] for key in rope} == rope
