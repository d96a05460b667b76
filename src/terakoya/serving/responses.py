"""Predictions as OpenAI's clients read them; what those have no field for stands in `terakoya`."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

from terakoya.decoding.token_log_probs import TokenLogProb
from terakoya.serving.requests import Given
from terakoya.serving.skills import Output

_REASONS = {
    "probability": "withheld: its probability is below the threshold",
    "verification": "withheld: the task's rule does not confirm it",
    "characters": "withheld: the text holds characters that the skill does not know",
    "novelty": "withheld: the text is unlike those of the training",
    "rejected": "withheld: the model rejects the text as ill-formed",
    "promise": "withheld: it would break the promised share of right predictions",
    "unfinished": "the output did not end within its limit",
    "unreadable": "the output could not be read as a target",
}


def reason(output: Output) -> str:
    """Why an `output` has no text: what withheld it, "unfinished" or "unreadable"; "" if it has one."""
    prediction = output.prediction
    if prediction.text is not None:
        return ""
    return prediction.withheld or ("unreadable" if prediction.probability else "unfinished")


def _refusal(why: str) -> str:
    return _REASONS.get(why, f"withheld: {why}")  # a package's own reasons are no fault


def finish_reason(output: Output) -> str:
    """ "stop" for an `output` with a text, "length" for one that did not end, "content_filter" for one withheld."""
    return {"": "stop", "unfinished": "length"}.get(reason(output), "content_filter")


def details(output: Output) -> dict[str, Any]:
    """What is known of an `output`: its text, probability, raw text, and why there is no text.

    output  of a skill
    """
    prediction = output.prediction
    about: dict[str, Any] = {
        "prediction": prediction.text,
        "probability": None if prediction.probability is None else round(prediction.probability, 6),
        "raw": prediction.raw,
        "reason": reason(output) or None,
    }
    if prediction.uncalibrated is not None:
        about["uncalibrated"] = round(prediction.uncalibrated, 6)
    if prediction.unknown:
        about["unknown"] = prediction.unknown
    if prediction.verified is not None:
        about["verified"] = prediction.verified
    if prediction.labels:
        about["labels"] = [[label, round(share, 6)] for label, share in prediction.labels]
    return about


class Responder:
    """Writes the responses to one request.

    model    name of the skill
    given    the request
    outputs  one for each of its queries
    tokens   log-probabilities of the tokens of each output; () where none are wanted
    """

    def __init__(
        self, model: str, given: Given, outputs: Sequence[Output], tokens: Sequence[Sequence[TokenLogProb]] = ()
    ) -> None:
        self.given, self.outputs, self.tokens = given, outputs, tokens
        prefix, kind = ("chatcmpl", "chat.completion") if given.chat else ("cmpl", "text_completion")
        self._about = {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }

    def whole(self) -> dict[str, Any]:
        """The response in one piece."""
        choices = [self._choice(index) for index in range(len(self.outputs))]
        return {**self._about, "choices": choices, "usage": self._usage(), "terakoya": self._extra()}

    def events(self) -> Iterator[str]:
        """The response as server-sent events. A prediction is decoded as a whole, so it comes in one piece."""
        about = {**self._about, "object": "chat.completion.chunk"} if self.given.chat else self._about
        for index, output in enumerate(self.outputs):
            for choice in self._chunks(index, output):
                yield _event({**about, "choices": [choice], **({"usage": None} if self.given.usage else {})})
        last = {**about, "choices": [], "terakoya": self._extra()}
        if self.given.usage:
            yield _event({**last, "usage": self._usage()})
        yield "data: [DONE]\n\n"

    def _chunks(self, index: int, output: Output) -> Iterator[dict[str, Any]]:
        whole = self._choice(index)
        if not self.given.chat:
            yield whole
            return
        message = whole.pop("message")
        unfinished = {**whole, "finish_reason": None, "logprobs": None}
        unfinished.pop("terakoya")
        yield {**unfinished, "delta": {"role": "assistant", "content": ""}}
        if message["content"] is not None:
            yield {**unfinished, "delta": {"content": message["content"]}, "logprobs": whole["logprobs"]}
        delta = {"refusal": message["refusal"]} if message["refusal"] else {}
        yield {**whole, "delta": delta, "logprobs": None}

    def _choice(self, index: int) -> dict[str, Any]:
        output = self.outputs[index]
        text, tokens = output.prediction.text, self.tokens[index] if self.tokens else None
        choice: dict[str, Any] = {"index": index, "finish_reason": finish_reason(output), "terakoya": details(output)}
        if self.given.chat:
            refusal = _refusal(reason(output)) if text is None else None
            message = {"role": "assistant", "content": text, "refusal": refusal}
            return {**choice, "message": message, "logprobs": None if tokens is None else chat_logprobs(tokens)}
        return {**choice, "text": text or "", "logprobs": None if tokens is None else completion_logprobs(tokens)}

    def _usage(self) -> dict[str, int]:
        prompt, generated = (sum(getattr(one, name) for one in self.outputs) for name in ("prompt", "generated"))
        return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}

    def _extra(self) -> dict[str, Any]:
        return {"ignored": list(self.given.ignored)}


def chat_logprobs(tokens: Sequence[TokenLogProb]) -> dict[str, Any]:
    """The `logprobs` of a chat completion.

    tokens  of the output, with the most probable alternatives of each
    """
    return {
        "content": [
            {**_token(one.token, one.log_prob), "top_logprobs": [_token(*alternative) for alternative in one.top]}
            for one in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(tokens: Sequence[TokenLogProb]) -> dict[str, Any]:
    """The `logprobs` of a completion.

    tokens  of the output, with the most probable alternatives of each
    """
    offsets = [sum(len(one.token) for one in tokens[:index]) for index in range(len(tokens))]
    return {
        "tokens": [one.token for one in tokens],
        "token_logprobs": [_finite(one.log_prob) for one in tokens],
        "top_logprobs": [{text: _finite(log_prob) for text, log_prob in one.top} for one in tokens],
        "text_offset": offsets,
    }


def _token(text: str, log_prob: float) -> dict[str, Any]:
    return {"token": text, "logprob": _finite(log_prob), "bytes": list(text.encode("utf-8", "replace"))}


def _finite(log_prob: float) -> float:
    """OpenAI's lowest value stands for a probability of 0: JSON has no infinity."""
    return round(log_prob, 6) if math.isfinite(log_prob) else -9999.0


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'), allow_nan=False)}\n\n"
