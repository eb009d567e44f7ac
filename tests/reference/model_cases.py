"""Prompts, and what the model makes of them: vision stages, decoder stages, greedy continuations."""

import contextlib
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoProcessor, GenerationConfig, Glm4vForConditionalGeneration

NEW_TOKENS = 64
KEPT_STEPS = [0, 1, 2, 15, 31, 63]


def image(name: str) -> dict:
    return {"type": "image", "image": name}


def words(text: str) -> dict:
    return {"type": "text", "text": text}


def message(role: str, *content) -> dict:
    return {"role": role, "content": content[0] if isinstance(content[0], str) else list(content)}


PAGE, WIDE, TALL = "page_90x80", "wide_56x112", "tall_112x84"
LONG_TEXT = "\n".join(
    f"Line {line}: the reader looks at page {line * 7 % 97} and finds the number {line * 7919 % 10007}."
    for line in range(13)
)

# The prompts of the model fixtures. Each ends in the generation prompt.
PROMPTS = {
    "text": [
        message("system", "You are a helpful assistant."),
        message("user", "What is the number in the text?"),
    ],
    "one_image": [message("user", image(PAGE), words("What is in the image?"))],
    "images": [
        message("user", image(PAGE), image(WIDE), words(" and "), image(TALL), words("Compare the images."))
    ],
    "two_turn": [
        message("user", image(WIDE), words("这是什么？")),
        message("assistant", "<think>The page.</think><answer>文字</answer>"),
        message("user", words("And then this: "), image(PAGE), words("?")),
    ],
    "long": [message("system", LONG_TEXT), message("user", image(TALL), words(LONG_TEXT[:160]))],
}
BATCH = ["text", "one_image", "images"]

# Further conversations, for the chat template and the expansion of image tokens only.
CHATS = {
    "user_string": ([message("user", "hello")], True),
    "user_string_no_prompt": ([message("user", "hello")], False),
    "user_items": ([message("user", words("hello "), words("again"))], True),
    "system_items": ([message("system", words("Be brief.")), message("user", words("hi"))], True),
    "empty_user": ([message("user", "")], True),
    "image_last": ([message("user", words("Look: "), image(TALL))], True),
    "image_small": ([message("user", image("small_20x13"), words("?"))], True),
    "answered": (
        [
            message("user", image(PAGE), words("What?")),
            message("assistant", words("<think>hm</think><answer>text</answer>")),
        ],
        False,
    ),
    "three_turns": (
        [
            message("system", "Be brief."),
            message("user", "one"),
            message("assistant", "<think>a</think>two\n"),
            message("user", "three"),
            message("assistant", "four"),
            message("user", "  spaces and\nlines  "),
        ],
        True,
    ),
    "markers_in_text": ([message("user", "a <|user|> b <|endoftext|> c")], True),
} | {name: (messages, True) for name, messages in PROMPTS.items()}


def image_names(messages: list[dict]) -> list[str]:
    return [
        item["image"]
        for entry in messages
        if not isinstance(entry["content"], str)
        for item in entry["content"]
        if item["type"] == "image"
    ]


def render(processor, messages: list[dict], generation_prompt: bool) -> str:
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)


def prepare(processor, pictures: dict[str, Path], conversations: list[list[dict]]) -> dict:
    """Model inputs of one or several conversations, padded on the left."""
    text = [render(processor, messages, True) for messages in conversations]
    names = [name for messages in conversations for name in image_names(messages)]
    opened = [Image.open(pictures[name]) for name in names] or None
    return processor(text=text, images=opened, padding=True, padding_side="left", return_tensors="pt")


