"""Writes tests/fixtures/model: random GLM-4.1V checkpoints and what transformers computes with them.

To regenerate, from the repository root, with Python 3.11:

    python -m venv .venv
    .venv/bin/pip install -r tests/reference/requirements-model.txt
    .venv/bin/python tests/reference/model_fixtures.py

Two runs on one machine write identical files. Another CPU may change the last bits of the computed
tensors; checkpoints, pictures and integers stay the same. LAYOUT.md beside the fixtures describes
every file. `--search N` prints, for the seeds below N, the narrowest greedy lead of each
configuration, and writes nothing.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy
import PIL
import safetensors
import tokenizers
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from transformers.utils import logging

import model_cases as cases
import model_checkpoints as checkpoints
import model_images as images
import model_sampling as sampling
import model_tokenizer as tokenizer

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "model"
LEAST_MARGIN = 1e-3


def write_json(path: Path, value: list | dict) -> None:
    """One line for each element, so that long tables stay readable."""
    if isinstance(value, list):
        body = [json.dumps(row, ensure_ascii=False) for row in value]
    else:
        body = [f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in value.items()]
    start, end = "[]" if isinstance(value, list) else "{}"
    path.write_text(start + "\n" + ",\n".join(body) + "\n" + end + "\n")


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """safetensors takes neither views nor shared storage."""
    copies = {key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()}
    save_file(copies, path)


def kept_rows(length: int, step: int) -> torch.Tensor:
    """Every step-th position and the last four."""
    return torch.tensor(sorted({*range(0, length, step), *range(max(0, length - 4), length)}))


def vision_fixture(model, folder: Path, pixels: dict[str, torch.Tensor]) -> None:
    names, grid = images.MODEL_PICTURES, pixels["image_grid_thw"]
    stacked = torch.cat([pixels[f"pixel_values.{name}"] for name in names])
    tensors = {}
    for case, rows, grids in (
        ("one", pixels[f"pixel_values.{names[0]}"], grid[:1]),
        ("several", stacked, grid),
    ):
        tensors[f"{case}.image_grid_thw"] = grids
        for stage, tensor in cases.vision_stages(model, rows, grids).items():
            tensors[f"{case}.{stage}"] = tensor
    save(tensors, folder / "vision.safetensors")


def decoder_case(model, processor, sdpa, name: str, inputs: dict, tensors: dict, full: bool) -> dict:
    """Stages and continuation of one prompt into `tensors`; returns its row for cases.json."""
    stages = {key: value.squeeze(0) for key, value in cases.decoder_stages(model, inputs).items()}
    stages["position_ids"] = stages["position_ids"].squeeze(1)
    length = inputs["input_ids"].shape[1]
    rows = kept_rows(length, 1 if full else 40 if name == "long" else 5)
    logit_rows = kept_rows(length, 80 if name == "long" else 8)
    tensors[f"{name}.input_ids"] = inputs["input_ids"][0]
    tensors[f"{name}.position_ids"] = stages.pop("position_ids")
    tensors[f"{name}.rope_delta"] = stages.pop("rope_delta")
    tensors[f"{name}.rows"], tensors[f"{name}.logit_rows"] = rows, logit_rows
    tensors[f"{name}.logits"] = stages.pop("logits")[logit_rows]
    for stage, tensor in stages.items():
        tensors[f"{name}.{stage}"] = tensor[rows]

    tokens, logits = cases.greedy(model, inputs, eos=None)
    assert tokens.shape == (1, cases.NEW_TOKENS)
    assert model.config.image_token_id not in tokens, "the seed makes the model write image tokens"
    again = cases.replayed(model, inputs, tokens)
    cached_difference = (again - logits).abs().max().item()
    assert cached_difference < 1e-3
    assert torch.equal(cases.greedy(sdpa, inputs, eos=None)[0], tokens)
    tensors[f"{name}.greedy_ids"] = tokens[0]
    tensors[f"{name}.greedy_steps"] = torch.tensor(cases.KEPT_STEPS)
    tensors[f"{name}.greedy_logits"] = logits[0, cases.KEPT_STEPS]
    lead = cases.margins(logits)
    assert lead.min() > LEAST_MARGIN

    names = cases.image_names(cases.PROMPTS[name])
    row = {
        "name": name,
        "messages": cases.PROMPTS[name],
        "images": [f"images/{n}.png" for n in names],
        "prompt_tokens": length,
        "rope_delta": int(tensors[f"{name}.rope_delta"]),
        "input_ids": inputs["input_ids"][0].tolist(),
        "image_grid_thw": inputs["image_grid_thw"].tolist() if names else [],
        "greedy_ids": tokens[0].tolist(),
        "greedy_distinct": len(set(tokens[0].tolist())),
        "greedy_least_margin": round(lead.min().item(), 6),
        "greedy_least_margin_step": lead[0].argmin().item(),
    }
    if name == "one_image":
        row["eos"] = eos_case(model, inputs, tokens[0].tolist())
    return row


def eos_case(model, inputs: dict, tokens: list[int]) -> dict:
    """The same continuation, stopped by a token that it reaches first after a few steps."""
    step = next(i for i in range(6, len(tokens)) if tokens[i] not in tokens[:i])
    eos = [model.config.text_config.pad_token_id, tokens[step]]
    stopped, _ = cases.greedy(model, inputs, eos=eos)
    assert stopped[0].tolist() == tokens[: step + 1]
    return {"eos_token_ids": eos, "greedy_ids": stopped[0].tolist()}


def batch_fixture(model, inputs: dict, tensors: dict, alone: dict[str, dict]) -> dict:
    """Three prompts of unequal length in one left-padded pass, held against their single runs."""
    stages = cases.decoder_stages(model, inputs)
    mask = inputs["attention_mask"]
    tensors["batch.input_ids"] = inputs["input_ids"]
    tensors["batch.attention_mask"] = mask
    tensors["batch.position_ids"] = stages["position_ids"]
    tensors["batch.rope_delta"] = stages["rope_delta"][:, 0]
    tensors["batch.last_hidden"] = stages["norm"][:, -1]
    tensors["batch.last_logits"] = stages["logits"][:, -1]
    tokens, logits = cases.greedy(model, inputs, eos=None)
    tensors["batch.greedy_ids"] = tokens
    difference = 0.0
    for index, name in enumerate(cases.BATCH):
        single = cases.decoder_stages(model, alone[name])
        length = alone[name]["input_ids"].shape[1]
        assert mask[index].sum() == length
        gap = (stages["logits"][index, -length:] - single["logits"][0]).abs().max().item()
        difference = max(difference, gap)
        assert torch.equal(tokens[index], tensors[f"{name}.greedy_ids"])
    assert difference < 1e-3
    return {"prompts": cases.BATCH, "greedy_least_margin": round(cases.margins(logits).min().item(), 6)}


def model_fixture(name: str, folder: Path, pictures: dict[str, Path], pixels: dict) -> list:
    model, processor = cases.load(folder)
    sdpa, _ = cases.load(folder, "sdpa")
    vision_fixture(model, folder, pixels)
    tensors, rows, alone = {}, [], {}
    for prompt, messages in cases.PROMPTS.items():
        alone[prompt] = cases.prepare(processor, pictures, [messages])
        full = name == "base" and prompt in ("text", "one_image")
        rows.append(decoder_case(model, processor, sdpa, prompt, alone[prompt], tensors, full))
    together = cases.prepare(processor, pictures, [cases.PROMPTS[prompt] for prompt in cases.BATCH])
    batch = batch_fixture(model, together, tensors, alone)
    save(tensors, folder / "decoder.safetensors")
    write_json(folder / "cases.json", {row["name"]: row for row in rows} | {"batch": batch})
    return [min(row["greedy_least_margin"] for row in rows), [row["greedy_distinct"] for row in rows]]


def search(count: int, only: str | None) -> None:
    """Prints the narrowest lead and the distinct tokens of each continuation, seed by seed."""
    with tempfile.TemporaryDirectory() as scratch:
        shared = Path(scratch) / "tokenizer"
        tokenizer.write(shared)
        ids = tokenizer.token_ids(shared)
        pictures = images.write_pictures(Path(scratch) / "images")
        for name in [only] if only else checkpoints.CONFIGS:
            folder = Path(scratch) / name
            for seed in range(count):
                checkpoints.CONFIGS[name]["seed"] = seed
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                checkpoints.save(name, folder, shared, ids)
                model, processor = cases.load(folder)
                leads, distinct, pictured = [], [], False
                for messages in cases.PROMPTS.values():
                    inputs = cases.prepare(processor, pictures, [messages])
                    tokens, logits = cases.greedy(model, inputs, eos=None)
                    leads.append(cases.margins(logits).min().item())
                    distinct.append(len(set(tokens[0].tolist())))
                    pictured |= ids["<|image|>"] in tokens
                note = "image token" if pictured else ""
                print(name, seed, f"{min(leads):.5f}", distinct, note, flush=True)


def versions(processor: dict) -> dict:
    return {
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0],
        "tokenizers": tokenizers.__version__,
        "safetensors": safetensors.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "attention": "eager",
        "image_processor": processor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", type=int, metavar="N", help="try the seeds below N, write nothing")
    parser.add_argument("--only", help="this configuration only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if options.search:
        search(options.search, options.only)
        return

    shared = OUT / "tokenizer"
    tokenizer.write(shared)
    ids = tokenizer.token_ids(shared)
    write_json(OUT / "tokenizer_cases.json", tokenizer.samples(AutoTokenizer.from_pretrained(shared)))
    shutil.rmtree(OUT / "images", ignore_errors=True)
    pictures = images.write_pictures(OUT / "images")
    write_json(OUT / "smart_resize.json", images.smart_resize_table())
    write_json(OUT / "sampling.json", sampling.table())
    for name in checkpoints.CONFIGS:
        folder = OUT / name
        if options.only in (None, name):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            checkpoints.save(name, folder, shared, ids)
    table, processor = images.preprocess(pictures, OUT / "base", OUT)
    write_json(OUT / "images.json", table)
    write_json(OUT / "chat.json", cases.chats(cases.AutoProcessor.from_pretrained(OUT / "base"), pictures))
    write_json(OUT / "versions.json", versions(processor))
    pixels = load_file(OUT / "pixels.safetensors")
    for name in checkpoints.CONFIGS:
        if options.only in (None, name):
            print(name, *model_fixture(name, OUT / name, pictures, pixels), flush=True)
    for path in OUT.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
