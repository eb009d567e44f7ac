#!/usr/bin/env python3
"""Writes tests/fixtures/render: texts, and what the official steps make of them.

    python3 -m venv venv && venv/bin/pip install -r tests/reference/requirements-render.txt
    venv/bin/python tests/reference/render_fixtures.py

Every case is a folder with style.json, text.txt, expected.json (page sizes and the lines drawn) and
the last page as PNG, for a few also the first. The two large texts are stored as a seed text and a repeat count.
"""

import argparse
import json
import pathlib
import shutil

import render_official
from render_cases import CASES

# Cases whose first page is stored as well: full pages.
FIRST_PAGE_SHOWN = {"latin", "chinese", "code", "centred", "right_aligned_chinese", "mini_8_lines"}

ROOT = pathlib.Path(__file__).resolve().parents[2]


def expand(seed, repeat):
    """The large text that stands for a seed: its lines in a fixed shuffle, numbered."""
    lines = seed.split("\n")
    return "\n".join(f"{i} {lines[i * 7 % len(lines)]}" for i in range(repeat))


def digest(pages):
    """One hash (FNV-1a, 64 bits, hexadecimal) over all lines of all pages."""
    lines = "".join("".join(line + "\n" for line in page) + "\f" for page in pages)
    value = 0xCBF29CE484222325
    for byte in lines.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def save(image, path):
    gray = image.convert("L")
    is_gray = gray.convert("RGB").tobytes() == image.convert("RGB").tobytes()
    (gray if is_gray else image).save(path, optimize=True)


def write_case(name, style, text, repeat, out_dir, font_dir):
    folder = out_dir / name
    folder.mkdir(parents=True)
    full_text = expand(text, repeat) if repeat else text
    log = render_official.LineLog()
    original = log.install()
    try:
        pdf = render_official.make_pdf(full_text, style, font_dir)
    finally:
        render_official.PDFTextObject._textOut = original
    count = render_official.page_count(pdf)
    log.pages += [[] for _ in range(count - len(log.pages))]
    images = list(render_official.render(full_text, style, font_dir))
    assert len(images) == count
    expected = {
        "pages": count,
        "sizes_px": [list(image.size) for image in images],
        "lines": sum(len(page) for page in log.pages),
        "lines_fnv1a": digest(log.pages),
    }
    if repeat:
        expected["repeat"] = repeat
    else:
        expected["page_lines"] = log.pages
    shown = {0, count - 1} if name in FIRST_PAGE_SHOWN else {count - 1}
    for number in sorted(shown):
        save(images[number], folder / f"page_{number:03d}.png")
    dump = {"ensure_ascii": False, "indent": 1}
    (folder / "style.json").write_text(json.dumps(style, **dump) + "\n", encoding="utf-8")
    (folder / "text.txt").write_bytes(text.encode("utf-8"))
    (folder / "expected.json").write_text(json.dumps(expected, **dump) + "\n", encoding="utf-8")
    print(f"{name}: {len(full_text)} characters, {count} pages, first {images[0].size}, last {images[-1].size}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/fixtures/render")
    parser.add_argument("--fonts", type=pathlib.Path, default=ROOT / "crates/glyph-render/fonts")
    parser.add_argument("--only", help="write this case alone")
    arguments = parser.parse_args()
    for name, (style, text, repeat) in CASES.items():
        if arguments.only and name != arguments.only:
            continue
        shutil.rmtree(arguments.out / name, ignore_errors=True)
        write_case(name, style, text, repeat, arguments.out, str(arguments.fonts))


if __name__ == "__main__":
    main()
