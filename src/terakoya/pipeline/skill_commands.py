"""Commands that use a trained skill: `terakoya predict`, `serve` and `export`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from terakoya.pipeline.dataset import read_run_config
from terakoya.pipeline.run import report
from terakoya.runs.progress import Listener, SilentListener

if TYPE_CHECKING:
    from terakoya.exporters.write import ExportResult
    from terakoya.serving import Serving


def predict(
    run: Path,
    texts: Sequence[str] = (),
    *,
    input: str = "",
    output: str = "",
    overrides: Sequence[str] = (),
    for_spreadsheet: bool = False,
) -> Iterator[dict[str, object]]:
    """Predictions of a trained model: one for each input, in order, whatever the input holds.

    run              a run folder or a model folder
    texts            sources
    input            a file with further sources, "-" for standard input
    output           a .jsonl or .csv file to write, "" for none
    overrides        KEY=VALUE settings of decoding; task.source, task.target, task.encoding and task.codec are those
                     of the input
    for_spreadsheet  True: mark a .csv as UTF-8 and leave no cell a formula
    Yields JSON-ready lines. Raises ConfigError where there is nothing to predict.
    """
    from terakoya.pipeline import predict as prediction

    return prediction.predict(
        run, texts, input=input, output=output, overrides=tuple(overrides), for_spreadsheet=for_spreadsheet
    )


def serve(
    runs: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_hosts: Sequence[str] = (),
    token_file: Path | None = None,
    waiting: int = 256,
    batch: int = 32,
    seconds: float = 30.0,
    overrides: Sequence[str] = (),
    mcp: str = "",
    background: bool = False,
    on_ready: Callable[[Serving], None],
) -> None:
    """Serve trained skills over HTTP, as OpenAI's clients call models, or as tools of the Model Context Protocol.

    runs         run folders or model folders, each under a name of its own
    host         name or address to listen on; any but loopback needs a token
    port         0 is any free one
    allow_hosts  further names of the server, as "name" or "name:port"
    token_file   a file with the token; None: the variable TERAKOYA_TOKEN, or a new one where one is needed
    waiting      texts that may wait
    batch        texts that are predicted together at most
    seconds      until a request is read, and until it is predicted
    overrides    KEY=VALUE settings of decoding, for all skills
    mcp          "": HTTP alone; "http": MCP under /mcp as well; "stdio": MCP over standard input and output alone
    background   return once the server listens, which goes on in a thread until its `end` is called
    on_ready     is called once the server listens
    Returns after SIGTERM or Ctrl-C, when what was begun is finished. Raises ConfigError without a skill, for an address
    that is not free, or where a package is missing.
    """
    from terakoya import serving

    address = serving.Address(host, port, tuple(allow_hosts), token_file)
    limits = serving.Limits(waiting=waiting, batch=batch, seconds=seconds)
    serve_until_ended = partial(serving.serve, runs, address, overrides=overrides, limits=limits, mcp=mcp)
    if background:
        on_ready(serving.serve_in_background(lambda ready: serve_until_ended(on_ready=ready)))
        return
    serving.refuse_running_loop()
    serve_until_ended(on_ready=on_ready)


def export(
    run: Path,
    targets: Sequence[str],
    *,
    output: Path | None = None,
    overwrite: bool = False,
    unproved: bool = False,
    quantisation: str = "",
    converter: Path | None = None,
    push: str = "",
    overrides: Sequence[str] = (),
    lang: str = "",
    listener: Listener | None = None,
) -> list[ExportResult]:
    """Write a trained skill for other runtimes, each artifact proved on the skill's exam in its own runtime.

    run           a run folder whose exam was opened
    targets       names of exports, each once or several with commas between them
    output        folder in which each target gets one of its own; None: `exports` in the run folder
    overwrite     replace a folder that no export wrote
    unproved      keep an artifact whose runtime is not installed
    quantisation  number format of the weights, in the words of the target
    converter     a converter of the user's own
    push          owner/name on the Hub
    overrides     KEY=VALUE settings of decoding
    lang          "en" or "ja", of the README
    listener      receives progress events
    Where the exports lie in the run folder, the run's record shows their proofs.
    """
    from terakoya.exporters.exporter import ExportOptions
    from terakoya.exporters.write import export_skill
    from terakoya.saved_model import read_skill

    said = listener or SilentListener()
    names = [name.strip() for text in targets for name in text.split(",") if name.strip()]
    skill = read_skill(run, tuple(overrides), scored=True)
    done = export_skill(
        skill,
        names,
        output=output,
        overwrite=overwrite,
        without_proof=unproved,
        options=ExportOptions(quantisation, converter, push),
        lang=lang or skill.config.lang,
        progress=said.note,
    )
    if output is None and (run / "manifest.json").is_file():
        report(run, lang=read_run_config(run).lang)  # the record shows the proofs
    return done
