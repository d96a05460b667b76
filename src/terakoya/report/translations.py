"""The words of a record, in English and Japanese. Only words: what is said with them is decided in story.py."""

from __future__ import annotations

from terakoya.i18n import language as language
from terakoya.scoring.baselines.standard import NAMES_JA

_WORDS: dict[str, tuple[str, str]] = {
    # headings, in the order in which the logs have them
    "summary": ("Summary and conclusion", "概要・結論"),
    "dataset": ("Data", "データセット統計"),
    "environment": ("Environment", "実験環境"),
    "trial": ("The trial", "試行"),
    "examples": ("Answers, right and wrong", "推論テスト（正誤の例）"),
    "metrics": ("Scores", "評価指標"),
    "analysis": ("Analysis", "分析"),
    "next": ("Next steps", "次のステップ"),
    "cost": ("Cost", "生成コスト"),
    "answers": ("Every answer of the exam", "試験の全解答"),
    "settings": ("Settings", "設定"),
    "trials": ("The trials", "試行"),
    "shared settings": ("Settings that all share", "共通の設定"),
    "which trials": ("trial", "試行"),
    "compared": ("Compared on the exam", "試験での比較"),
    "results": ("Result", "結果"),
    "causes": ("Causes and cures", "原因と対策"),
    "right examples": ("Right", "正解の例"),
    "wrong examples": ("Not right, the surest first", "不正解の例（自信の高い順）"),
    "reference": ("reference", "お手本"),
    "user": ("user", "相手"),
    "assistant": ("assistant", "話者"),
    # verdicts and outcomes
    "learned": ("learned", "学習できた"),
    "not learned": ("not learned", "学習できていない"),
    "no verdict": ("no verdict", "判定なし"),
    "cannot be told": ("cannot be told", "判断できない"),
    "right": ("right", "正解"),
    "wrong": ("wrong", "不正解"),
    "partly": ("partly right", "部分正解"),
    "unreadable": ("unreadable", "判読不能"),
    "withheld": ("withheld", "回答保留"),
    # states
    "running": ("still running", "実行中"),
    "interrupted": ("interrupted", "中断"),
    "done": ("done", "完了"),
    "failed": ("failed", "失敗"),
    "stopped": ("stopped", "停止"),
    # table heads
    "what": ("", "項目"),
    "value": ("value", "値"),
    "who": ("who", "対象"),
    "model": ("the model", "モデル"),
    **{name: (name, japan) for name, japan in NAMES_JA.items()},
    "metric": ("metric", "指標"),
    "part": ("part", "区分"),
    "main part": ("main", "本試験"),
    "score": ("score", "スコア"),
    "interval": ("95% interval", "95%区間"),
    "items": ("n", "n"),
    "source": ("source", "入力"),
    "target": ("target", "正解"),
    "answer": ("answer", "回答"),
    "outcome": ("outcome", "判定"),
    "raw": ("as written", "生の出力"),
    "probability": ("confidence", "確信度"),
    "kind": ("kind", "種類"),
    "count": ("count", "件数"),
    "share": ("share", "割合"),
    "split": ("side", "分割"),
    "train": ("train", "学習"),
    "dev": ("dev", "検証"),
    "exam": ("exam", "試験"),
    "examples count": ("examples", "件数"),
    "groups": ("groups", "グループ数"),
    "source length": ("source, characters (mean / max)", "入力の文字数（平均 / 最大）"),
    "target length": ("target, characters (mean / max)", "正解の文字数（平均 / 最大）"),
    "finding": ("finding", "わかったこと"),
    "where": ("where", "場所"),
    "do": ("what to do", "対策"),
    "level": ("level", "重さ"),
    "note": ("note", "メモ"),
    "warn": ("warning", "警告"),
    "stop": ("stop", "停止"),
    "run": ("run", "実行"),
    "date": ("begun", "開始"),
    "state": ("state", "状態"),
    "verdict": ("verdict", "結論"),
    "openings": ("openings", "開封回数"),
    "minutes": ("minutes", "所要（分）"),
    # facts
    "started": ("begun", "開始"),
    "took": ("took", "所要時間"),
    "seed": ("seed", "シード"),
    "processor": ("processor", "プロセッサ"),
    "memory": ("memory", "メモリ"),
    "system": ("system", "OS"),
    "versions": ("versions", "バージョン"),
    "commit": ("commit", "コミット"),
    "weights": ("weights", "パラメータ数"),
    "vocabulary": ("vocabulary", "語彙数"),
    "family": ("family", "系統"),
    "fingerprint": ("fingerprint", "指紋"),
    "steps": ("steps", "ステップ数"),
    "tokens": ("target tokens", "学習トークン数"),
    "last loss": ("last loss (nats per token)", "最終損失（nat/トークン）"),
    "best dev": ("best on dev", "検証での最良値"),
    "step": ("step", "ステップ"),
    "loss": ("loss, nats per token", "損失（nat/トークン）"),
    "dev loss": ("on dev", "検証"),
    "trained loss": ("trained loss", "学習する損失"),
    "even guess": ("even guess", "均等な当て推量"),
    "prior entropy": ("prior entropy", "事前分布のエントロピー"),
    "plain": ("cross entropy", "交差エントロピー"),
    "share of dev": ("share of dev answers", "検証での割合"),
    "data": ("data", "データ"),
    "confidence": ("confidence", "確信度"),
    "share right": ("share right", "正解の割合"),
    "top_share": ("most frequent answer", "最頻回答の割合"),
    "distinct_share": ("distinct answers", "異なる回答の割合"),
    "changed": ("with changes", "変更あり"),
    # captions
    "chart loss": ("Loss while training", "学習中の損失"),
    "chart dev": ("Dev answers while training", "学習中の検証回答"),
    "chart answers": ("Answers: data and model", "回答の分布：データとモデル"),
    "chart kind": ("By {tag}", "{tag} ごとのスコア"),
    "chart errors": ("Kinds of error", "誤りの種類"),
    "chart reliability": ("How far its confidence can be trusted", "確信度の信頼性"),
    "chart scores": ("Beside the baselines", "ベースラインとの比較"),
    "chart forest": ("All runs, with 95% intervals", "全実行と95%区間"),
    # sentences
    "main score": (
        "{metric} {value}, 95% interval {low} to {high}, on {n} items.",
        "{metric} {value}（95%区間 {low}〜{high}、{n}問）。",
    ),
    "no score": ("This run has no score yet.", "この実行にはまだスコアがない。"),
    "state is": ("State of the run: {state}.", "実行の状態：{state}。"),
    "opened": (
        "The exam had been opened {n} times when this score was made, this time included.",
        "この試験は、今回を含めて{n}回開封されている。",
    ),
    "opened once": (
        "The exam was opened for the first time for this score.",
        "この試験は、このスコアのために初めて開封された。",
    ),
    "findings count": (
        "Findings: {stop} to stop for, {warn} warnings, {note} notes.",
        "検出事項：停止{stop}件、警告{warn}件、メモ{note}件。",
    ),
    "drawn": (
        "Training examples are drawn by rule while training; the table counts the fixed ones.",
        "学習例は規則によりその都度生成される。表は固定された例の数である。",
    ),
    "split by": ("Parted by: {method}.", "分割方法：{method}。"),
    "distinct": (
        "{distinct} different answers among {total}; the most frequent one has a share of {share}.",
        "回答は{total}個中{distinct}種類。最頻の回答の割合は{share}。",
    ),
    "no findings": ("Audit, preflight and guards noticed nothing.", "監査・事前検査・監視で検出された事項はない。"),
    "no errors": ("Nothing was wrong.", "不正解はない。"),
    "signature": (
        "Made with exam {exam}, metric {metric}, decoding {decoding}.",
        "試験 {exam}、指標 {metric}、デコード {decoding}。",
    ),
    "side by side": (
        "{n} items, evenly spaced over the exam and not chosen: reference, the model's answer, and that of the best "
        "baseline. Scores are those of the deciding metric.",
        "試験から等間隔に取った{n}問（選別していない）。お手本、モデルの回答、最良のベースラインの回答を並べる。"
        "スコアは判定に使う指標である。",
    ),
    "foreseen": (
        "Perplexity {perplexity} per {unit}, {vocabulary} of which the model chooses among: the {items} references of "
        "the main part were given to it token by token ({tokens} tokens, each answer's end included). It cannot be "
        "held against a model with another tokenizer; bits per character can: {bits_per_character} over {characters} "
        "characters.",
        "パープレキシティ {perplexity}（{unit}あたり、選択肢は{vocabulary}種類）。"
        "本試験のお手本{items}件を1トークンずつ与えて測った（終端を含めて{tokens}トークン）。"
        "トークンの区切り方が異なるモデルとは比べられない。"
        "比べられるのは1文字あたりのビット数：{bits_per_character}（{characters}文字）。",
    ),
    "foreseen escape": (
        "Characters that were never taught count too: at each place such a one has the chance {novelty} (the share of "
        "characters taught once), shared evenly by all of Unicode.",
        "一度も教えていない文字も数に入れた：どの位置でも確率{novelty}（一度だけ教えた文字の割合）で現れ、"
        "Unicode の全文字に等しく分けるものとする。",
    ),
    "foreseen left out": (
        "{left_out} references could not be given to the model; they are not in these two figures.",
        "モデルに与えられなかったお手本{left_out}件は、この二つの値に含まれない。",
    ),
    "character": ("character", "文字"),
    "token of its own tokenizer": ("token of the model's own tokenizer", "モデル独自のトークン"),
    "perplexity": ("perplexity, per token of the answer", "パープレキシティ（回答のトークンあたり）"),
    "bits_per_character": ("bits per character", "1文字あたりのビット数"),
    "character frequencies": ("character frequencies", "文字の頻度"),
    "calibration": (
        "Expected calibration error {error} over {n} answers (0 is perfect).",
        "期待較正誤差 {error}（{n}件、0が理想）。",
    ),
    "weakest": (
        "Weakest {tag}: {name}, {value} on {n} items ({low} to {high}).",
        "{tag} で最も弱いのは {name}：{value}（{n}問、{low}〜{high}）。",
    ),
    "commonest error": (
        "Most frequent error: {name}, {count} of {all} answers that were not right.",
        "最も多い誤り：{name}（不正解{all}件中{count}件）。",
    ),
    "collapse": (
        "The model's most frequent answer is {name}: {model} of its answers, {data} of the data.",
        "モデルの最頻回答は {name}：回答の{model}、データでは{data}。",
    ),
    "more items": (
        "Use an exam of about {n} items: with {have} the gain cannot be told from nothing.",
        "試験を約{n}問に増やす（{have}問では差を判断できない）。",
    ),
    "no next": ("No finding proposes a next step.", "検出事項から提案された次の手はない。"),
    "go on": ("Go on with: terakoya run {run}", "再開：terakoya run {run}"),
    "no teacher": ("No teacher was asked: nothing was spent on data.", "教師モデルは使っていない（データ生成費は0）。"),
    "compute": ("{minutes} minutes on {cores} cores.", "計算時間：{cores}コアで{minutes}分。"),
    "whole config": ("The whole config", "設定の全体"),
    "all in": (
        "All answers are in predictions.jsonl; the HTML page has them in a table that filters.",
        "全解答は predictions.jsonl にある。HTML版では絞り込みできる表で見られる。",
    ),
    "capped": (
        "The page holds the first {shown} of {all} answers; all of them are in predictions.jsonl.",
        "このページには全{all}件のうち最初の{shown}件を載せた。全件は predictions.jsonl にある。",
    ),
    "needs script": (
        "The table is drawn by the small script in this page; your reader does not run it. See predictions.jsonl.",
        "この表はページ内の小さなスクリプトで描かれる。動かない場合は predictions.jsonl を見てほしい。",
    ),
    "made by": (
        "Written by terakoya {version} from the run's own files.",
        "実行フォルダから terakoya {version} が作成。",
    ),
    "series of": ("{n} runs side by side.", "{n}件の実行の比較。"),
    "of the lead": ("Of the best on dev, {run}:", "検証で最良の {run} について："),
    "all of them": ("all {n}", "{n}件すべて"),
    "failed count": ("Trials that failed: {n}.", "失敗した試行：{n}件。"),
    "none told": (
        "On the exam no other setting can be told from the best on dev ({n} compared).",
        "検証で最良の設定と試験で区別できる設定はない（比較{n}件）。",
    ),
    "no warnings": (
        "Audit, preflight and guards warned of nothing in these runs.",
        "監査・事前検査・監視の警告はない。",
    ),
    "to tell apart": (
        "Use an exam of about {n} items to tell {first} from {second}.",
        "{first} と {second} を区別するには、試験を約{n}問に増やす。",
    ),
    "compute in all": (
        "{runs} runs, {minutes} minutes in all on {cores} cores.",
        "計算時間：{runs}件の実行、{cores}コアで合計{minutes}分。",
    ),
    "runs here": ("{n} runs, the newest first.", "{n}件、新しい順。"),
    "other exam": (
        "These runs were scored on different exams or in different ways: their figures cannot be compared.",
        "試験または測り方が異なる実行が含まれる。数値は比較できない。",
    ),
    "failed runs": ("Failed runs", "失敗した実行"),
    "reason": ("reason", "理由"),
    "all runs": ("All runs", "全実行の一覧"),
    "no runs": ("There are no runs here yet.", "まだ実行がない。"),
    # the table's controls
    "filter all": ("all answers", "すべて"),
    "filter not right": ("all that is not right", "正解以外"),
    "filter text": ("search text", "文字で検索"),
    "filter kind": ("every kind", "全種類"),
    "sort exam": ("in exam order", "試験の順"),
    "sort sure": ("surest first", "確信度の高い順"),
    "sort unsure": ("least sure first", "確信度の低い順"),
    "previous": ("previous", "前へ"),
    "following": ("next", "次へ"),
    "of": ("of", "/"),
}


def say(lang: str, key: str, **values: object) -> str:
    """A phrase in the reader's language. Values are put in as they are and escaped where the page is made."""
    return _WORDS[key][lang == "ja"].format(**values)


def known(lang: str, key: str) -> str:
    """The phrase where there is one, else the key itself: a user's own tag, metric or baseline has its own name."""
    return say(lang, key) if key in _WORDS else key
