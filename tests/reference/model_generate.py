"""Greedy answer of a GLM-4.1V checkpoint by transformers, as JSON: token ids, text, times.

    python tests/reference/model_generate.py CHECKPOINT --image page1.png --image page2.png \\
        --question "What is the number?" --max-new-tokens 64 --threads 2

The images come first, the question after. Runs on the CPU in f32, whatever the checkpoint's dtype.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoProcessor, GenerationConfig, Glm4vForConditionalGeneration
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging


class Clock(BaseStreamer):
    """Notes when each token comes; generate sends the prompt first."""

    def __init__(self):
        self.times = []

    def put(self, _value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--image", type=Path, action="append", default=[], help="repeat for several")
    parser.add_argument("--question", default="")
    parser.add_argument("--system")
    parser.add_argument("--text", help="this prompt as it is, without the chat template")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--ignore-eos", action="store_true", help="always write --max-new-tokens tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--repeat", type=int, default=1, help="time the last of this many runs")
    return parser.parse_args()


def prompt(processor, options: argparse.Namespace) -> str:
    if options.text is not None:
        return options.text
    content = [{"type": "image", "image": str(path)} for path in options.image]
    content.append({"type": "text", "text": options.question})
    messages = [{"role": "user", "content": content}]
    if options.system is not None:
        messages.insert(0, {"role": "system", "content": options.system})
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@torch.no_grad()
def vision_seconds(model, inputs) -> float:
    if "pixel_values" not in inputs:
        return 0.0
    start = time.perf_counter()
    model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
    return time.perf_counter() - start


def rate(count: int, seconds: float) -> float | None:
    return round(count / seconds, 3) if count and seconds > 0 else None


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    start = time.perf_counter()
    model = Glm4vForConditionalGeneration.from_pretrained(
        options.checkpoint, dtype=torch.float32, attn_implementation=options.attention
    ).eval()
    processor = AutoProcessor.from_pretrained(options.checkpoint)
    loaded = time.perf_counter()

    images = [Image.open(path) for path in options.image]
    text = prompt(processor, options)
    before = time.perf_counter()
    inputs = processor(text=[text], images=images or None, return_tensors="pt")
    prepared = time.perf_counter()

    stored = model.generation_config
    eos = None if options.ignore_eos else stored.eos_token_id
    pad = stored.pad_token_id
    if pad is None:
        pad = model.config.text_config.pad_token_id
    # generate fills what its argument leaves out from the model's own settings.
    model.generation_config = GenerationConfig(pad_token_id=pad)
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=options.max_new_tokens, eos_token_id=eos, pad_token_id=pad,
        output_logits=True, return_dict_in_generate=True,
    )
    for _ in range(options.repeat):
        vision = vision_seconds(model, inputs)
        model.model.rope_deltas = None
        clock = Clock()
        began = time.perf_counter()
        result = model.generate(**inputs, generation_config=settings, streamer=clock)
    length = inputs["input_ids"].shape[1]
    tokens = result.sequences[0, length:].tolist()
    first = clock.times[1] - began
    decode = clock.times[-1] - clock.times[1]
    best = torch.stack(result.logits)[:, 0].topk(2, dim=-1).values
    json.dump(
        {
            "prompt": text,
            "prompt_ids": inputs["input_ids"][0].tolist(),
            "image_grid_thw": inputs["image_grid_thw"].tolist() if images else [],
            "greedy_ids": tokens,
            "text": processor.tokenizer.decode(tokens, skip_special_tokens=False),
            "eos_token_ids": eos if isinstance(eos, list) or eos is None else [eos],
            "least_margin": (best[:, 0] - best[:, 1]).min().item(),
            "threads": options.threads,
            "attention": options.attention,
            "seconds": {
                "load": round(loaded - start, 4),
                "preprocess": round(prepared - before, 4),
                "vision": round(vision, 4),
                "vision_and_prefill": round(first, 4),
                "decode": round(decode, 4),
            },
            "prompt_tokens": length,
            "new_tokens": len(tokens),
            "prefill_tokens_per_second": rate(length, first),
            "decode_tokens_per_second": rate(len(tokens) - 1, decode),
        },
        sys.stdout,
        ensure_ascii=False,
    )
    print()


if __name__ == "__main__":
    main()
