"""Putting a streamed answer together."""

from dataclasses import dataclass, field


@dataclass
class Streamed:
    """All that a stream has said."""

    text: str = ""
    reasoning: str = ""
    finish_reasons: list = field(default_factory=list)
    ids: set = field(default_factory=set)
    logprobs: list = field(default_factory=list)
    usages: list = field(default_factory=list)
    n_chunks: int = 0


def joined(stream):
    """A chat stream, or one of completions, as a whole."""
    whole = Streamed()
    for chunk in stream:
        whole.n_chunks += 1
        whole.ids.add(chunk.id)
        if chunk.usage is not None:
            assert chunk.choices == [], "the usage comes in a chunk without choices"
            whole.usages.append(chunk.usage)
            continue
        [choice] = chunk.choices
        if chunk.object == "chat.completion.chunk":
            whole.text += choice.delta.content or ""
            whole.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            whole.logprobs += choice.logprobs.content if choice.logprobs else []
        else:
            whole.text += choice.text
            whole.logprobs += choice.logprobs.token_logprobs if choice.logprobs else []
        if choice.finish_reason is not None:
            whole.finish_reasons.append(choice.finish_reason)
    return whole
