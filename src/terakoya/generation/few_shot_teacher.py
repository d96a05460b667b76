"""A teacher that takes a task's own exam: with examples of the training side in its prompt, every request in a ledger.

    teacher = FewShotTeacher(config, folder, shots, instruction)
    teacher.predict(["三万八千"])            # ["38000"]; None where no usable response came
    teacher.spent                           # in the currency of [teacher]

In-context examples: Brown et al. (2020), arXiv:2005.14165. What is in the ledger is not paid for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from terakoya.config import Config
from terakoya.generation.permission import require_permission_to_spend
from terakoya.generation.prepare import make_api_teacher, make_client, open_ledger
from terakoya.generation.teacher.protocol import NANO, TeacherRequest
from terakoya.generation.teacher.rate_limits import RETRY_POLICY
from terakoya.generation.teacher.retries import GenerationStopped, RequestAbandoned, TeacherClient
from terakoya.records import Turn, fingerprint

_STEP = "exam"
_INSTRUCTION = "例と同じように、出力だけを書いてください。"


class FewShotTeacher:
    """The teacher of a config as a predictor.

    config       its section [teacher]
    folder       of the ledger
    shots        (source, target) examples that stand before every source
    instruction  of the task, "" for a general one
    Raises ConfigError where no model, address, key or limit on spending is set.
    """

    def __init__(self, config: Config, folder: Path, shots: Sequence[tuple[str, str]], instruction: str = "") -> None:
        require_permission_to_spend(config, True)  # nothing is trained on its output here
        # The requests of an exam are sent one by one: nobody waits a day for it.
        single = config.teacher.model_copy(update={"batch": 0})
        self.config, self.folder, self.shots = config.model_copy(update={"teacher": single}), folder, shots
        self.instruction = instruction or _INSTRUCTION
        self.spent = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def predict(self, sources: Sequence[str]) -> list[str | None]:
        """One output for each source, None where the teacher gave none that can be used.

        sources  the inputs
        Raises BudgetError where the limit on spending is reached, and what else ends a generation.
        """
        return asyncio.run(self._predict(sources))

    async def _predict(self, sources: Sequence[str]) -> list[str | None]:
        settings = self.config.teacher
        teacher = make_api_teacher(settings)
        ledger = open_ledger(settings, self.folder)
        client = make_client(settings, teacher, ledger, RETRY_POLICY)
        try:
            found = await asyncio.gather(
                *(self._one(client, source, order) for order, source in enumerate(sources)), return_exceptions=True
            )
            for one in found:
                if isinstance(one, BaseException):
                    raise client.fatal or one
            return [one for one in found if not isinstance(one, BaseException)]
        finally:
            self.spent = ledger.committed / NANO
            await ledger.close()
            await teacher.close()

    async def _one(self, client: TeacherClient, source: str, order: int) -> str | None:
        try:
            response = await client.complete(self._request(source), order)
        except RequestAbandoned:
            return None  # counted as unreadable; the ledger says why
        except GenerationStopped:
            if client.fatal is None:
                raise
            raise client.fatal from None
        return None if response.defect else response.text

    def _request(self, source: str) -> TeacherRequest:
        settings = self.config.teacher
        turns = [Turn("system", self.instruction)]
        for given, target in self.shots:
            turns += [Turn("user", given), Turn("assistant", target)]
        temperature = None if settings.temperature == "unset" else 0.0
        return TeacherRequest(
            _STEP, fingerprint(source), source, (*turns, Turn("user", source)), settings.model, settings.max_tokens,
            temperature, self.config.seed,
        )  # fmt: skip
