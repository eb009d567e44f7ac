"""What transformers' logits processors make of fixed logits."""

import numpy as np
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

VOCAB = 48
HISTORY = [3, 7, 7, 41, 0, 12, 3, 30, 47]

# name: chain of (processor, value), applied in generate's order
CHAINS = {
    "repetition_1.1": [("repetition_penalty", 1.1)],
    "repetition_0.8": [("repetition_penalty", 0.8)],
    "temperature_0.3": [("temperature", 0.3)],
    "temperature_1.7": [("temperature", 1.7)],
    "temperature_0.0001": [("temperature", 0.0001)],
    "top_k_1": [("top_k", 1)],
    "top_k_5": [("top_k", 5)],
    "top_k_100": [("top_k", 100)],
    "top_p_0.85": [("top_p", 0.85)],
    "top_p_0.3": [("top_p", 0.3)],
    "top_p_0.0001": [("top_p", 0.0001)],
    "top_p_1.0": [("top_p", 1.0)],
    "reference": [("repetition_penalty", 1.1), ("temperature", 0.3), ("top_k", 20), ("top_p", 0.85)],
    "warm": [("repetition_penalty", 1.1), ("temperature", 1.4), ("top_k", 12), ("top_p", 0.9)],
    "near_greedy": [("repetition_penalty", 1.1), ("temperature", 0.0001), ("top_p", 1.0)],
}

PROCESSORS = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
}


def logits_vectors() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(20)
    spread = torch.from_numpy((2.5 * rng.standard_normal(VOCAB)).astype(np.float32))
    # A tie across the border of top-5, a negative and a zero logit in the history.
    tied = spread.clone()
    order = tied.argsort(descending=True)
    tied[order[3:8]] = tied[order[3]].item()
    tied[HISTORY[0]], tied[HISTORY[1]] = -1.25, 0.0
    return {"spread": spread, "tied": tied, "flat": torch.full((VOCAB,), 0.5)}


def table() -> list[dict]:
    """Rows with the scores after each step; null stands for minus infinity."""
    rows = []
    for vector, logits in logits_vectors().items():
        for name, chain in CHAINS.items():
            # How a sort breaks full ties is not a promise of top-p.
            if vector != "spread" and any(step == "top_p" for step, _ in chain):
                continue
            scores, steps = logits[None].clone(), []
            for step, value in chain:
                scores = PROCESSORS[step](value)(torch.tensor([HISTORY]), scores)
                steps.append({"processor": step, "value": value, "scores": finite(scores[0])})
            rows.append(
                {
                    "name": f"{vector}.{name}",
                    "logits": logits.tolist(),
                    "history": HISTORY,
                    "steps": steps,
                    "probabilities": scores[0].softmax(-1).tolist(),
                }
            )
    return rows


def finite(scores: torch.Tensor) -> list[float | None]:
    return [None if value == float("-inf") else value for value in scores.tolist()]
