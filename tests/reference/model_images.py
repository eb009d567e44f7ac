"""Test pictures, and what transformers' image processor makes of them."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoImageProcessor
from transformers.models.glm4v.image_processing_glm4v import smart_resize

BOUNDS = {
    "hub": {"shortest_edge": 12544, "longest_edge": 9633792},
    "small": {"shortest_edge": 3136, "longest_edge": 200704},
    "tiny": {"shortest_edge": 3136, "longest_edge": 50176},
}

# name: (height, width, mode, noise)
PICTURES = {
    "page_90x80": (90, 80, "RGB", 24),
    "wide_56x112": (56, 112, "RGB", 8),
    "tall_112x84": (112, 84, "RGB", 8),
    "exact_84x84": (84, 84, "RGB", 8),
    "exact_112x168": (112, 168, "RGB", 4),
    "even_98x126": (98, 126, "RGB", 8),
    "even_70x154": (70, 154, "RGB", 8),
    "small_20x13": (20, 13, "RGB", 16),
    "small_10x40": (10, 40, "RGB", 16),
    "small_1x60": (1, 60, "RGB", 16),
    "up_50x60": (50, 60, "RGB", 8),
    "up_29x30": (29, 30, "RGB", 8),
    "long_30x420": (30, 420, "RGB", 4),
    "long_400x31": (400, 31, "RGB", 4),
    "odd_127x101": (127, 101, "RGB", 8),
    "large_480x640": (480, 640, "RGB", 0),
    "large_333x250": (333, 250, "RGB", 4),
    "gray_60x90": (60, 90, "L", 8),
    "alpha_60x90": (60, 90, "RGBA", 8),
    "palette_60x90": (60, 90, "P", 0),
}

# (picture, bounds)
CASES = [(name, "hub") for name in PICTURES if name not in ("large_480x640",)] + [
    ("large_480x640", "small"),
    ("large_480x640", "tiny"),
    ("large_333x250", "tiny"),
    ("up_29x30", "small"),
    ("long_400x31", "tiny"),
    ("small_20x13", "small"),
]

# The pictures that the model fixtures use, in this order.
MODEL_PICTURES = ["page_90x80", "wide_56x112", "tall_112x84"]

ROWS_PER_CASE = 5


def draw(name: str) -> Image.Image:
    """A gradient with noise and short dark strokes, from a seed made of the name."""
    height, width, mode, noise = PICTURES[name]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    corner = rng.integers(120, 256, size=(2, 3))
    ramp = (x * width + y * height) * 256 // (width * width + height * height)
    canvas = corner[0] + (corner[1] - corner[0]) * ramp[..., None] // 256
    for top in range(2, height - 4, 9):
        left = 2
        while left < width - 3:
            stroke = int(rng.integers(1, 7))
            tall = int(rng.integers(1, 7))
            ink = rng.integers(0, 90, size=3)
            if rng.random() < 0.8:
                canvas[top : top + tall, left : left + stroke] = ink
            left += stroke + int(rng.integers(1, 4))
    if noise:
        canvas = canvas + rng.integers(-noise, noise + 1, size=canvas.shape)
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8), "RGB")
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(np.clip(x * 255 // (width - 1), 0, 255).astype(np.uint8), "L"))
        return picture
    if mode == "P":
        return picture.quantize(colors=16, dither=Image.Dither.NONE)
    return picture.convert(mode)


def write_pictures(folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in PICTURES:
        paths[name] = folder / f"{name}.png"
        draw(name).save(paths[name])
    return paths


def unpatchify(pixel_values: torch.Tensor, grid: list[int]) -> torch.Tensor:
    """Patch rows [N, 3*2*14*14] back to a picture [3, H, W] (first of the two equal frames)."""
    _, rows, columns = grid
    blocks = pixel_values.view(rows // 2, columns // 2, 2, 2, 3, 2, 14, 14)[:, :, :, :, :, 0]
    return blocks.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * 14, columns * 14)


def preprocess(paths: dict[str, Path], processor_folder: Path, out: Path) -> tuple[list[dict], dict]:
    """images.safetensors and pixels.safetensors; returns the table and what the processor is."""
    processor = AutoImageProcessor.from_pretrained(processor_folder)
    mean = torch.tensor(processor.image_mean) * 255
    std = torch.tensor(processor.image_std) * 255
    tensors, table = {}, []
    for name, bounds in CASES:
        picture = Image.open(paths[name])
        result = processor(images=[picture], size=BOUNDS[bounds], return_tensors="pt")
        pixels, grid = result["pixel_values"], result["image_grid_thw"][0].tolist()
        frames = pixels.view(-1, 3, 2, 14 * 14)
        assert torch.equal(frames[:, :, 0], frames[:, :, 1])
        exact = unpatchify(pixels, grid) * std[:, None, None] + mean[:, None, None]
        resized = exact.round()
        assert (exact - resized).abs().max() < 1e-2
        key = f"{name}.{bounds}"
        rows = torch.linspace(0, len(pixels) - 1, ROWS_PER_CASE).round().long()
        tensors[f"{key}.resized"] = resized.to(torch.uint8).permute(1, 2, 0).contiguous()
        tensors[f"{key}.rows"] = rows
        tensors[f"{key}.pixel_rows"] = pixels[rows].contiguous()
        table.append(
            {
                "key": key,
                "file": f"images/{name}.png",
                "mode": picture.mode,
                "height": picture.height,
                "width": picture.width,
                "min_pixels": BOUNDS[bounds]["shortest_edge"],
                "max_pixels": BOUNDS[bounds]["longest_edge"],
                "resized_height": grid[1] * 14,
                "resized_width": grid[2] * 14,
                "grid_thw": grid,
                "tokens": grid[1] * grid[2] // 4,
                "pil_resize_max_difference": pil_difference(picture, resized),
            }
        )
    save_file(tensors, out / "images.safetensors")

    pictures = [Image.open(paths[name]) for name in MODEL_PICTURES]
    result = processor(images=pictures, return_tensors="pt")
    counts = result["image_grid_thw"].prod(-1).tolist()
    shared = {"image_grid_thw": result["image_grid_thw"]}
    for name, pixels in zip(MODEL_PICTURES, result["pixel_values"].split(counts)):
        shared[f"pixel_values.{name}"] = pixels.contiguous()
    save_file(shared, out / "pixels.safetensors")
    return table, {"class": type(processor).__name__, "backend": processor.backend}


def pil_difference(picture: Image.Image, resized: torch.Tensor) -> int:
    """Largest difference to Pillow's own bicubic resize of the same picture, in grey levels."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (255,) * 4), picture)
    height, width = resized.shape[-2:]
    other = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    other = torch.from_numpy(np.array(other)).permute(2, 0, 1).float()
    return int((other - resized).abs().max())


