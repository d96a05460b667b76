"""The words of a record, in English and Japanese. Only words: what is said with them is decided in run_report.py."""

from __future__ import annotations

from terakoya.i18n import _, in_language
from terakoya.i18n import language as language
from terakoya.scoring.baselines.standard import BASELINES
from terakoya.scoring.statistics.verdict import UNDECIDED

_WORDS: dict[str, str] = {
    # headings, in the order in which the logs have them
    "summary": _("Summary and conclusion"),
    "dataset": _("Data"),
    "environment": _("Environment"),
    "trial": _("Trial"),
    "examples": _("Predictions, right and wrong"),
    "metrics": _("Scores"),
    "analysis": _("Analysis"),
    "next": _("Next steps"),
    "cost": _("Cost"),
    "predictions": _("Every prediction on the exam"),
    "settings": _("Settings"),
    "trials": _("The trials"),
    "shared settings": _("Settings that all share"),
    "which trials": _("trial"),
    "compared": _("Compared on the exam"),
    "results": _("Result"),
    "causes": _("Findings and remedies"),
    "right examples": _("Right"),
    "wrong examples": _("Not right, the most confident first"),
    "reference": _("reference"),
    "user": _("user"),
    "assistant": _("assistant"),
    # verdicts and outcomes
    "learned": _("learned"),
    "not learned": _("not learned"),
    "no verdict": _("no verdict"),
    UNDECIDED: _("undecided"),
    "right": _("right"),
    "wrong": _("wrong"),
    "partly": _("partly right"),
    "unreadable": _("unreadable"),
    "withheld": _("withheld"),
    # states
    "running": _("still running"),
    "interrupted": _("interrupted"),
    "done": _("done"),
    "failed": _("failed"),
    "stopped": _("stopped"),
    # table heads
    "what": _("item"),
    "value": _("value"),
    "who": _("who"),
    "model": _("the model"),
    **{name: baseline.title for name, baseline in BASELINES.items()},
    "metric": _("metric"),
    "subset": _("subset"),
    "main subset": _("main"),
    "score": _("score"),
    "interval": _("95% interval"),
    "items": _("n"),
    "source": _("source"),
    "target": _("target"),
    "prediction": _("prediction"),
    "outcome": _("outcome"),
    "raw": _("as written"),
    "probability": _("confidence"),
    "kind": _("kind"),
    "count": _("count"),
    "share": _("share"),
    "split": _("split"),
    "train": _("train"),
    "dev": _("dev"),
    "exam": _("exam"),
    "examples count": _("examples"),
    "groups": _("groups"),
    "source length": _("source, characters (mean / max)"),
    "target length": _("target, characters (mean / max)"),
    "finding": _("finding"),
    "where": _("where"),
    "do": _("remedy"),
    "level": _("level"),
    "note": _("note"),
    "warn": _("warning"),
    "stop": _("stop"),
    "run": _("run"),
    "date": _("started"),
    "state": _("state"),
    "verdict": _("verdict"),
    "openings": _("openings"),
    "minutes": _("minutes"),
    # facts
    "started": _("started"),
    "took": _("took"),
    "seed": _("seed"),
    "seeds": _("The same recipe with every seed"),
    "mean": _("mean"),
    "standard deviation": _("standard deviation"),
    "processor": _("processor"),
    "memory": _("memory"),
    "system": _("system"),
    "versions": _("versions"),
    "commit": _("commit"),
    "weights": _("weights"),
    "vocabulary": _("vocabulary"),
    "family": _("family"),
    "fingerprint": _("fingerprint"),
    "steps": _("steps"),
    "tokens": _("target tokens"),
    "last loss": _("last loss (nats per token)"),
    "best dev": _("best on dev"),
    "step": _("step"),
    "loss": _("loss, nats per token"),
    "dev loss": _("on dev"),
    "trained loss": _("trained loss"),
    "even guess": _("uniform guess"),
    "prior entropy": _("prior entropy"),
    "plain": _("cross entropy"),
    "share of dev": _("share of dev predictions"),
    "data": _("data"),
    "confidence": _("confidence"),
    "share right": _("share right"),
    "top_share": _("most frequent prediction"),
    "distinct_share": _("distinct predictions"),
    "changed": _("with changes"),
    # captions
    "chart loss": _("Training loss"),
    "chart dev": _("Dev predictions while training"),
    "chart predictions": _("Labels: data and model"),
    "chart kind": _("By {tag}"),
    "chart errors": _("Kinds of error"),
    "chart reliability": _("Reliability of its probabilities"),
    "chart scores": _("Comparison with the baselines"),
    "chart forest": _("All runs, with 95% intervals"),
    "no charts": _(
        "Charts are left out: they need two packages that are not installed. For the whole report: "
        "pip install 'terakoya[charts]', then terakoya report RUN"
    ),
    # sentences
    "main score": _("{metric} {value}, 95% interval {low} to {high}, on {n}."),
    "no score": _("This run has no score yet."),
    "state is": _("State of the run: {state}."),
    "opened": _(
        "The exam had been opened {n} times when this score was made, this time included: what the verdict says is "
        "exploratory, because settings may have been chosen by earlier openings. A new exam would confirm it."
    ),
    "opened once": _("The exam was opened for the first time for this score."),
    "findings count": _("Findings: {stop} to stop for, {warn} warnings, {note} notes."),
    "drawn": _("Training examples are drawn by rule while training; the table counts the fixed ones."),
    "split by": _("Split by: {method}."),
    "exam sources": _(
        "{same} of {items} exam items come from the program, file or list that training examples come from; they do "
        "not show what happens on data that others wrote."
    ),
    "distinct": _("{distinct} distinct targets among {total}; the most frequent one has a share of {share}."),
    "no findings": _("Audit, preflight and guards found nothing."),
    "no errors": _("Nothing was wrong."),
    "signature": _("Made with exam {exam}, metric {metric}, decoding {decoding}."),
    "ceiling": _(
        "The ceiling: annotators of the exam reach {value} against each other's targets (n = {n}). Read the "
        "model's score beside that and not beside 1."
    ),
    "side by side": _(
        "{n} items, evenly spaced over the exam and not selected: the reference, the model's "
        "prediction, and that of the best baseline. Scores are those of the deciding metric."
    ),
    "perplexity over": _(
        "Perplexity {perplexity} per {unit}, {vocabulary} of which the model chooses among: the {items} references of "
        "the main subset were scored by teacher forcing ({tokens} tokens, the end of each included). It is not "
        "comparable with that of a model with another tokenizer; bits per character are: {bits_per_character} over "
        "{characters} characters."
    ),
    "perplexity escape": _(
        "Unseen characters count too: at each position one occurs with probability {probability} "
        "(the share of characters seen once in training), shared evenly by all of Unicode."
    ),
    "perplexity left out": _(
        "{left_out} references could not be scored by the model; they are not in these two values."
    ),
    "character": _("character"),
    "token of its own tokenizer": _("token of the model's own tokenizer"),
    "perplexity": _("perplexity, per output token"),
    "bits_per_character": _("bits per character"),
    "character frequencies": _("character frequencies"),
    "calibration": _("Expected calibration error {error} over {n} predictions (0 is perfect)."),
    "weakest": _("Weakest {tag}: {name}, {value} on {n} items ({low} to {high})."),
    "commonest error": _("Most frequent error: {name}, {count} of {all} predictions that were not right."),
    "in common": _("What errors have in common: {what} ({p}, corrected for everything that was tried)."),
    "nothing in common": _("The {n} errors have nothing in common that differs from an even spread."),
    "worse half": _("The metric is graded: as wrong counts here what scored below the median ({n} predictions)."),
    "curve": _("Learning curve"),
    "ladder": _("Do you need a model?"),
    "rows": _("training rows"),
    "on dev": _("on dev [95% interval]"),
    "on trained": _("on training rows"),
    "milliseconds": _("ms a prediction"),
    "exports": _("Exports, each proved on the exam in its own runtime"),
    "exported to": _("exported to"),
    "runtime": _("runtime"),
    "equal": _("equal predictions"),
    "bytes": _("bytes"),
    "same": _("same"),
    "within noise": _("within noise"),
    "unproved": _("not proved"),
    "price": _("price of 1,000"),
    "against best": _("against the best on dev"),
    "not worse": _("not worse"),
    "worse": _("worse"),
    "left out": _("left out"),
    "low": _("from"),
    "high": _("to"),
    "missed": _("missed"),
    "errors by field": _("Errors by field of the target"),
    "errors by edit": _("Most frequent edits: what the target has, and what was predicted in its place"),
    "errors by relation": _("How wrong predictions relate to their targets"),
    "errors by length": _("Errors by length of the source"),
    "errors by similarity": _("Errors by similarity to the nearest training row"),
    "errors by label": _("Errors by label"),
    "field": _("field"),
    "wrong of": _("wrong / items"),
    "characters": _("characters"),
    "similarity": _("similarity"),
    "label": _("label"),
    "missed of": _("missed / items with it"),
    "wrongly predicted of": _("wrong / predictions of it"),
    "collapse": _("The model's most frequent prediction is {name}: {model} of its predictions, {data} of the data."),
    "more items": _("Use an exam of about {n} items: with {have} the gain cannot be distinguished from 0."),
    "no next": _("No finding proposes a next step."),
    "go on": _("Continue with: terakoya run {run}"),
    "no teacher": _("No teacher was used: nothing was spent on data."),
    "compute": _("{minutes} minutes on {cores} cores."),
    "whole config": _("The whole config"),
    "all in": _("All predictions are in predictions.jsonl; the HTML page has them in a table that filters."),
    "capped": _("The page holds the first {shown} of {all} predictions; all of them are in predictions.jsonl."),
    "needs script": _(
        "The table is drawn by the small script in this page; your reader does not run it. See predictions.jsonl."
    ),
    "made by": _("Written by terakoya {version} from the run's own files."),
    "sweep of": _("{n} runs side by side."),
    "of the lead": _("For the best on dev, {run}:"),
    "all of them": _("all {n}"),
    "failed count": _("Trials that failed: {n}."),
    "none better": _("On the exam no other setting differs significantly from the best on dev ({n} compared)."),
    "no warnings": _("Audit, preflight and guards gave no warning in these runs."),
    "to tell apart": _("Use an exam of about {n} items to tell {first} from {second}."),
    "compute in all": _("{runs} runs, {minutes} minutes in all on {cores} cores."),
    "runs here": _("{n} runs, the newest first."),
    "other exam": _("These runs were scored on different exams or in different ways: their scores cannot be compared."),
    "failed runs": _("Failed runs"),
    "reason": _("reason"),
    "all runs": _("All runs"),
    "no runs": _("There are no runs here yet."),
    # the table's controls
    "filter all": _("all predictions"),
    "filter not right": _("all that is not right"),
    "filter text": _("search text"),
    "filter kind": _("every kind"),
    "sort exam": _("in exam order"),
    "sort sure": _("most confident first"),
    "sort unsure": _("least confident first"),
    "previous": _("previous"),
    "following": _("next"),
    "minutes spent": _("{minutes} min"),
    "of": _("of"),
}


def say(lang: str, key: str, **values: object) -> str:
    """A text in the reader's language. Values are put in as they are and escaped where the page is made.

    lang    "en" or "ja"
    key     of the text
    values  fields of the text
    """
    return in_language(_WORDS[key], lang).format(**values)


def known(lang: str, key: str) -> str:
    """The text of a key where there is one, else the key itself: a user's own tag, metric or baseline has its own name.

    lang  "en" or "ja"
    key   of the text
    """
    return say(lang, key) if key in _WORDS else key
