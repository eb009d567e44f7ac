"""Greedy answers of the trained glyph-mini by transformers, for the test that ours are the same.

    cargo run --release --bin glyph-train -- samples
    python tests/reference/mini_fixtures.py

Reads tests/fixtures/mini/samples.json and its pages, writes tests/fixtures/mini/expected.json. Needs the
packages of tests/reference/requirements-model.txt.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "mini"
MODEL = ROOT / "models" / "glyph-mini"
SCRIPT = Path(__file__).with_name("model_generate.py")
MAX_NEW_TOKENS = 400


def answer(sample: dict) -> dict:
    command = [sys.executable, str(SCRIPT), str(MODEL), "--question", sample["question"]]
    for page in sample["pages"]:
        command += ["--image", str(FIXTURES / page)]
    command += ["--max-new-tokens", str(MAX_NEW_TOKENS)]
    output = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {key: output[key] for key in ("prompt_ids", "greedy_ids", "least_margin")}


def main() -> None:
    samples = json.loads((FIXTURES / "samples.json").read_text())
    rows = [{**sample, **answer(sample)} for sample in samples]
    (FIXTURES / "expected.json").write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print(len(row["greedy_ids"]), "tokens, least margin", round(row["least_margin"], 4), row["question"][:60])


if __name__ == "__main__":
    main()