def smart_resize_table() -> list[dict]:
    """Sizes with the hub's and with smaller bounds, refused ones included."""
    hub = [
        (84, 84), (112, 168), (28, 28), (29, 30), (50, 60), (56, 112), (56, 111), (90, 80),
        (98, 126), (70, 154), (42, 84), (84, 42), (126, 126), (154, 98), (14, 14), (1, 1),
        (1, 60), (60, 1), (1, 200), (1, 201), (10, 40), (20, 13), (27, 27), (27, 28), (28, 27),
        (13, 400), (30, 420), (400, 31), (28, 5600), (28, 5601), (5600, 28), (5601, 28),
        (30, 6000), (30, 6001), (2, 401), (11, 2200), (11, 2201), (100, 100), (127, 101),
        (842, 595), (1123, 793), (1684, 1190), (2105, 1487), (2200, 2300), (2184, 2184),
        (2184, 2212), (2212, 2184), (2195, 2195), (3000, 2000), (2000, 3000), (4000, 4000),
        (6000, 6000), (9000, 4000), (10000, 60), (60, 10000), (720, 1280), (1080, 1920),
        (2160, 3840), (480, 640), (333, 250), (1000, 4816), (1001, 4817), (6, 1000), (21, 21),
    ]
    small = [
        (480, 640), (333, 250), (29, 30), (28, 28), (28, 56), (42, 42), (1, 1), (316, 316),
        (317, 317), (308, 308), (322, 322), (336, 308), (350, 294), (100, 1000), (28, 5600),
        (5000, 30), (20, 13), (392, 256), (393, 257), (1000, 1000),
    ]
    # Scaled up to 28, where rounding the other side instead of cutting it off gives another size.
    hub += [(8, 9), (9, 8), (25, 8), (10, 175), (335, 10)]
    small += [(10, 175), (355, 10)]
    # Sides below 28 where float rounding of side * (28 / side) falls short of 28.
    short = [side for side in range(1, 28) if int(side * (28 / side)) != 28]
    rows = [(h, w, "hub") for h, w in hub] + [(h, w, "small") for h, w in small]
    rows += [(side, side + 9, "hub") for side in short] + [(side, 28, "small") for side in short]
    table = []
    for height, width, bounds in rows:
        least, most = BOUNDS[bounds]["shortest_edge"], BOUNDS[bounds]["longest_edge"]
        row = {"height": height, "width": width, "min_pixels": least, "max_pixels": most}
        try:
            tall, wide = smart_resize(2, height, width, 2, 28, least, most)
            row |= {"resized_height": tall, "resized_width": wide, "tokens": tall * wide // 784}
        except ValueError as error:
            row |= {"error": str(error)}
        table.append(row)
    return table
