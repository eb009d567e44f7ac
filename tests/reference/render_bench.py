#!/usr/bin/env python3
"""Times the official steps on one text; prints seconds, processor time and pages as JSON.

With several cores the same text is rendered by as many processes at once, and the pages of all of
them are counted: the official batch script spreads texts over processes in the same way.
"""

import argparse
import io
import json
import multiprocessing
import pathlib
import resource
import time

import render_official

ROOT = pathlib.Path(__file__).resolve().parents[2]
FONTS = str(ROOT / "crates/glyph-render/fonts")


def render_to_png(job):
    """Renders and encodes every page; returns how many there are."""
    text, style = job
    pages = 0
    for image in render_official.render(text, style, FONTS):
        image.save(io.BytesIO(), "PNG")
        pages += 1
    return pages


def cpu_seconds():
    """Processor time of this process and of those that it waited for, poppler's among them."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--cores", type=int, default=1)
    arguments = parser.parse_args()
    style = json.loads(arguments.style.read_text(encoding="utf-8"))
    text = arguments.text.read_bytes().decode("utf-8")
    render_official.register_font(style, FONTS)
    if arguments.cores == 1:
        render_to_png(("warm up", style))
        start, cpu_start = time.perf_counter(), cpu_seconds()
        pages = render_to_png((text, style))
        seconds = time.perf_counter() - start
    else:
        with multiprocessing.Pool(arguments.cores) as pool:
            pool.map(render_to_png, [("warm up", style)] * arguments.cores, chunksize=1)
            start, cpu_start = time.perf_counter(), cpu_seconds()
            pages = sum(pool.map(render_to_png, [(text, style)] * arguments.cores, chunksize=1))
            seconds = time.perf_counter() - start
            # The time of the pool's processes is counted when they end.
            pool.close()
            pool.join()
    cpu = cpu_seconds() - cpu_start
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "pages": pages}))


if __name__ == "__main__":
    main()
