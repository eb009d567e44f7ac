"""transformers on a GLM-4.1V of a given configuration: time and memory as JSON, as `glyph bench model` prints them.

    glyph bench model --shape 300m --python PYTHON

runs it; by hand:

    python tests/reference/bench_model.py --config "$(cat CHECKPOINT/config.json)" --device cpu --dtype f32

Random weights made on the device, or --weights. Eager model code with the sdpa kernels, greedy, the cache that
generate takes by default, one token after the other without generate's own bookkeeping; one id per token is read.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import DynamicCache, Glm4vConfig, Glm4vForConditionalGeneration
from transformers.utils import logging

WARM_UP_RUNS = 2
# Bytes that are copied and copies of a run; side of square matrices and products of a run.
COPY = {"cuda": (1 << 30, 16), "cpu": (1 << 28, 4)}
PRODUCT = {"cuda": (8192, 8), "cpu": (2048, 1)}


def pair(text: str) -> list[int]:
    first, second = text.split("x")
    return [int(first), int(second)]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="config.json, its text")
    parser.add_argument("--weights", help="checkpoint directory; else weights are random")
    parser.add_argument("--name", default="model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
    parser.add_argument("--prompt-tokens", type=int, default=2048)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--page", type=pair, default=[595, 842], help="width and height in px")
    parser.add_argument("--grid", type=pair, default=[60, 42], help="rows and columns of patches")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Bench:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.device = torch.device(options.device)
        self.dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[options.dtype]
        self.problems = []

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def measure(self, work, per: int = 1) -> dict:
        def timed() -> float:
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            return (time.perf_counter() - start) / per

        first = timed()
        for _ in range(WARM_UP_RUNS - 1):
            timed()
        runs = [timed() for _ in range(self.options.repeat)]
        return {"median": statistics.median(runs), "least": min(runs), "most": max(runs), "first": first}

    def part(self, name: str, work):
        """A piece of the measurement; one that fails does not stop the next."""
        try:
            result = work()
            print(f"bench: transformers, {name}: done", file=sys.stderr, flush=True)
            return result
        except Exception as error:
            problem = f"{name} was not measured: {error}"
            print(f"bench: transformers, {problem}", file=sys.stderr, flush=True)
            self.problems.append(problem)
            return None

    def load(self) -> dict:
        self.wait()
        start = time.perf_counter()
        if self.options.weights:
            self.model = Glm4vForConditionalGeneration.from_pretrained(
                self.options.weights, dtype=self.dtype, attn_implementation="sdpa"
            ).to(self.device)
        else:
            config = Glm4vConfig(**json.loads(self.options.config))
            with self.device:
                self.model = Glm4vForConditionalGeneration._from_config(
                    config, dtype=self.dtype, attn_implementation="sdpa"
                )
        self.model.eval()
        self.wait()
        return {"is_random": not self.options.weights, "seconds": time.perf_counter() - start}

    def vision(self) -> dict:
        rows, columns = self.options.grid
        vision = self.model.config.vision_config
        patch_len = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        values = (torch.arange(rows * columns * patch_len) % 251 / 125 - 1).reshape(rows * columns, patch_len)
        grid = torch.tensor([[1, rows, columns]])

        def work() -> None:
            # From the host, as the processor leaves it.
            pixels = values.to(self.device, self.dtype)
            features = self.model.model.get_image_features(pixels, grid.to(self.device))
            features = getattr(features, "pooler_output", features)
            features[0].flatten()[0].item()

        seconds = self.measure(work)
        patches, tokens = rows * columns, rows * columns // vision.spatial_merge_size**2
        flops = vision_flops(vision, patches)
        return {
            "page_px": self.options.page, "patches": patches, "tokens": tokens, "seconds": seconds,
            "tokens_per_s": tokens / seconds["median"], "flops": flops, "flops_per_s": flops / seconds["median"],
            "share_of_matmul": None,
        }

    def prompt(self) -> None:
        n = self.options.prompt_tokens
        vocab_size = self.model.config.text_config.vocab_size
        ids = (torch.arange(n) * 7919 % vocab_size).to(self.device)[None]
        self.cache = DynamicCache(config=self.model.config.get_text_config())
        self.next = self.forward(ids, 0)

    def forward(self, ids: torch.Tensor, start: int) -> torch.Tensor:
        """The most likely token behind `ids`; its id stays on the device."""
        positions = torch.arange(start, start + ids.shape[1], device=self.device)
        hidden = self.model.model.language_model(
            input_ids=ids, position_ids=positions.expand(3, 1, -1), past_key_values=self.cache, use_cache=True
        ).last_hidden_state[:, -1:]
        return self.model.lm_head(hidden).argmax(-1)

    def prefill(self) -> dict:
        def work() -> None:
            self.prompt()
            self.next.item()

        seconds = self.measure(work)
        n = self.options.prompt_tokens
        flops = prefill_flops(self.model.config.text_config, n)
        return {
            "tokens": n, "chunk_tokens": n, "seconds": seconds, "tokens_per_s": n / seconds["median"],
            "flops": flops, "flops_per_s": flops / seconds["median"], "share_of_matmul": None,
        }

    def decode(self) -> dict:
        n_prompt, n = self.options.prompt_tokens, self.options.new_tokens

        def work() -> None:
            n_behind = self.cache.get_seq_length() - n_prompt
            if n_behind > 0:
                self.cache.crop(-n_behind)
            token = self.next
            for step in range(n):
                token = self.forward(token, n_prompt + step)
                token.item()

        seconds = self.measure(work, n)
        context = n_prompt + n // 2
        text = self.model.config.text_config
        weights = sum(bytes_of(p) for p in self.model.model.language_model.parameters())
        table = bytes_of(self.model.model.language_model.embed_tokens.weight)
        head = self.model.lm_head.weight
        if head is not self.model.model.language_model.embed_tokens.weight:
            weights += bytes_of(head) - table * (text.vocab_size - 1) / text.vocab_size
        read = weights + self.kv_bytes_per_token() * context
        return {
            "tokens": n, "context_tokens": context, "seconds": seconds, "tokens_per_s": 1 / seconds["median"],
            "bytes": float(read), "bytes_per_s": read / seconds["median"], "share_of_copy": None,
        }

    def kv_bytes_per_token(self) -> int:
        text = self.model.config.text_config
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return 2 * text.num_hidden_layers * text.num_key_value_heads * head_dim * self.dtype.itemsize

    def memory(self) -> dict:
        model = getattr(self, "model", None)
        per_token = self.kv_bytes_per_token() if model is not None else 0
        memory = {
            "weight_bytes": sum(bytes_of(p) for p in model.parameters()) if model is not None else 0,
            "kv_bytes_per_token": per_token,
            "kv_bytes": per_token * (self.options.prompt_tokens + self.options.new_tokens),
        }
        if self.device.type == "cuda":
            memory["peak_bytes"] = torch.cuda.max_memory_reserved(self.device)
            memory["in_use_bytes"] = torch.cuda.max_memory_allocated(self.device)
        else:
            memory["peak_bytes"] = process_peak()
            memory["in_use_bytes"] = None
        return memory

    def copy(self) -> dict:
        n_bytes, copies = COPY[self.device.type]
        x = torch.ones(n_bytes // 4, device=self.device)
        y = torch.empty_like(x)

        def work() -> None:
            for _ in range(copies):
                y.copy_(x)
            y[0].item()

        seconds = self.measure(work, copies)
        return {"bytes": n_bytes, "seconds": seconds, "bytes_per_s": 2 * n_bytes / seconds["median"]}

    def matmul(self) -> dict:
        side, products = PRODUCT[self.device.type]
        a = torch.randn(side, side, device=self.device).to(self.dtype)
        b = torch.randn(side, side, device=self.device).to(self.dtype)

        def work() -> None:
            for _ in range(products):
                c = a @ b.T
            c[0, 0].item()

        seconds = self.measure(work, products)
        return {"side": side, "seconds": seconds, "flops_per_s": 2 * side**3 / seconds["median"]}

    @torch.no_grad()
    def report(self) -> dict:
        report = {
            "engine": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "model": self.options.name,
            "device": device_name(self.device),
            "dtype": self.options.dtype,
            "quantize": None,
            "load": self.part("weights", self.load),
        }
        ready = report["load"] is not None
        report["parameters"] = sum(p.numel() for p in self.model.parameters()) if ready else 0
        report["vision"] = self.part("vision", self.vision) if ready else None
        report["prefill"] = self.part("prefill", self.prefill) if ready else None
        report["decode"] = self.part("decode", self.decode) if report["prefill"] else None
        report["memory"] = self.memory()
        # Their memory is the copy's.
        self.model = self.cache = self.next = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        report["ceilings"] = {"copy": self.part("copy", self.copy), "matmul": self.part("matmul", self.matmul)}
        report["problems"] = self.problems
        return report


def bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def product(m: int, k: int, n: int) -> float:
    return 2.0 * m * k * n


def vision_flops(vision, patches: int) -> float:
    """As `work.rs` of the command counts them."""
    d, d_out, d_inner = vision.hidden_size, vision.out_hidden_size, vision.intermediate_size
    area = vision.spatial_merge_size**2
    tokens = patches // area
    block = product(patches, d, 4 * d) + 2 * product(patches, d, patches) + 3 * product(patches, d, d_out)
    merger = product(tokens, d * area, d_out) + product(tokens, d_out, d_out) + 3 * product(tokens, d_out, d_inner)
    return product(patches, vision.in_channels * vision.patch_size**2, d) + vision.depth * block + merger


def prefill_flops(text, tokens: int) -> float:
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    d, d_heads, d_kv = text.hidden_size, text.num_attention_heads * head_dim, text.num_key_value_heads * head_dim
    linear = product(tokens, d, 2 * d_heads + 2 * d_kv) + 3 * product(tokens, d, text.intermediate_size)
    attention = 4.0 * tokens * (tokens + 1) / 2 * d_heads
    return text.num_hidden_layers * (linear + attention) + product(1, d, text.vocab_size)


def device_name(device: torch.device) -> str:
    return f"{device}: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def process_peak() -> int | None:
    """Most memory that this process ever had."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    json.dump(Bench(options).report(), sys.stdout)
    print()


if __name__ == "__main__":
    main()
