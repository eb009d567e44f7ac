"""The committed measurement of the 9B model on a GPU, tried on the smallest shape and the CPU: every part runs, and the
table says what the parts found."""

import json
import os
import re
import subprocess

import pytest

from glyph_server import ROOT, binary

SCRIPT = ROOT / "tests" / "reference" / "bench_9b.sh"

# A Python that has torch and transformers; with it they are measured too.
TRANSFORMERS_PYTHON = "TRANSFORMERS_PYTHON"

PARTS = ["f32", "q8", "q4"]
PROMPT_TOKENS = 64
TIMEOUT_S = 600


def bench(out, python="-", shape="mini"):
    """Runs the script; returns its exit code."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GLYPH_")
    }
    environment |= {"SHAPE": shape, "DEVICE": "cpu", "PROMPT": str(PROMPT_TOKENS)}
    command = [SCRIPT, binary(), python, out]
    return subprocess.run(command, env=environment, timeout=TIMEOUT_S).returncode


def tables(out):
    """Rows of each table of table.md, cell by cell and without the heads, and the lines below them."""
    blocks = [block.splitlines() for block in (out / "table.md").read_text().strip().split("\n\n")]
    *rows, lines = blocks
    return [[row[2:-2].split(" | ") for row in table[2:]] for table in rows], lines


def report(out, part):
    return json.loads((out / f"{part}.json").read_text())


def check_row(cells, measured):
    """A row of the first table is what was measured, in its units."""
    vision, prefill, decode = (measured[part] for part in ("vision", "prefill", "decode"))
    kind = measured["quantize"] or measured["dtype"]
    assert cells[0] == f"{measured['engine']}, {kind}"
    expected = [
        measured["memory"]["weight_bytes"] / 1e9,
        measured["memory"]["peak_bytes"] / 1e9,
        measured["load"]["seconds"],
        vision["seconds"]["median"] * 1e3,
        vision["share_of_matmul"] * 1e2,
        prefill["tokens_per_s"],
        prefill["share_of_matmul"] * 1e2,
        decode["seconds"]["median"] * 1e3,
        decode["tokens_per_s"],
        decode["share_of_copy"] * 1e2,
    ]
    for cell, value in zip(cells[1:-1], expected, strict=True):
        shown = re.fullmatch(r"(\d+(?:\.(\d+))?)(?: %)?", cell)
        assert shown, cell
        # Half of the last digit that is shown.
        assert abs(float(shown[1]) - value) <= 0.501 * 10 ** -len(shown[2] or ""), (cell, value)
    firsts = [part["seconds"]["first"] for part in (vision, prefill, decode)]
    assert cells[-1] == " / ".join(f"{seconds:.1f}" for seconds in firsts)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run without transformers."""
    out = tmp_path_factory.mktemp("bench")
    # Of another run; it is not to be found in the table.
    (out / "bf16.json").write_text("{}")
    assert bench(out) == 0
    return out


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_measured(measured, part):
    found = report(measured, part)
    assert found["problems"] == []
    assert "transformers" not in found
    assert (found["model"], found["dtype"]) == ("mini", "f32")
    assert found["quantize"] == (None if part == "f32" else part)
    assert found["prefill"]["tokens"] == PROMPT_TOKENS
    assert found["ceilings"]["copy"] and found["ceilings"]["matmul"]
    assert "decode" in (measured / f"{part}.log").read_text()


def test_the_table_has_our_rows_alone_and_they_are_what_was_measured(measured):
    [rows, products], lines = tables(measured)
    reports = [report(measured, part) for part in PARTS]
    assert len(rows) == len(reports)
    for cells, found in zip(rows, reports):
        check_row(cells, found)
    # Each part's products, in its order.
    expected = [
        [f"{product['name']}, {found['quantize'] or found['dtype']}", str(product["rows"])]
        for found in reports
        for product in found["products"]
    ]
    assert [cells[:2] for cells in products] == expected
    # What the device reached beside each part; nothing else, since nothing failed.
    assert len(lines) == len(reports)
    for line, found in zip(lines, reports):
        kind = found["quantize"] or found["dtype"]
        assert line.startswith(f"- {found['engine']}, {kind} on {found['device']}: copy ")


def test_the_card_and_the_version_are_noted(measured):
    version = subprocess.run([binary(), "--version"], capture_output=True, text=True).stdout
    assert version and version in (measured / "card.txt").read_text()


def test_parts_that_fail_are_named_and_do_not_stop_the_others(tmp_path):
    assert bench(tmp_path, shape="none") == 1
    [rows], lines = tables(tmp_path)
    assert rows == []
    assert lines == [f"- {part}.json holds no result; see the log beside it" for part in PARTS]
    for part in PARTS:
        assert "none" in (tmp_path / f"{part}.log").read_text()


def test_transformers_stand_beside(tmp_path):
    python = os.environ.get(TRANSFORMERS_PYTHON)
    if not python:
        pytest.skip(f"{TRANSFORMERS_PYTHON} names no Python that has torch and transformers")
    assert bench(tmp_path, python) == 0
    [rows, _], _ = tables(tmp_path)
    first = report(tmp_path, "f32")
    theirs = first["transformers"]
    assert theirs["engine"].startswith("transformers ") and theirs["problems"] == []
    assert first["parameters"] == theirs["parameters"]
    expected = [first, theirs, report(tmp_path, "q8"), report(tmp_path, "q4")]
    assert len(rows) == len(expected)
    for cells, found in zip(rows, expected):
        check_row(cells, found)
