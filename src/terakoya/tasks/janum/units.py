"""Words that a number stands with, sorted by what they do to its value. Reader and writer share them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

# Counters that leave the value as it is. Those that change it, or have two readings (分, 世紀, 対), are elsewhere.
COUNTERS: tuple[str, ...] = (
    "個", "本", "枚", "匹", "冊", "台", "人", "名", "件", "回", "杯", "軒", "社", "頭", "羽", "足", "着", "通",
    "箱", "束",
    "粒", "切れ", "膳", "基", "隻", "輪", "脚", "面", "組", "校", "か国", "カ国", "か所", "カ所", "ヶ所",
    "種類", "曲", "句",
    "首", "語", "文字", "桁", "歩", "票", "点", "発", "度", "段", "畳", "坪", "尺", "寸", "里", "升", "合",
    "円", "銭", "ドル",
    "ユーロ", "メートル", "センチ", "キロ", "グラム", "トン", "リットル", "歳", "才", "泊", "皿", "品", "球",
    "勝", "敗",
    "連勝", "連敗", "連覇", "人組", "人家族", "人兄弟", "人乗り", "人前", "人分", "人がかり", "角形", "面体",
    "次元", "部作",
    "倍", "階", "階建て", "部屋", "両編成", "周年", "回忌", "年", "月", "日", "時", "秒", "年間", "日間",
    "週間", "時間",
    "分間", "秒間", "か月", "ヶ月", "カ月", "か月間", "年ぶり", "日ぶり", "年連続", "年生", "世代", "夜", "晩",
    "周", "往復",
    "丁目", "号室", "号車", "番地", "番線", "条", "項", "歳児", "円玉", "円札", "人部屋", "都市", "大学", "色",
    "口", "区",
    "重奏", "塁", "限", "か条", "カ条", "年来",
)  # fmt: skip
RANKS: tuple[str, ...] = ("番", "位", "等", "着", "級", "号", "章", "巻", "話", "次", "代目", "合目", "番手", "番目")
# 第N…: the rank in a series.
SERIES: tuple[str, ...] = (
    "", "回", "位", "章", "条", "号", "話", "代", "次", "弾", "巻", "版", "部", "節", "楽章", "番", "期",
    "世代", "試合",
    "打席", "会場", "種", "集", "幕", "番目",
)  # fmt: skip
COUNTED_UP: tuple[str, ...] = (
    "人", "回", "個", "枚", "件", "年", "日", "週", "冊", "本", "匹", "台", "軒", "組", "列", "段", "行",
    "世代", "社", "周",
    "杯", "着", "度", "つ", "戦", "か月", "時間", "階", "皿", "球",
)  # fmt: skip
# Steps in time, from now or from a point: 前 goes back, 後 forward.
STEPS: tuple[str, ...] = (
    "日", "年", "か月", "ヶ月", "カ月", "週間", "時間", "分", "秒", "世代", "代", "つ", "回", "試合", "号",
    "ページ", "駅", "行",
)  # fmt: skip
BACK: tuple[str, ...] = ("前", "まえ", "ほど前", "以上前", "手前", "も前")
FORWARD: tuple[str, ...] = ("後", "あと", "先", "ほど後", "後ろ")
# …半: and a half.
AND_A_HALF: tuple[str, ...] = (
    "年", "時間", "か月", "ヶ月", "カ月", "日", "畳", "倍", "周", "合", "升", "箱", "週間", "個", "枚", "歩",
    "丁", "里", "人前",
)  # fmt: skip
HALF_OF: tuple[str, ...] = (
    "日", "年", "月", "時間", "周", "歩", "音", "分", "数", "額", "値", "量", "人前", "減", "々", "畳", "丁",
    "個", "切り",
    "束", "玉", "期", "時", "杯", "身", "径", "透明", "角", "世代",
)  # fmt: skip
DOZENS: Mapping[str, int] = MappingProxyType({"ダース": 12, "グロス": 144})
# Tenths that stand before one of these: 八分目 is 0.8.
TENTHS: tuple[str, ...] = (
    "分目",
    "分咲き",
    "分丈",
    "分袖",
    "分づき",
    "分粥",
    "分通り",
    "分どおり",
    "分立て",
    "分がゆ",
    "分方",
)
SHARES: tuple[str, ...] = ("", "引", "引き", "増", "増し", "方", "ほど", "近く", "以上", "超", "の人", "負担", "未満")
ABOUT: tuple[str, ...] = (
    "約",
    "およそ",
    "ほぼ",
    "たった",
    "わずか",
    "延べ",
    "計",
    "合計",
    "満",
    "足かけ",
    "ちょうど",
    "ざっと",
)
BOUNDS: tuple[str, ...] = (
    "以上",
    "以下",
    "未満",
    "余り",
    "足らず",
    "ほど",
    "くらい",
    "程度",
    "ちょうど",
    "近く",
    "きり",
    "だけ",
)
BELOW_ZERO: tuple[str, ...] = ("マイナス", "−", "-", "▲")
FREEZING: tuple[str, ...] = ("零下", "氷点下")

# Words that name a step from now or from a point in time, and what they can stand before.
RELATIVE: Mapping[str, int] = MappingProxyType(
    {
        "一昨々": -3, "一昨": -2, "先々": -2, "前々": -2, "昨": -1, "先": -1, "前": -1, "今": 0, "本": 0, "当": 0,
        "来": 1, "次": 1, "翌": 1, "明": 1, "再来": 2, "翌々": 2, "次々": 2, "明後": 2,
    }
)  # fmt: skip
# Words that have a past and a future; each relative word stands before those of its row.
RELATIVE_UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        word: tuple(after.split(" "))
        for word, after in (
            ("一昨々", "年 日"),
            ("一昨", "年 日 晩 夜 年度 秋 春 夏 冬 季"),
            ("先々", "月 週 代 日"),
            ("前々", "年 日 月 回 週 期 作 代 年度 任者 季 夜"),
            ("昨", "年 日 夜 晩 季 春 夏 秋 冬 年度 期 シーズン 朝 年末"),
            ("先", "月 週 代"),
            ("前", "年 日 月 回 週 期 作 年度 夜 季 任者 世紀 号 節 話"),
            ("今", "年 日 月 週 回 夜 晩 朝 季 春 夏 秋 冬 期 年度 シーズン 世紀"),
            ("本", "年 日 年度 号 期 季"),
            ("当", "日 年 月 期 年度 季"),
            ("来", "年 月 週 季 春 夏 秋 冬 期 年度 シーズン 世紀"),
            ("次", "回 号 期 作 週 年度 節 話"),
            ("翌", "年 日 月 週 朝 春 夏 秋 冬 期 年度 晩 季 世紀"),
            ("明", "日 晩 朝 年 春"),
            ("再来", "年 月 週 期 年度 春 季"),
            ("翌々", "年 日 月 週 期 年度 季"),
            ("次々", "回 号 作 期"),
            ("明後", "日"),
        )
    }
)
DENOMINATORS: tuple[int, ...] = (2, 4, 5, 8, 10, 16, 20, 25, 40, 50, 100, 125, 200, 1000)
HALF = Fraction(1, 2)


def as_decimal(value: Fraction) -> str:
    """A value that ends, written out: 7/20 → 0.35."""
    if value.denominator == 1:
        return str(value.numerator)
    power = next(power for power in range(1, 40) if 10**power % value.denominator == 0)
    digits = str(abs(value.numerator) * 10**power // value.denominator).rjust(power + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-power]}.{digits[-power:]}".rstrip("0").rstrip(".")
