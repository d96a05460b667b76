"""The words of a record, in English and Japanese. Only words: what is said with them is decided in run_report.py."""

from __future__ import annotations

from terakoya.i18n import both, in_language
from terakoya.i18n import language as language
from terakoya.scoring.baselines.standard import BASELINES
from terakoya.scoring.statistics.verdict import UNDECIDED

_WORDS: dict[str, str] = {
    # headings, in the order in which the logs have them
    "summary": both("Summary and conclusion", "概要・結論"),
    "dataset": both("Data", "データセット統計"),
    "environment": both("Environment", "実験環境"),
    "trial": both("Trial", "試行"),
    "examples": both("Predictions, right and wrong", "推論テスト（正誤の例）"),
    "metrics": both("Scores", "評価指標"),
    "analysis": both("Analysis", "分析"),
    "next": both("Next steps", "次のステップ"),
    "cost": both("Cost", "生成コスト"),
    "predictions": both("Every prediction on the exam", "試験の全予測"),
    "settings": both("Settings", "設定"),
    "trials": both("The trials", "試行"),
    "shared settings": both("Settings that all share", "共通の設定"),
    "which trials": both("trial", "試行"),
    "compared": both("Compared on the exam", "試験での比較"),
    "results": both("Result", "結果"),
    "causes": both("Findings and remedies", "原因と対策"),
    "right examples": both("Right", "正解の例"),
    "wrong examples": both("Not right, the most confident first", "不正解の例（確信度の高い順）"),
    "reference": both("reference", "参照文"),
    "user": both("user", "相手"),
    "assistant": both("assistant", "話者"),
    # verdicts and outcomes
    "learned": both("learned", "学習できた"),
    "not learned": both("not learned", "学習できていない"),
    "no verdict": both("no verdict", "判定なし"),
    UNDECIDED: both("undecided", "判断できない"),
    "right": both("right", "正解"),
    "wrong": both("wrong", "不正解"),
    "partly": both("partly right", "部分正解"),
    "unreadable": both("unreadable", "判読不能"),
    "withheld": both("withheld", "出力保留"),
    # states
    "running": both("still running", "実行中"),
    "interrupted": both("interrupted", "中断"),
    "done": both("done", "完了"),
    "failed": both("failed", "失敗"),
    "stopped": both("stopped", "停止"),
    # table heads
    "what": both("", "項目"),
    "value": both("value", "値"),
    "who": both("who", "対象"),
    "model": both("the model", "モデル"),
    **{name: baseline.title for name, baseline in BASELINES.items()},
    "metric": both("metric", "指標"),
    "subset": both("subset", "区分"),
    "main subset": both("main", "本試験"),
    "score": both("score", "スコア"),
    "interval": both("95% interval", "95%区間"),
    "items": both("n", "n"),
    "source": both("source", "入力"),
    "target": both("target", "正解"),
    "prediction": both("prediction", "予測"),
    "outcome": both("outcome", "判定"),
    "raw": both("as written", "生の出力"),
    "probability": both("confidence", "確信度"),
    "kind": both("kind", "種類"),
    "count": both("count", "件数"),
    "share": both("share", "割合"),
    "split": both("split", "分割"),
    "train": both("train", "学習"),
    "dev": both("dev", "検証"),
    "exam": both("exam", "試験"),
    "examples count": both("examples", "件数"),
    "groups": both("groups", "グループ数"),
    "source length": both("source, characters (mean / max)", "入力の文字数（平均 / 最大）"),
    "target length": both("target, characters (mean / max)", "正解の文字数（平均 / 最大）"),
    "finding": both("finding", "検出事項"),
    "where": both("where", "場所"),
    "do": both("remedy", "対策"),
    "level": both("level", "重要度"),
    "note": both("note", "メモ"),
    "warn": both("warning", "警告"),
    "stop": both("stop", "停止"),
    "run": both("run", "実行"),
    "date": both("started", "開始"),
    "state": both("state", "状態"),
    "verdict": both("verdict", "結論"),
    "openings": both("openings", "開封回数"),
    "minutes": both("minutes", "所要（分）"),
    # facts
    "started": both("started", "開始"),
    "took": both("took", "所要時間"),
    "seed": both("seed", "シード"),
    "processor": both("processor", "プロセッサ"),
    "memory": both("memory", "メモリ"),
    "system": both("system", "OS"),
    "versions": both("versions", "バージョン"),
    "commit": both("commit", "コミット"),
    "weights": both("weights", "パラメータ数"),
    "vocabulary": both("vocabulary", "語彙数"),
    "family": both("family", "系統"),
    "fingerprint": both("fingerprint", "指紋"),
    "steps": both("steps", "ステップ数"),
    "tokens": both("target tokens", "学習トークン数"),
    "last loss": both("last loss (nats per token)", "最終損失（nat/トークン）"),
    "best dev": both("best on dev", "検証での最良値"),
    "step": both("step", "ステップ"),
    "loss": both("loss, nats per token", "損失（nat/トークン）"),
    "dev loss": both("on dev", "検証"),
    "trained loss": both("trained loss", "学習する損失"),
    "even guess": both("uniform guess", "一様な推測"),
    "prior entropy": both("prior entropy", "事前分布のエントロピー"),
    "plain": both("cross entropy", "交差エントロピー"),
    "share of dev": both("share of dev predictions", "検証データでの割合"),
    "data": both("data", "データ"),
    "confidence": both("confidence", "確信度"),
    "share right": both("share right", "正解の割合"),
    "top_share": both("most frequent prediction", "最頻の予測の割合"),
    "distinct_share": both("distinct predictions", "異なる予測の割合"),
    "changed": both("with changes", "変更あり"),
    # captions
    "chart loss": both("Training loss", "学習中の損失"),
    "chart dev": both("Dev predictions while training", "学習中の検証データでの予測"),
    "chart predictions": both("Labels: data and model", "ラベルの分布：データとモデル"),
    "chart kind": both("By {tag}", "{tag} ごとのスコア"),
    "chart errors": both("Kinds of error", "誤りの種類"),
    "chart reliability": both("Reliability of its probabilities", "確信度の信頼性"),
    "chart scores": both("Comparison with the baselines", "ベースラインとの比較"),
    "chart forest": both("All runs, with 95% intervals", "全実行と95%区間"),
    # sentences
    "main score": both(
        "{metric} {value}, 95% interval {low} to {high}, on {n} items.",
        "{metric} {value}（95%区間 {low}〜{high}、{n}問）。",
    ),
    "no score": both("This run has no score yet.", "この実行にはまだスコアがない。"),
    "state is": both("State of the run: {state}.", "実行の状態：{state}。"),
    "opened": both(
        "The exam had been opened {n} times when this score was made, this time included.",
        "この試験は、今回を含めて{n}回開封されている。",
    ),
    "opened once": both(
        "The exam was opened for the first time for this score.",
        "この試験は、このスコアのために初めて開封された。",
    ),
    "findings count": both(
        "Findings: {stop} to stop for, {warn} warnings, {note} notes.",
        "検出事項：停止{stop}件、警告{warn}件、メモ{note}件。",
    ),
    "drawn": both(
        "Training examples are drawn by rule while training; the table counts the fixed ones.",
        "学習例は規則によりその都度生成される。表は固定された例の数である。",
    ),
    "split by": both("Split by: {method}.", "分割方法：{method}。"),
    "distinct": both(
        "{distinct} distinct targets among {total}; the most frequent one has a share of {share}.",
        "正解は{total}個中{distinct}種類。最も多いものの割合は{share}。",
    ),
    "no findings": both("Audit, preflight and guards found nothing.", "監査・事前検査・監視で検出された事項はない。"),
    "no errors": both("Nothing was wrong.", "不正解はない。"),
    "signature": both(
        "Made with exam {exam}, metric {metric}, decoding {decoding}.",
        "試験 {exam}、指標 {metric}、デコード {decoding}。",
    ),
    "side by side": both(
        "{n} items, evenly spaced over the exam and not selected: the reference, the model's "
        "prediction, and that of the best baseline. Scores are those of the deciding metric.",
        "試験から等間隔に取った{n}問（選別していない）。参照文、モデルの予測、最良のベースラインの予"
        "測を並べる。スコアは判定に使う指標である。",
    ),
    "perplexity over": both(
        "Perplexity {perplexity} per {unit}, {vocabulary} of which the model chooses among: the {items} references of "
        "the main subset were scored by teacher forcing ({tokens} tokens, the end of each included). It is not "
        "comparable with that of a model with another tokenizer; bits per character are: {bits_per_character} over "
        "{characters} characters.",
        "パープレキシティ {perplexity}（{unit}あたり、語彙は{vocabulary}種類）。"
        "主区分の参照文{items}件を teacher forcing で評価した（終端を含めて{tokens}トークン）。"
        "トークナイザの異なるモデルとは比べられない。"
        "比べられるのは1文字あたりのビット数：{bits_per_character}（{characters}文字）。",
    ),
    "perplexity escape": both(
        "Unseen characters count too: at each position one occurs with probability {probability} "
        "(the share of characters seen once in training), shared evenly by all of Unicode.",
        "学習データにない文字も数に入れた：各位置で確率{probability}（学習データに一度だけ現れた文字"
        "の割合）で現れ、Unicode の全文字に等しく配分する。",
    ),
    "perplexity left out": both(
        "{left_out} references could not be scored by the model; they are not in these two values.",
        "モデルが評価できなかった参照文{left_out}件は、この二つの値に含まれない。",
    ),
    "character": both("character", "文字"),
    "token of its own tokenizer": both("token of the model's own tokenizer", "モデル独自のトークン"),
    "perplexity": both("perplexity, per output token", "パープレキシティ（出力のトークンあたり）"),
    "bits_per_character": both("bits per character", "1文字あたりのビット数"),
    "character frequencies": both("character frequencies", "文字の頻度"),
    "calibration": both(
        "Expected calibration error {error} over {n} predictions (0 is perfect).",
        "期待較正誤差 {error}（{n}件、0が理想）。",
    ),
    "weakest": both(
        "Weakest {tag}: {name}, {value} on {n} items ({low} to {high}).",
        "{tag} で最も弱いのは {name}：{value}（{n}問、{low}〜{high}）。",
    ),
    "commonest error": both(
        "Most frequent error: {name}, {count} of {all} predictions that were not right.",
        "最も多い誤り：{name}（不正解{all}件中{count}件）。",
    ),
    "collapse": both(
        "The model's most frequent prediction is {name}: {model} of its predictions, {data} of the data.",
        "モデルの最頻の予測は {name}：予測の{model}、データでは{data}。",
    ),
    "more items": both(
        "Use an exam of about {n} items: with {have} the gain cannot be distinguished from 0.",
        "試験を約{n}問に増やす（{have}問では差を判断できない）。",
    ),
    "no next": both("No finding proposes a next step.", "検出事項から提案された次の手はない。"),
    "go on": both("Continue with: terakoya run {run}", "再開：terakoya run {run}"),
    "no teacher": both(
        "No teacher was used: nothing was spent on data.",
        "教師モデルは使っていない（データ生成費は0）。",
    ),
    "compute": both("{minutes} minutes on {cores} cores.", "計算時間：{cores}コアで{minutes}分。"),
    "whole config": both("The whole config", "設定の全体"),
    "all in": both(
        "All predictions are in predictions.jsonl; the HTML page has them in a table that filters.",
        "全予測は predictions.jsonl にある。HTML版では絞り込みできる表で見られる。",
    ),
    "capped": both(
        "The page holds the first {shown} of {all} predictions; all of them are in predictions.jsonl.",
        "このページには全{all}件のうち最初の{shown}件を載せた。全件は predictions.jsonl にある。",
    ),
    "needs script": both(
        "The table is drawn by the small script in this page; your reader does not run it. See predictions.jsonl.",
        "この表はページ内の小さなスクリプトで描かれる。動かない場合は predictions.jsonl を見てほしい。",
    ),
    "made by": both(
        "Written by terakoya {version} from the run's own files.",
        "実行フォルダから terakoya {version} が作成。",
    ),
    "sweep of": both("{n} runs side by side.", "{n}件の実行の比較。"),
    "of the lead": both("For the best on dev, {run}:", "検証で最良の {run} について："),
    "all of them": both("all {n}", "{n}件すべて"),
    "failed count": both("Trials that failed: {n}.", "失敗した試行：{n}件。"),
    "none better": both(
        "On the exam no other setting differs significantly from the best on dev ({n} compared).",
        "検証で最良の設定と試験で有意に異なる設定はない（比較{n}件）。",
    ),
    "no warnings": both(
        "Audit, preflight and guards gave no warning in these runs.",
        "監査・事前検査・監視の警告はない。",
    ),
    "to tell apart": both(
        "Use an exam of about {n} items to tell {first} from {second}.",
        "{first} と {second} を区別するには、試験を約{n}問に増やす。",
    ),
    "compute in all": both(
        "{runs} runs, {minutes} minutes in all on {cores} cores.",
        "計算時間：{runs}件の実行、{cores}コアで合計{minutes}分。",
    ),
    "runs here": both("{n} runs, the newest first.", "{n}件、新しい順。"),
    "other exam": both(
        "These runs were scored on different exams or in different ways: their scores cannot be compared.",
        "試験または測り方が異なる実行が含まれる。スコアは比較できない。",
    ),
    "failed runs": both("Failed runs", "失敗した実行"),
    "reason": both("reason", "理由"),
    "all runs": both("All runs", "全実行の一覧"),
    "no runs": both("There are no runs here yet.", "まだ実行がない。"),
    # the table's controls
    "filter all": both("all predictions", "すべて"),
    "filter not right": both("all that is not right", "正解以外"),
    "filter text": both("search text", "文字で検索"),
    "filter kind": both("every kind", "全種類"),
    "sort exam": both("in exam order", "試験の順"),
    "sort sure": both("most confident first", "確信度の高い順"),
    "sort unsure": both("least confident first", "確信度の低い順"),
    "previous": both("previous", "前へ"),
    "following": both("next", "次へ"),
    "minutes spent": both("{minutes} min", "{minutes} 分"),
    "of": both("of", "/"),
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
