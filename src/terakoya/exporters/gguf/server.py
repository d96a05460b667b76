"""llama.cpp's own server, in this process, and skills for which it predicts.

A prediction is made as anyone's llama-server would make it: the prompt as text, the grammar as GBNF, greedily. First
the server must tokenise the prompt to the ids on which the skill was trained.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

from terakoya.decoding.constraints import GrammarConstraint
from terakoya.errors import CorruptError, IncompatibleError, TerakoyaError
from terakoya.exporters.engine_skill import Generated
from terakoya.exporters.skill_files import need_runtime
from terakoya.i18n import _
from terakoya.models.pretrained.prompt_files import Prompts
from terakoya.models.protocol import Query

_CONTEXT = 4096  # tokens at most: the cache is allocated for all of them at once
_SECONDS = 600


class LlamaServer:
    """A GGUF file in llama.cpp's server.

    file     the model
    prompts  of the skill
    grammar  GBNF; "" for none
    adds_bos whether llama.cpp puts begin-of-text before a prompt
    threads  of the arithmetic
    """

    def __init__(self, file: Path, prompts: Prompts, grammar: str, adds_bos: bool, threads: int = 1) -> None:
        xllamacpp: Any = need_runtime("xllamacpp", extra="gguf")
        self.prompts, self.grammar = prompts, grammar
        bos = prompts.prompt.tokenizer.hf_tokenizer.bos_token
        self._bos = bos if adds_bos and bos else ""
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx = min(prompts.max_source + prompts.max_target, _CONTEXT)
        params.n_parallel, params.n_gpu_layers = 1, 0
        params.cpuparams.n_threads = threads
        params.warmup, params.fit_params, params.port = False, False, 0
        params.verbosity = -1
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise CorruptError(_("llama.cpp cannot open this file ({error})", error=error), where=str(file)) from error
        self._host = str(self._server.listening_address).removeprefix("http://")

    def generate(
        self, queries: Sequence[Query], constraints: Sequence[GrammarConstraint] | None, limit: int
    ) -> list[Generated]:
        """One text for each of `queries`, greedily.

        queries      that fit
        constraints  one per query; the server has its own grammar instead. None without a grammar
        limit        largest number of tokens, the end included
        Raises IncompatibleError where the server tokenises a prompt otherwise than the skill.
        """
        grammar = self.grammar if constraints is not None else ""
        texts = [self.prompts.prompt.text(query).removeprefix(self._bos) for query in queries]
        self._require_equal_ids(queries, texts)
        return [self._complete(text, grammar, limit) for text in texts]

    def token_ids(self, text: str) -> list[int]:
        """The ids of a prompt `text` by the server."""
        found = self._post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        return list(found["tokens"])

    def close(self) -> None:
        """Stop the server and release the weights."""
        self._server = None

    def _require_equal_ids(self, queries: Sequence[Query], texts: Sequence[str]) -> None:
        differing = [
            query.source
            for query, text in zip(queries, texts, strict=True)
            if self.token_ids(text) != self.prompts.prompt_ids(query)
        ]
        if differing:
            raise IncompatibleError(
                _(
                    "llama.cpp tokenises {count} of {total} prompts otherwise than in training (first: {first})",
                    count=len(differing),
                    total=len(queries),
                    first=differing[0][:40],
                ),
                where="--to gguf",
                do=_("Export to ct2, which has the skill's own tokenizer."),
            )

    def _complete(self, text: str, grammar: str, limit: int) -> Generated:
        request: dict[str, Any] = {"prompt": text, "n_predict": limit, "temperature": 0, "n_probs": 1}
        found = self._post("/completion", request | ({"grammar": grammar} if grammar else {}))
        if found.get("stop_type") != "eos":
            return Generated(str(found["content"]), None)
        score = sum(float(step["logprob"]) for step in found["completion_probabilities"])
        return Generated(str(found["content"]), exp(score))

    def _post(self, path: str, values: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, timeout=_SECONDS)
        try:
            connection.request("POST", path, json.dumps(values), {"Content-Type": "application/json"})
            response = connection.getresponse()
            found: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            message = str(found.get("error", {}).get("message", ""))
            raise TerakoyaError(
                _("llama.cpp's server refuses a prompt ({message})", message=message),
                where="--to gguf",
                do=_("Export to ct2 instead."),
            )
        return found