def chats(processor, pictures: dict[str, Path]) -> list[dict]:
    rows = []
    for name, (messages, generation_prompt) in CHATS.items():
        names = image_names(messages)
        text = render(processor, messages, generation_prompt)
        inputs = processor(text=[text], images=[Image.open(pictures[n]) for n in names] or None)
        grids = inputs["image_grid_thw"].tolist() if names else []
        rows.append(
            {
                "name": name,
                "messages": messages,
                "add_generation_prompt": generation_prompt,
                "images": [f"images/{n}.png" for n in names],
                "text": text,
                "image_grid_thw": grids,
                "image_tokens": [t * h * w // 4 for t, h, w in grids],
                "input_ids": list(inputs["input_ids"][0]),
            }
        )
    return rows


@contextlib.contextmanager
def outputs_of(modules: dict[str, torch.nn.Module]):
    """Collects what the named modules return."""
    seen = {}

    def keep(name):
        def hook(_module, _args, output):
            seen[name] = (output[0] if isinstance(output, tuple) else output).detach().clone()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def vision_stages(model, pixels: torch.Tensor, grid: torch.Tensor) -> dict[str, torch.Tensor]:
    visual = model.model.visual
    modules = {
        "patch_embed": visual.patch_embed,
        "post_conv_layernorm": visual.post_conv_layernorm,
        "embeddings": visual.embeddings,
        "post_layernorm": visual.post_layernorm,
        "downsample": visual.downsample,
    } | {f"blocks.{index}": block for index, block in enumerate(visual.blocks)}
    rotary = {}
    handle = visual.rotary_pos_emb.register_forward_hook(
        lambda _m, _a, out: rotary.update(cos=out[0], sin=out[1])
    )
    coordinates = {}
    taker = visual.embeddings.register_forward_pre_hook(lambda _m, args: coordinates.update(args=args))
    with outputs_of(modules) as seen:
        seen["merger"] = visual(pixels, grid_thw=grid).pooler_output
    handle.remove()
    taker.remove()
    seen["downsample"] = seen["downsample"].flatten(1)
    embedded, *rest = coordinates["args"]
    seen["position_embedding"] = visual.embeddings(torch.zeros_like(embedded), *rest)
    seen["rotary_cos"], seen["rotary_sin"] = rotary["cos"], rotary["sin"]
    return {name: tensor.contiguous() for name, tensor in seen.items()}


def forward_inputs(inputs: dict) -> dict:
    keys = ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw")
    return {key: inputs[key] for key in keys if key in inputs}


@torch.no_grad()
def decoder_stages(model, inputs: dict) -> dict[str, torch.Tensor]:
    """One uncached pass over the prompt. All results keep their batch axis."""
    language = model.model.language_model
    model.model.rope_deltas = None
    entry = {}

    def enter(_module, _args, kwargs):
        entry.update(kwargs)

    handle = language.register_forward_pre_hook(enter, with_kwargs=True)
    angles = {}
    turner = language.rotary_emb.register_forward_hook(
        lambda _m, _a, out: angles.update(cos=out[0], sin=out[1])
    )
    modules = {f"layers.{index}": layer for index, layer in enumerate(language.layers)}
    modules["norm"] = language.norm
    with outputs_of(modules) as seen:
        logits = model(**forward_inputs(inputs), use_cache=False).logits
    handle.remove()
    turner.remove()
    batch, length = inputs["input_ids"].shape
    positions = entry["position_ids"]
    if positions is None:
        positions = torch.arange(length).expand(3, batch, length)
    delta = model.model.rope_deltas
    seen["position_ids"] = positions
    seen["rope_delta"] = torch.zeros(batch, 1, dtype=torch.long) if delta is None else delta.view(batch, 1)
    seen["inputs_embeds"] = entry["inputs_embeds"]
    seen["rotary_cos"], seen["rotary_sin"] = angles["cos"], angles["sin"]
    seen["logits"] = logits
    return seen


@torch.no_grad()
def greedy(model, inputs: dict, eos: list[int] | None, count: int = NEW_TOKENS):
    """New token ids [batch, count] and the raw logits of each step [batch, count, vocab]."""
    model.model.rope_deltas = None
    pad = model.config.text_config.pad_token_id
    model.generation_config = GenerationConfig(pad_token_id=pad)
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=count, eos_token_id=eos, pad_token_id=pad,
        output_logits=True, return_dict_in_generate=True,
    )
    result = model.generate(**forward_inputs(inputs), generation_config=settings)
    tokens = result.sequences[:, inputs["input_ids"].shape[1] :]
    return tokens, torch.stack(result.logits, dim=1)


def margins(logits: torch.Tensor) -> torch.Tensor:
    best = logits.topk(2, dim=-1).values
    return best[..., 0] - best[..., 1]


@torch.no_grad()
def replayed(model, inputs: dict, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of the same continuation without a cache: one pass over prompt and continuation."""
    full = dict(forward_inputs(inputs))
    full["input_ids"] = torch.cat([inputs["input_ids"], tokens], dim=1)
    full["attention_mask"] = torch.ones_like(full["input_ids"])
    full["mm_token_type_ids"] = F.pad(inputs["mm_token_type_ids"], (0, tokens.shape[1]))
    model.model.rope_deltas = None
    length = inputs["input_ids"].shape[1]
    return model(**full, use_cache=False).logits[:, length - 1 : -1]


def load(folder: Path, attention: str = "eager"):
    """The checkpoint as f32, and its processor."""
    model = Glm4vForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention
    ).eval()
    return model, AutoProcessor.from_pretrained(folder)
