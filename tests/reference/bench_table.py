"""Markdown tables of the JSON files that bench_9b.sh wrote.

    python tests/reference/bench_table.py DIRECTORY
"""

import json
import sys
from pathlib import Path

HEADER = [
    "", "weights, GB", "peak, GB", "make, s", "vision, ms a page", "of matmul", "prefill, tokens/s", "of matmul",
    "decode, ms a token", "tokens/s", "of copy", "first of each, s",
]


def cell(value, form: str, scale: float = 1.0) -> str:
    return "–" if value is None else form.format(value * scale)


def row(report: dict) -> list[str]:
    vision, prefill, decode = (report.get(part) or {} for part in ("vision", "prefill", "decode"))
    memory, load = report["memory"], report.get("load") or {}
    median = lambda part: (part.get("seconds") or {}).get("median")
    first = [part["seconds"]["first"] for part in (vision, prefill, decode) if part]
    return [
        f"{report['engine']}, {report.get('quantize') or report['dtype']}",
        cell(memory["weight_bytes"], "{:.2f}", 1e-9),
        cell(memory["peak_bytes"], "{:.2f}", 1e-9),
        cell(load.get("seconds"), "{:.1f}"),
        cell(median(vision), "{:.1f}", 1e3),
        cell(vision.get("share_of_matmul"), "{:.1f} %", 1e2),
        cell(prefill.get("tokens_per_s"), "{:.0f}"),
        cell(prefill.get("share_of_matmul"), "{:.1f} %", 1e2),
        cell(median(decode), "{:.2f}", 1e3),
        cell(decode.get("tokens_per_s"), "{:.1f}"),
        cell(decode.get("share_of_copy"), "{:.1f} %", 1e2),
        " / ".join(f"{seconds:.1f}" for seconds in first) or "–",
    ]


PRODUCTS = ["product", "rows", "d_in", "d_out", "ms", "of copy", "of matmul"]


def product_row(report: dict, product: dict) -> list[str]:
    return [
        f"{product['name']}, {report.get('quantize') or report['dtype']}",
        *(str(product[key]) for key in ("rows", "d_in", "d_out")),
        cell(product["seconds"]["median"], "{:.3f}", 1e3),
        cell(product["share_of_copy"], "{:.1f} %", 1e2),
        cell(product["share_of_matmul"], "{:.1f} %", 1e2),
    ]


def print_table(header: list[str], rows: list[list[str]]) -> None:
    for cells in [header, ["---"] * len(header), *rows]:
        print(f"| {' | '.join(cells)} |")
    print()


def main() -> None:
    rows, products, ceilings, problems = [], [], [], []
    for path in (Path(sys.argv[1]) / f"{name}.json" for name in ("bf16", "f32", "q8", "q4")):
        try:
            comparison = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except ValueError:
            problems.append(f"{path.name} holds no result; see the log beside it")
            continue
        for report in (comparison, comparison.get("transformers")):
            if report is None:
                continue
            rows.append(row(report))
            products += [product_row(report, product) for product in report.get("products", [])]
            problems += [f"{path.name}, {report['engine']}: {problem}" for problem in report["problems"]]
            copy, matmul = report["ceilings"]["copy"], report["ceilings"]["matmul"]
            copy = cell(copy and copy["bytes_per_s"], "{:.0f} GB/s", 1e-9)
            matmul = cell(matmul and matmul["flops_per_s"], "{:.1f} TFLOP/s", 1e-12)
            ceilings.append(f"{rows[-1][0]} on {report['device']}: copy {copy}, matmul {matmul}")
    print_table(HEADER, rows)
    if products:
        print_table(PRODUCTS, products)
    for line in ceilings + problems:
        print(f"- {line}")


if __name__ == "__main__":
    main()
