"""The sections of a config: every key with its type, its default and its description.

This is the only place of defaults and descriptions: `terakoya explain`, docs/settings.md and the JSON schema for
editors are made from it (explain.py). `auto` is resolved when a run starts (training/defaults.py) and recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from terakoya.i18n import both

Auto = Literal["auto"]


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TaskConfig(Section):
    """What is to be learned: either `use` (a task) or `data` (a table)."""

    use: str = Field(
        default="",
        description=both(
            "Name of a task: one that ships, one of an installed package, or a .py file with a function `task`. "
            '"": the table of `task.data`.',
            "課題の名前：同梱の課題、インストール済みパッケージの課題、または関数 `task` を持つ .py ファイル。"
            '"" なら `task.data` の表を使う。',
        ),
    )
    data: str = Field(
        default="",
        description=both(
            "Table of examples, relative to the config: .csv, .tsv, .jsonl or .parquet, "
            '"hub:owner/name", or two parallel texts "src.txt|tgt.txt". "": the task of `task.use`.',
            '例の表（設定ファイルからの相対パス）：.csv・.tsv・.jsonl・.parquet、"hub:owner/name"、'
            'または対訳テキスト "src.txt|tgt.txt"。"" なら `task.use` の課題を使う。',
        ),
    )
    dev: str = Field(
        default="",
        description=both(
            'Table of the dev split, in the forms of `task.data`. "": split off from `task.data`.',
            '検証データの表（形式は `task.data` と同じ）。"" なら `task.data` から分割する。',
        ),
    )
    exam: str = Field(
        default="",
        description=both(
            'Table of the exam split (the held-out test set), in the forms of `task.data`. "": split off from it.',
            '試験（テスト）データの表（形式は `task.data` と同じ）。"" なら `task.data` から分割する。',
        ),
    )
    source: str = Field(default="source", description=both("Column that holds the input text.", "入力文の列の名前。"))
    target: str = Field(
        default="target", description=both("Column that holds the expected output.", "正解（目標出力）の列の名前。")
    )
    group: str = Field(
        default="",
        description=both(
            'Column whose equal values must stay in one split. "": the normal form of the source.',
            '値が等しい行を同じ分割に入れるための列。"" なら入力文の正規形を使う。',
        ),
    )
    split: str = Field(
        default="",
        description=both(
            'Column that assigns each row to train, dev or exam (or test); used by split.method = "column". "": none.',
            '各行の分割（train・dev・exam または test）を書いた列。split.method = "column" で使う。"" はなし。',
        ),
    )
    encoding: str = Field(
        default="",
        description=both(
            'Character encoding of text files. "": by byte-order mark, else UTF-8.',
            'テキストファイルの文字コード。"" なら BOM から判定し、なければ UTF-8。',
        ),
    )
    codec: Literal["", "text", "number", "quantity", "labels"] = Field(
        default="",
        description=both(
            "Representation of targets that the model generates and the codec decodes: text, a number, a quantity "
            'with its unit, or a set of labels. "": text.',
            'モデルが生成しコーデックが復号する目標の表現：文、数、単位つきの量、ラベルの集合。"" なら文。',
        ),
    )
    notation: str = Field(
        default="",
        description=both(
            "Notation in which numbers are generated: plain, bracketed, groups, short-groups, pds, exponent, reversed "
            'or calculator. "": the task\'s own, else plain.',
            "数を生成するときの表記：plain・bracketed・groups・short-groups・pds・exponent・reversed・calculator。"
            '"" なら課題の既定、なければ plain。',
        ),
    )
    separator: str = Field(
        default="",
        description=both(
            'Text between the labels of a target, for the codec "labels". "": white space.',
            '目標のラベルどうしの区切り文字（コーデック labels 用）。"" なら空白。',
        ),
    )
    metric: str = Field(
        default="",
        description=both(
            'Name of the main metric, which decides the verdict. "": the codec\'s own.',
            '判定に使う主な指標の名前。"" ならコーデックの既定。',
        ),
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description=both(
            "Keyword arguments of the task named by `task.use`, as a table. {}: the task's defaults.",
            "`task.use` の課題に渡すキーワード引数の表。{} なら課題の既定値。",
        ),
    )


class SplitConfig(Section):
    """How examples are split into train, dev and exam. Only "hash" and "column" are stable when rows are added."""

    method: Literal["hash", "exact", "stratified", "tail", "column"] = Field(
        default="hash",
        description=both(
            'How rows are assigned: "hash" by a threshold on the hash of the group (stable when rows are added), '
            '"exact" with exact sizes, "stratified" with equal proportions of a tag, "tail" the last rows of the '
            'file, "column" by the column `task.split`.',
            '行の割り当て方："hash" はグループのハッシュ値のしきい値（行を足しても変わらない）、"exact" は正確な件数、'
            '"stratified" はタグの比率を保つ層化、"tail" はファイル末尾の行、"column" は `task.split` の列。',
        ),
    )
    dev: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=both(
            "Share of the dev split among all examples, in [0, 1).", "全体に対する検証データの割合（0 以上 1 未満）。"
        ),
    )
    exam: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description=both(
            "Share of the exam split among all examples, in [0, 1).", "全体に対する試験データの割合（0 以上 1 未満）。"
        ),
    )
    dev_items: int = Field(
        default=0,
        ge=0,
        description=both(
            'Exact number of dev examples for the methods "exact", "stratified" and "tail". 0: by `split.dev`.',
            "検証データの正確な件数（exact・stratified・tail 用）。0 なら `split.dev` の割合による。",
        ),
    )
    exam_items: int = Field(
        default=0,
        ge=0,
        description=both(
            'Exact number of exam examples for the methods "exact", "stratified" and "tail". 0: by `split.exam`.',
            "試験データの正確な件数（exact・stratified・tail 用）。0 なら `split.exam` の割合による。",
        ),
    )
    stratify: str = Field(
        default="",
        description=both(
            'Tag whose proportions the method "stratified" preserves. "": the target.',
            'stratified で比率を保つタグ。"" なら目標（target）。',
        ),
    )
    folds: int = Field(
        default=0,
        ge=0,
        description=both(
            "Number of cross-validation folds, at least 3; one is the exam, the next one dev. 0: no folds.",
            "交差検証の分割数（3 以上）。一つを試験、次の一つを検証に使う。0 なら交差検証をしない。",
        ),
    )
    fold: int = Field(
        default=0,
        ge=0,
        description=both(
            "Index of the fold that is the exam, from 0; used where `split.folds` is set.",
            "試験に使う分割の番号（0 から）。`split.folds` があるときに使う。",
        ),
    )
    salt: str = Field(
        default="",
        description=both(
            'Text mixed into the hash of the group: another salt gives another split. "": none.',
            'グループのハッシュに混ぜる文字列。変えると別の分割になる。"" はなし。',
        ),
    )


class ModelConfig(Section):
    """The model, and how a pretrained one is adapted."""

    base: str = Field(
        default="small",
        description=both(
            "The model: built in (tiny, small, base), of a plug-in, a name on the Hugging Face Hub, or a folder.",
            "モデル：組み込み（tiny・small・base）、プラグイン、Hugging Face Hub 上の名前、またはフォルダ。",
        ),
    )
    family: Literal["auto", "encoder-decoder", "decoder"] = Field(
        default="auto",
        description=both(
            "Architecture of a built-in model. auto: encoder-decoder. A pretrained model keeps its own.",
            "組み込みモデルの構造。auto なら encoder-decoder。事前学習モデルは自身の構造のまま。",
        ),
    )
    head: Literal["auto", "sequence", "set"] = Field(
        default="auto",
        description=both(
            'Output head: a sequence of tokens, or scores of a label set. auto: set where the codec is "labels", '
            "else sequence.",
            "出力ヘッド：トークン列（sequence）かラベル集合の得点（set）。auto ならコーデックが labels のとき set、"
            "ほかは sequence。",
        ),
    )
    width: int = Field(
        default=0,
        ge=0,
        description=both(
            "Hidden dimension of a built-in model. 0: that of the named size.",
            "組み込みモデルの隠れ層の次元。0 なら名前のサイズの既定。",
        ),
    )
    layers: int = Field(
        default=0,
        ge=0,
        description=both(
            "Number of layers of the encoder and of the decoder of a built-in model. 0: those of the named size.",
            "組み込みモデルのエンコーダとデコーダそれぞれの層数。0 なら名前のサイズの既定。",
        ),
    )
    attention_heads: int = Field(
        default=0,
        ge=0,
        description=both(
            "Number of attention heads of a built-in model; it must divide the width. 0: that of the named size.",
            "組み込みモデルの注意ヘッド数（次元の約数）。0 なら名前のサイズの既定。",
        ),
    )
    dropout: float = Field(
        default=-1.0,
        ge=-1,
        lt=1,
        description=both(
            "Dropout probability of a built-in model. -1: that of the named size, and 0.2 below 1,000 training rows.",
            "組み込みモデルのドロップアウト率。-1 なら名前のサイズの既定で、学習データが1,000行未満なら 0.2。",
        ),
    )
    max_source: int = Field(
        default=0,
        ge=0,
        description=both(
            "Largest number of tokens of an input. 0: measured from the data with a margin (built-in), or all "
            "positions of a pretrained model. Longer rows are refused, never truncated.",
            "入力の最大トークン数。0 ならデータから余裕を持って決め（組み込み）、事前学習モデルでは位置の上限まで。"
            "長すぎる行は切り詰めずに拒否する。",
        ),
    )
    max_target: int = Field(
        default=0,
        ge=0,
        description=both(
            "Largest number of tokens of a target. 0: measured from the data with a margin (built-in), or the "
            "positions of a pretrained model, at most 4,096.",
            "目標の最大トークン数。0 ならデータから余裕を持って決め（組み込み）、事前学習モデルでは位置の上限"
            "（最大 4,096）。",
        ),
    )
    revision: str = Field(
        default="",
        description=both(
            'Branch, tag or commit of a model on the Hugging Face Hub. "": its main branch.',
            'Hugging Face Hub のモデルのブランチ・タグ・コミット。"" なら main。',
        ),
    )
    adaptation: Literal["full", "lora"] = Field(
        default="full",
        description=both(
            "How a pretrained model is fine-tuned: all weights (full), or low-rank adapters (lora; Hu et al., 2021).",
            "事前学習モデルの微調整の方法：全重み（full）か低ランクアダプタ（lora、Hu ら 2021）。",
        ),
    )
    lora_rank: int = Field(default=16, ge=1, description=both("Rank of the LoRA matrices.", "LoRA 行列のランク。"))
    lora_alpha: int = Field(
        default=32,
        ge=1,
        description=both(
            "LoRA scaling numerator: updates are multiplied by alpha / rank.",
            "LoRA の倍率の分子：更新量に alpha / rank を掛ける。",
        ),
    )
    lora_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description=both(
            "Dropout probability on the input of the LoRA adapters. 0: none.",
            "LoRA アダプタの入力のドロップアウト率。0 はなし。",
        ),
    )
    lora_targets: tuple[str, ...] = Field(
        default=(),
        description=both(
            "Names of the modules that receive LoRA adapters. []: every linear layer of the blocks.",
            "LoRA アダプタを付けるモジュールの名前。[] ならブロック内の全線形層。",
        ),
    )
    merge: bool = Field(
        default=True,
        description=both(
            "Merge LoRA adapters into the weights of the saved model; false saves the adapters alone.",
            "保存するモデルの重みに LoRA アダプタを統合する。false ならアダプタだけを保存する。",
        ),
    )
    vocabulary: Literal["full", "trimmed"] = Field(
        default="full",
        description=both(
            "Vocabulary of a pretrained model: full, or trimmed to the tokens that the data needs, which saves memory.",
            "事前学習モデルの語彙：全部（full）、またはデータに必要なトークンだけ（trimmed、メモリを節約する）。",
        ),
    )
    new_tokens: Literal["needed", "none"] = Field(
        default="needed",
        description=both(
            "Add a token for each label or character that the tokenizer cannot represent (needed), or none.",
            "トークナイザが表せないラベルや文字ごとにトークンを追加する（needed）か、しない（none）。",
        ),
    )
    new_token_init: Literal["meaning", "mean", "random"] = Field(
        default="meaning",
        description=both(
            "Initial embedding of added tokens: mean of the tokens of their description (meaning), of all tokens "
            "(mean), or random.",
            "追加トークンの埋め込みの初期値：説明文のトークンの平均（meaning）、全トークンの平均（mean）、乱数（random）。",
        ),
    )
    label_init: Literal["auto", "random", "names"] = Field(
        default="auto",
        description=both(
            "Initial weights of a set head's labels: random, or from the labels' names. auto: from names where the "
            "task has some, else random.",
            "集合ヘッドのラベルの重みの初期値：乱数か、ラベルの名前から。auto なら課題に名前があれば名前から、"
            "なければ乱数。",
        ),
    )
    template: Literal["auto", "chat", "plain"] = Field(
        default="auto",
        description=both(
            "Prompt format of a pretrained causal model: its chat template, or plain text. auto: chat where the "
            "tokenizer has a template, else plain.",
            "事前学習の因果言語モデルのプロンプト形式：チャットテンプレートか平文。auto ならテンプレートがあれば chat、"
            "なければ plain。",
        ),
    )
    instruction: str = Field(
        default="",
        description=both(
            'Text put before every input of a pretrained model. "": the task\'s own.',
            '事前学習モデルへの各入力の前に置く文。"" なら課題の既定。',
        ),
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description=both(
            "Floating-point type of a pretrained model's weights. auto: float32, with bfloat16 mixed precision on a "
            "GPU that supports it. float16 needs CUDA, else float32 is used.",
            "事前学習モデルの重みの浮動小数点型。auto なら float32 で、対応する GPU では bfloat16 の混合精度。"
            "float16 は CUDA が必要で、なければ float32 になる。",
        ),
    )
    forward: Literal["fused", "library"] = Field(
        default="fused",
        description=both(
            "Forward pass of a pretrained model: fused layers where a test shows equal results, or only the library's.",
            "事前学習モデルの順伝播：結果が等しいと確かめた層は融合版を使う（fused）か、ライブラリのものだけ（library）。",
        ),
    )


class TrainConfig(Section):
    """Optimisation, checkpoints and guards. Every `auto` is resolved before the first step and recorded."""

    steps: int | Auto = Field(
        default="auto",
        description=both(
            "Number of optimizer steps. auto: from `train.epochs` if given; else built-in 40 epochs within 1,500 to "
            "20,000 steps (10,000 for rows generated by rule), built-in set head 20 to 25 epochs, at least 150, "
            "pretrained 3 epochs, at least 100.",
            "最適化のステップ数。auto なら `train.epochs` から決め、なければ組み込みは40エポックで1,500〜20,000"
            "（規則で生成する行では10,000）、組み込みの集合ヘッドは20〜25エポックで150以上、事前学習モデルは3エポックで"
            "100以上。",
        ),
    )
    epochs: float | Auto = Field(
        default="auto",
        description=both(
            "Passes over the training split; `train.steps` takes precedence. auto: what the steps amount to.",
            "学習データを繰り返す回数。`train.steps` が優先される。auto ならステップ数に相当する値。",
        ),
    )
    minutes: float = Field(
        default=0.0,
        ge=0,
        description=both(
            "Wall-clock limit of training in minutes. 0: no limit.", "学習時間の上限（分）。0 なら上限なし。"
        ),
    )
    batch_size: int | Auto = Field(
        default="auto",
        description=both(
            "Rows per forward pass. auto: built-in 16 below 1,000 rows, else 32 (64 for rows generated by rule); "
            "built-in set head 32 below 2,000 rows, else 64; pretrained 16.",
            "一度に処理する行数。auto なら組み込みは1,000行未満で16、ほかは32（規則で生成する行では64）、組み込みの"
            "集合ヘッドは2,000行未満で32、ほかは64、事前学習モデルは16。",
        ),
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description=both(
            "Batches whose gradients are accumulated into one optimizer step. 1: none.",
            "一回の更新のために勾配を累積するバッチ数。1 なら累積しない。",
        ),
    )
    learning_rate: float | Auto = Field(
        default="auto",
        description=both(
            "Peak learning rate. auto: built-in 3e-3 below one million weights, else 6e-4; built-in set head 0.05; "
            "pretrained 5e-5, with LoRA 2e-4.",
            "学習率の最大値。auto なら組み込みは重みが百万未満で 3e-3、ほかは 6e-4、組み込みの集合ヘッドは 0.05、"
            "事前学習モデルは 5e-5、LoRA では 2e-4。",
        ),
    )
    schedule: Literal["auto", "constant", "linear", "cosine", "one-cycle"] = Field(
        default="auto",
        description=both(
            "Learning-rate schedule after the warmup. auto: one-cycle for built-in models, linear for set heads and "
            "pretrained models.",
            "ウォームアップ後の学習率スケジュール。auto なら組み込みは one-cycle、"
            "集合ヘッドと事前学習モデルは linear。",
        ),
    )
    warmup: float | Auto = Field(
        default="auto",
        description=both(
            "Warmup: below 1 a share of all steps, else a number of steps. auto: 0.1 built-in, 0 built-in set head, "
            "0.06 pretrained.",
            "ウォームアップ：1 未満なら全ステップに対する割合、1 以上ならステップ数。auto なら組み込みは 0.1、"
            "組み込みの集合ヘッドは 0、事前学習モデルは 0.06。",
        ),
    )
    optimizer: Literal["auto", "adamw", "muon"] = Field(
        default="auto",
        description=both(
            "Optimizer. auto: muon for built-in sequence models with at least 1,000 rows, else adamw.",
            "最適化手法。auto なら1,000行以上の組み込みの系列モデルは muon、ほかは adamw。",
        ),
    )
    weight_decay: float | Auto = Field(
        default="auto",
        description=both(
            "Decoupled weight decay. auto: 0.01 for built-in sequence models, else 0.",
            "重み減衰。auto なら組み込みの系列モデルは 0.01、ほかは 0。",
        ),
    )
    betas: tuple[float, float] = Field(
        default=(0.9, 0.98),
        description=both("Decay rates of the gradient moments of AdamW.", "AdamW の勾配モーメントの減衰率（二つ）。"),
    )
    clip: float = Field(
        default=1.0,
        ge=0,
        description=both(
            "Largest gradient norm; larger gradients are scaled down. 0: no clipping.",
            "勾配ノルムの上限。超える勾配は縮小する。0 なら制限しない。",
        ),
    )
    loss: Literal["auto", "cross-entropy", "focal", "class-balanced", "order-invariant"] = Field(
        default="auto",
        description=both(
            "Training loss: cross-entropy, focal (Lin et al., 2017), class-balanced (Cui et al., 2019), or "
            "order-invariant (conditional Bernoulli, set heads only). auto: cross-entropy.",
            "学習の損失：cross-entropy、focal（Lin ら 2017）、class-balanced（Cui ら 2019）、order-invariant"
            "（条件付きベルヌーイ、集合ヘッドのみ）。auto なら cross-entropy。",
        ),
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description=both(
            "Label smoothing of the cross-entropy, in [0, 1). 0: none.",
            "クロスエントロピーのラベル平滑化（0 以上 1 未満）。0 はなし。",
        ),
    )
    focal_gamma: float = Field(
        default=2.0,
        ge=0,
        description=both('Exponent gamma of the loss "focal".', "損失 focal の指数 γ。"),
    )
    class_balance_beta: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description=both(
            'Beta of the effective number of samples in the loss "class-balanced".',
            "損失 class-balanced の有効サンプル数の β。",
        ),
    )
    logit_adjustment: float = Field(
        default=0.0,
        ge=0,
        description=both(
            "Strength tau of logit adjustment in the loss (Menon et al., 2021), against frequent labels. 0: off.",
            "損失におけるロジット調整（Menon ら 2021）の強さ τ。頻出ラベルへの偏りを抑える。0 なら無効。",
        ),
    )
    label_order: Literal["as-given", "canonical", "shuffled"] = Field(
        default="as-given",
        description=both(
            "Order of the labels of a target for sequence models: as given, canonical (sorted), or shuffled anew.",
            "系列モデルに学習させる目標のラベルの順序：元のまま（as-given）、正規順（canonical）、毎回並べ替え（shuffled）。",
        ),
    )
    loss_on: Literal["target", "all"] = Field(
        default="target",
        description=both(
            "Tokens of a causal model that enter the loss: those of the target, or those of the prompt as well.",
            "因果言語モデルの損失に含めるトークン：目標だけ（target）か、プロンプトも含む（all）。",
        ),
    )
    average: float | Auto = Field(
        default="auto",
        description=both(
            "Decay of the exponential moving average of the weights that predictions use. 0: off. auto: off.",
            "予測に使う重みの指数移動平均の減衰率。0 なら無効。auto は無効。",
        ),
    )
    curriculum: bool | Auto = Field(
        default="auto",
        description=both(
            "Begin with easier rows. auto: true where a task generates its rows by rule, else false.",
            "易しい行から学習を始める。auto なら課題が行を規則で生成するとき true、ほかは false。",
        ),
    )
    evaluate_every: int | Auto = Field(
        default="auto",
        description=both(
            "Steps between two evaluations on the dev split. auto: a twentieth of all steps; for built-in set heads "
            "a tenth of their default steps.",
            "検証データで評価する間隔（ステップ）。auto なら全ステップの20分の1、組み込みの集合ヘッドでは既定の"
            "ステップ数の10分の1。",
        ),
    )
    dev_items: int = Field(
        default=400,
        ge=1,
        description=both(
            "Largest number of dev examples that each evaluation generates predictions for.",
            "一回の評価で予測を生成する検証データの最大件数。",
        ),
    )
    select: Literal["metric", "loss", "last"] = Field(
        default="metric",
        description=both(
            "Which weights are kept: those with the best dev metric, with the lowest dev loss, or the last ones.",
            "残す重み：検証の指標が最良（metric）、検証の損失が最小（loss）、最後（last）。",
        ),
    )
    crossfit: bool = Field(
        default=True,
        description=both(
            "Built-in set heads: calibrate on out-of-fold predictions of the training split too where dev has fewer "
            "than 400 rows.",
            "組み込みの集合ヘッド：検証データが400行未満なら、学習データの交差予測（out-of-fold）も較正に使う。",
        ),
    )
    refit: bool | Auto = Field(
        default="auto",
        description=both(
            "Train again on train and dev together once everything is selected. auto: true for built-in set heads, "
            "which alone support it, else false.",
            "選択がすべて済んだ後、学習と検証のデータを合わせて学習し直す。auto なら組み込みの集合ヘッドだけ true"
            "（ほかは対応しない）。",
        ),
    )
    stop_when_solved: float = Field(
        default=1.0,
        ge=0,
        description=both(
            "Dev metric that must be reached in five evaluations in a row for training to stop early. 0: never.",
            "検証の指標がこの値に5回続けて達したら早期に終了する。0 なら終了しない。",
        ),
    )
    patience: int = Field(
        default=0,
        ge=0,
        description=both(
            "Evaluations without improvement after which training stops. 0: no limit.",
            "改善のない評価がこの回数続いたら学習を止める。0 なら止めない。",
        ),
    )
    keep: int = Field(
        default=2,
        ge=2,
        description=both(
            "Number of newest checkpoints kept, besides the best one.",
            "残す最新のチェックポイントの数（最良のものは別に残す）。",
        ),
    )
    bucket: bool = Field(
        default=True,
        description=both(
            "Put rows of similar length into one batch, which saves padding.",
            "長さの近い行を同じバッチにまとめ、パディングを減らす。",
        ),
    )
    prefix_cache: bool | Auto = Field(
        default="auto",
        description=both(
            "Compute a prefix that prompts share only once, where that is exact. auto: true for pretrained models.",
            "プロンプトに共通する接頭辞を、厳密に等しい場合に一度だけ計算する。auto なら事前学習モデルで true。",
        ),
    )
    checkpointing: bool = Field(
        default=False,
        description=both(
            "Gradient checkpointing of pretrained models: less memory, more time.",
            "事前学習モデルの勾配チェックポイント：メモリを減らし、時間が増える。",
        ),
    )
    on_oom: Literal["stop", "halve"] = Field(
        default="stop",
        description=both(
            "What happens when memory runs out: stop, or repeat the step in halves of the batch.",
            "メモリ不足のとき：止める（stop）か、バッチを半分に分けて同じステップを繰り返す（halve）。",
        ),
    )
    threads: int = Field(
        default=0,
        ge=0,
        description=both(
            "CPU threads of each matrix multiplication. 0: one for models below one million weights and for set "
            "heads, else all cores.",
            "行列積ごとの CPU スレッド数。0 なら重みが百万未満のモデルと集合ヘッドは 1、ほかは全コア。",
        ),
    )
    replicas: Annotated[int, Field(ge=1)] | Auto = Field(
        default="auto",
        description=both(
            "Parts of a batch that are processed in parallel threads with shared weights. auto: 2 for models below one "
            "million weights with one thread on at least two cores, else 1.",
            "重みを共有する並列スレッドで処理するバッチの分割数。auto なら重みが百万未満かつスレッド数 1 で2コア以上の"
            "とき 2、ほかは 1。",
        ),
    )
    guards: bool = Field(
        default=True,
        description=both(
            "Checks during training (non-finite values, divergence, collapse and others).",
            "学習中の検査（非有限値、発散、縮退など）を行う。",
        ),
    )
    on_collapse: Literal["warn", "stop"] = Field(
        default="warn",
        description=both(
            "What the collapse guard does when predictions concentrate on few labels: warn or stop.",
            "予測が少数のラベルに集中したとき（縮退）の動作：警告（warn）か停止（stop）。",
        ),
    )
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...] = Field(
        default=(),
        description=both(
            "Experiment trackers that receive the metrics besides the run folder. []: none.",
            "実行フォルダのほかに指標を送る実験管理ツール。[] はなし。",
        ),
    )


class DecodeConfig(Section):
    """How predictions are decoded."""

    method: Literal["greedy", "beam", "sample", "expected-metric"] = Field(
        default="greedy",
        description=both(
            "Decoding of sequence models: greedy search, beam search, sampling, or expected-metric (minimum Bayes risk "
            "over samples; Kumar and Byrne, 2004). Set heads always maximise `decode.objective`.",
            "系列モデルの復号：貪欲法（greedy）、ビームサーチ（beam）、サンプリング（sample）、期待指標最大化"
            "（expected-metric、標本による最小ベイズリスク、Kumar と Byrne 2004）。集合ヘッドは常に"
            " `decode.objective` を最大にする。",
        ),
    )
    beams: int = Field(default=4, ge=1, description=both('Beam width of the method "beam".', "方法 beam のビーム幅。"))
    samples: int = Field(
        default=16,
        ge=1,
        description=both(
            'Samples per query of the method "expected-metric".', "方法 expected-metric で一入力あたりに取る標本の数。"
        ),
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description=both(
            "Softmax temperature of sampling; below 1 sharpens the distribution.",
            "サンプリングのソフトマックス温度。1 未満で分布が鋭くなる。",
        ),
    )
    top_k: int = Field(
        default=0,
        ge=0,
        description=both(
            "Sampling considers only the k most probable tokens. 0: all.",
            "サンプリングの候補を確率上位 k 個のトークンに限る。0 なら制限なし。",
        ),
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description=both(
            "Sampling considers only the most probable tokens with this total probability (nucleus sampling). 1: all.",
            "サンプリングの候補を、確率の合計がこの値になる上位のトークンに限る（nucleus sampling）。1 なら制限なし。",
        ),
    )
    repetition_penalty: float = Field(
        default=1.0,
        gt=0,
        description=both(
            "Factor that lowers the scores of tokens already generated (Keskar et al., 2019). 1: none.",
            "生成済みのトークンの得点を下げる係数（Keskar ら 2019）。1 なら下げない。",
        ),
    )
    constrained: bool = Field(
        default=True,
        description=both(
            "Generate only outputs that the codec's grammar permits.", "コーデックの文法に合う出力だけを生成する。"
        ),
    )
    objective: Literal["auto", "probability", "jaccard", "f1"] = Field(
        default="auto",
        description=both(
            "What expected-metric decoding and set heads maximise: the probability of an exact match, the expected "
            "Jaccard index, or the expected F1. auto: Jaccard for label sets, else probability.",
            "expected-metric の復号と集合ヘッドが最大にする量：完全一致の確率、Jaccard 係数の期待値、F1 の期待値。"
            "auto ならラベル集合は Jaccard、ほかは確率。",
        ),
    )
    logit_adjustment: float = Field(
        default=0.0,
        ge=0,
        description=both(
            "Strength tau with which the label prior is subtracted when a set head decodes. 0: off.",
            "集合ヘッドの復号でラベルの事前分布を差し引く強さ τ。0 なら無効。",
        ),
    )
    share_cap: float = Field(
        default=1.4,
        ge=0,
        description=both(
            "Set heads: largest share of a frequent label among predictions, as a multiple of its share in training. "
            "0: off.",
            "集合ヘッド：頻出ラベルが予測に占める割合の上限（学習データでの割合の倍数）。0 なら無効。",
        ),
    )
    max_tokens: int = Field(
        default=0,
        ge=0,
        description=both(
            "Largest number of generated tokens. 0: from the longest target.",
            "生成するトークン数の上限。0 なら最長の目標から決める。",
        ),
    )
    batch_size: int = Field(
        default=64,
        ge=1,
        description=both(
            "Queries decoded at once; halved where memory runs out, with the same predictions.",
            "一度に復号する入力の数。メモリが足りなければ減らす（予測は変わらない）。",
        ),
    )
    abstain_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=both(
            "Probability below which a prediction is withheld. 0: never.",
            "確率がこの値未満の予測を保留する。0 なら保留しない。",
        ),
    )
    verify: bool = Field(
        default=False,
        description=both(
            "Withhold a prediction from which the task's reverse rule does not reproduce the source.",
            "課題の逆規則で入力を再現できない予測を保留する。",
        ),
    )


class ScoreConfig(Section):
    """How the exam is scored."""

    smallest_gain: float = Field(
        default=0.02,
        ge=0,
        description=both(
            "Smallest gain over the best baseline, in units of the metric, that counts as worthwhile.",
            "意味があると見なす、最良のベースラインに対する最小の差（指標の単位）。",
        ),
    )
    exam_items: int = Field(
        default=0,
        ge=0,
        description=both(
            "Size of the exam of a task that generates it by rule. 0: the task's own.",
            "試験を規則で生成する課題の試験の件数。0 なら課題の既定。",
        ),
    )
    resamples: int = Field(
        default=2000,
        ge=100,
        description=both(
            "Bootstrap resamples of the confidence intervals.", "信頼区間のためのブートストラップの反復回数。"
        ),
    )


class TeacherConfig(Section):
    """The teacher that generates data, its limits and its prices."""

    kind: Literal["api", "rules", "lexicon"] = Field(
        default="api",
        description=both(
            "The teacher: a large model behind an OpenAI-compatible API, or, free and offline, the recipe's rules or "
            "the emoji lexicon.",
            "教師：OpenAI 互換 API の大規模モデル（api）、または無料でオフラインのレシピの規則（rules）か"
            "絵文字辞書（lexicon）。",
        ),
    )
    base_url: str = Field(
        default="https://openrouter.ai/api/v1", description=both("Address of the API.", "API の URL。")
    )
    model: str = Field(
        default="",
        description=both(
            'Name of the model at the provider; required for the kind "api".',
            "提供元でのモデルの名前。api では必須。",
        ),
    )
    key_variable: str = Field(
        default="OPENROUTER_API_KEY",
        description=both(
            'Name of the environment variable that holds the API key, never the key itself. "": no key.',
            'API キーを入れた環境変数の名前（キーそのものは書かない）。"" ならキーなし。',
        ),
    )
    licence: str = Field(
        default="",
        description=both(
            "Terms under which the teacher's output may be trained on: a licence name or an address. Required unless "
            "--i-have-the-right is given.",
            "教師の出力を学習に使ってよい条件（ライセンスの名前か URL）。--i-have-the-right がなければ必須。",
        ),
    )
    recipe: str = Field(
        default="",
        description=both(
            "Name of a recipe that ships, or a folder with recipe.toml and prompt files.",
            "同梱のレシピの名前、または recipe.toml とプロンプトのあるフォルダ。",
        ),
    )
    sources: str = Field(
        default="",
        description=both(
            'Source sentences: "ours" (the shipped corpus), "hand", "phrases", a path (.txt or a table), or '
            '"hub:owner/name". "": the recipe\'s own.',
            '元の文："ours"（同梱のコーパス）、"hand"、"phrases"、パス（.txt か表）、"hub:owner/name"。'
            '"" ならレシピの既定。',
        ),
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description=both(
            "Earlier data sets whose source sentences are not used again. []: none.",
            "元の文を再び使わない、以前のデータ集合。[] はなし。",
        ),
    )
    samples: int = Field(default=1000, ge=1, description=both("Number of rows to generate.", "生成する行数。"))
    budget: float = Field(
        default=0.0,
        ge=0,
        description=both(
            "Spending cap in `teacher.currency`; it is never exceeded. 0: none, then `teacher.requests` is required.",
            "支出の上限（`teacher.currency` の単位）。超えることはない。0 なら上限なしで、`teacher.requests` が必要。",
        ),
    )
    currency: str = Field(default="USD", description=both("Currency of budget and prices.", "予算と価格の通貨。"))
    requests: int = Field(
        default=0,
        ge=0,
        description=both(
            "Largest number of requests. 0: no limit, then `teacher.budget` is required.",
            "要求の最大回数。0 なら上限なしで、`teacher.budget` が必要。",
        ),
    )
    price_in: float = Field(
        default=-1.0,
        ge=-1,
        description=both(
            "Price of one million prompt tokens. 0: free. -1: not known.",
            "入力トークン百万個あたりの価格。0 は無料、-1 は不明。",
        ),
    )
    price_out: float = Field(
        default=-1.0,
        ge=-1,
        description=both(
            "Price of one million response tokens. 0: free. -1: not known.",
            "出力トークン百万個あたりの価格。0 は無料、-1 は不明。",
        ),
    )
    max_concurrent: int = Field(
        default=64, ge=1, description=both("Largest number of requests pending at once.", "同時に送る要求の最大数。")
    )
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        description=both("Rate limit in requests per minute. 0: none.", "一分あたりの要求数の上限。0 はなし。"),
    )
    tokens_per_minute: int = Field(
        default=0,
        ge=0,
        description=both("Rate limit in tokens per minute. 0: none.", "一分あたりのトークン数の上限。0 はなし。"),
    )
    max_tokens: int = Field(
        default=256, ge=1, description=both("Largest number of tokens of a response.", "応答の最大トークン数。")
    )
    temperature: float = Field(
        default=0.7, ge=0, description=both("Sampling temperature of the teacher.", "教師のサンプリング温度。")
    )
    deadline: float = Field(
        default=60.0,
        gt=0,
        description=both("Wall-clock limit of one request in seconds.", "一回の要求の時間の上限（秒）。"),
    )
    attempts: int = Field(
        default=5,
        ge=1,
        description=both("Attempts per request before it is abandoned.", "一つの要求を諦めるまでの試行回数。"),
    )
    hedge: bool = Field(
        default=False,
        description=both(
            "Send a second request where the first is far slower than usual; both may be charged.",
            "応答が普段よりずっと遅いとき、もう一つ要求を送る（両方に課金されることがある）。",
        ),
    )
    banned: tuple[str, ...] = Field(
        default=(), description=both("Labels that are never accepted. []: none.", "採用しないラベル。[] はなし。")
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description=both(
            "The closed label set. []: the recipe's own, else any label.",
            "使えるラベルの一覧。[] ならレシピの既定、なければ制限なし。",
        ),
    )
    quota: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=both(
            "Largest share of one label among all label uses. 0: no limit.",
            "一つのラベルが全ラベルに占める割合の上限。0 なら制限なし。",
        ),
    )
    density: int = Field(
        default=0,
        ge=0,
        description=both(
            "Uses of each label of the closed set at which generation is complete. 0: only `teacher.samples` counts.",
            "ラベルごとの使用回数がこの値に達したら生成を終える（ラベル集合が必要）。"
            "0 なら `teacher.samples` だけによる。",
        ),
    )
    max_rejected: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=both(
            "Share of rejected rows at which generation stops before more is spent.",
            "不採用の行の割合がこの値を超えたら、支出を止めるため生成を中止する。",
        ),
    )


class Config(Section):
    """Everything that determines a run."""

    name: str = Field(
        default="run", description=both("Name of the run and of its folder.", "実行とそのフォルダの名前。")
    )
    seed: int = Field(
        default=0,
        ge=0,
        description=both(
            "Seed of all random generators: the same seed gives the same bits on the same machine.",
            "全乱数の種。同じ種なら同じ機械で同じ結果になる。",
        ),
    )
    lang: Literal["", "en", "ja"] = Field(
        default="",
        description=both(
            'Language of findings, errors and reports. "": by the locale.',
            '検査結果・エラー・レポートの言語。"" ならロケールによる。',
        ),
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description=both(
            "Device that computes. auto: the first of cuda, mps and cpu that exists.",
            "計算に使う装置。auto なら cuda・mps・cpu の順に最初に使えるもの。",
        ),
    )
    task: TaskConfig = Field(
        default=TaskConfig(),
        description=both(
            "What is to be learned: either a task (`use`) or a table (`data`).",
            "学習の対象：課題（`use`）か表（`data`）のどちらか一方。",
        ),
    )
    split: SplitConfig = Field(
        default=SplitConfig(),
        description=both("How examples are split into train, dev and exam.", "例を学習・検証・試験に分割する方法。"),
    )
    model: ModelConfig = Field(
        default=ModelConfig(),
        description=both("The model, and how a pretrained one is adapted.", "モデルと、事前学習モデルの適応方法。"),
    )
    train: TrainConfig = Field(
        default=TrainConfig(),
        description=both("Optimisation, checkpoints and guards.", "最適化、チェックポイント、学習中の検査。"),
    )
    decode: DecodeConfig = Field(
        default=DecodeConfig(), description=both("How predictions are decoded.", "予測の復号方法。")
    )
    score: ScoreConfig = Field(default=ScoreConfig(), description=both("How the exam is scored.", "試験の採点方法。"))
    teacher: TeacherConfig = Field(
        default=TeacherConfig(),
        description=both(
            "The teacher that generates data, its limits and its prices.", "データを生成する教師と、その上限・価格。"
        ),
    )


def known_keys() -> Iterator[tuple[str, str, Any]]:
    """Every (section, key, default); the section "" holds the top level."""
    for name, field in Config.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            for key in type(default).model_fields:
                yield name, key, getattr(default, key)
        else:
            yield "", name, default
