"""A small byte-level BPE tokenizer with GLM-4.1V's special tokens, and its chat template."""

import json
import os
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

MERGES = 64

# In GLM-4.1V's order. The flag says whether the token counts as special, that is whether
# decoding with skip_special_tokens drops it.
ADDED_TOKENS = [
    ("<|endoftext|>", True),
    ("[gMASK]", True),
    ("<sop>", True),
    ("<|system|>", True),
    ("<|user|>", True),
    ("<|assistant|>", True),
    ("<|observation|>", True),
    ("<|begin_of_image|>", True),
    ("<|end_of_image|>", True),
    ("<|begin_of_video|>", True),
    ("<|end_of_video|>", True),
    ("<|image|>", True),
    ("<|video|>", True),
    ("<think>", False),
    ("</think>", False),
    ("<answer>", False),
    ("</answer>", False),
    ("<|begin_of_box|>", False),
    ("<|end_of_box|>", False),
    ("/nothink", True),
]

# GLM-4's split: contractions, words with one leading mark, up to three digits, punctuation runs,
# line breaks, spaces.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TRAINING_TEXT = [
    "The reader looks at the page and writes down what is there, line after line.",
    "A long document becomes a few images; the model reads the images and answers the question.",
    "What is the number hidden in the text? The answer is in the third paragraph of the page.",
    "You are a helpful assistant. Describe the image, then compare it with the other images.",
    "In the morning the train leaves the station at 7:45 and comes back in the evening at 19:30.",
    "这是一个测试。模型阅读图片中的文字，然后回答问题。",
    "请描述这张图片，并告诉我图片里有什么文字。图片中的数字是多少？",
]

CHAT_TEMPLATE = """\
{#- Markers around each kind of picture item. -#}
{%- set image_item = '<|begin_of_image|><|image|><|end_of_image|>' -%}
{%- set video_item = '<|begin_of_video|><|video|><|end_of_video|>' -%}
{%- macro items(content) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- else -%}
        {%- for item in content -%}
            {%- if item is string -%}
                {{- item -}}
            {%- elif item.type == 'image' or item.type == 'image_url' or 'image' in item -%}
                {{- image_item -}}
            {%- elif item.type == 'video' or 'video' in item -%}
                {{- video_item -}}
            {%- elif item.type == 'text' -%}
                {{- item.text -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{{- '[gMASK]<sop>' -}}
{%- for message in messages -%}
    {%- if message.role in ('system', 'user', 'assistant') -%}
        {{- '<|' ~ message.role ~ '|>\\n' ~ items(message.content) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>\\n' -}}
{%- endif -%}
"""


def train() -> Tokenizer:
    """Trains the BPE merges, then puts the added tokens at the end of the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + MERGES, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    return tokenizer


def write(folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train()
    first = tokenizer.get_vocab_size()
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [
        {
            "id": first + index,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": special,
        }
        for index, (content, special) in enumerate(ADDED_TOKENS)
    ]
    (folder / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "model_max_length": 128000,
        "model_input_names": ["input_ids", "attention_mask"],
        "extra_special_tokens": {},
        "processor_class": "Glm4vProcessor",
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in document["added_tokens"]
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def token_ids(folder: Path) -> dict[str, int]:
    """Ids of the added tokens by content."""
    document = json.loads((folder / "tokenizer.json").read_text())
    return {token["content"]: token["id"] for token in document["added_tokens"]}


ENCODE_SAMPLES = [
    "",
    " ",
    "What is in the image?",
    "The reader's answer: 12345, 7:45.\n\nNext  line\tend ",
    "  leading and trailing   ",
    "line\r\nbreaks\n\n\n and more",
    "图片里有什么文字？mixed 中文 and English.",
    "emoji 🙂 and ünïcödé, e\u0301",
    "<|user|>\nhello<|assistant|>\n<think>so</think><answer>7</answer>",
    "<|begin_of_image|><|image|><|image|><|end_of_image|>ok /nothink",
    "[gMASK]<sop><|system|>\nYou are a helpful assistant.<|user|>\nhi<|assistant|>\n",
    "<|begin_of_box|>42<|end_of_box|> <|notspecial|>",
]


def samples(tokenizer) -> list[dict]:
    """Encodings of ENCODE_SAMPLES and both decodings of each, plus decodings of cut characters."""
    rows = []
    for text in ENCODE_SAMPLES:
        ids = tokenizer(text, add_special_tokens=True)["input_ids"]
        rows.append(row(tokenizer, text, ids))
    cut = tokenizer("图🙂")["input_ids"]
    rows += [row(tokenizer, None, cut[:end]) for end in range(1, len(cut))]
    return rows


def row(tokenizer, text: str | None, ids: list[int]) -> dict:
    return {
        "text": text,
        "ids": ids,
        "decoded": tokenizer.decode(ids, skip_special_tokens=False),
        "decoded_skip_special": tokenizer.decode(ids, skip_special_tokens=True),
    }
