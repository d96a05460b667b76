"""Normal forms of Japanese text and emoji, one named step at a time.

Sources are compared under `fold_source`, and read by models under `normalise_source`; targets are never normalised
here (NFKC turns ™️ into TM️): their canonical form is the codec's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

import regex

_SPACES = regex.compile(r"\s+")
_INVISIBLE = regex.compile(r"[\p{Cf}--\u200d]", regex.V1)


def nfkc(text: str) -> str:
    """Full-width digits and letters, half-width katakana and the like in one form (Unicode NFKC).

    text  any text
    """
    return unicodedata.normalize("NFKC", text)


def remove_invisible(text: str) -> str:
    """The text without zero-width and formatting characters; the joiner inside emoji stays.

    text  any text
    """
    return _INVISIBLE.sub("", text)


def collapse_spaces(text: str) -> str:
    """The text with runs of white space as one space, and none at the ends.

    text  any text
    """
    return _SPACES.sub(" ", text).strip()


def normalise_source(text: str) -> str:
    """The normal form under which two sources are the same source: NFKC, visible, case-folded, single-spaced.

    text  any text
    """
    return collapse_spaces(remove_invisible(nfkc(text))).casefold()


# Characters that are one to the eye or to whoever typed them, and several to a computer. Numerals are left out: 萬 and
# 万, 壱 and 一 are different questions where numbers are read. The first of each group is the form of all.
_LOOK_ALIKES = """
    〜~∼˜〰∿⁓ -‐‑‒–—―−⁃─━﹘ …⋯ '‘’‛′`´ "“”„‟″ ・•‧∙⋅· ケヶ カヵ 高髙 崎﨑嵜 浜濱濵 辺邊邉
    徳德 柳栁桺 吉𠮷 黒黑 橋槗𣘺 昇曻 桑桒 斎齋 斉齊 沢澤 広廣 国國 桜櫻 滝瀧 真眞 恵惠 蔵藏 竜龍 島嶋嶌
    富冨 峰峯 渓溪 館舘 亜亞 悪惡 圧壓 囲圍 医醫 為爲 隠隱 栄榮 営營 衛衞 駅驛 円圓 塩鹽 縁緣 応應 欧歐 殴毆
    奥奧 温溫 穏穩 仮假 価價 画畫 会會 絵繪 壊壞 懐懷 拡擴 殻殼 覚覺 学學 楽樂 缶罐 巻卷 寛寬 陥陷 勧勸 関關
    歓歡 観觀 気氣 帰歸 戯戲 犠犧 旧舊 拠據 挙擧 虚虛 峡峽 挟挾 狭狹 暁曉 区區 駆驅 勲勳 薫薰 径徑 茎莖 経經
    継繼 軽輕 鶏鷄 芸藝 撃擊 県縣 倹儉 剣劍 険險 検檢 献獻 権權 顕顯 験驗 厳嚴 効效 恒恆 鉱鑛 号號 砕碎 済濟
    剤劑 雑雜 桟棧 惨慘 賛贊 残殘 糸絲 歯齒 児兒 辞辭 湿濕 実實 写寫 釈釋 寿壽 収收 従從 渋澁 獣獸 縦縱 粛肅
    処處 緒緖 叙敍 将將 称稱 焼燒 証證 奨奬 条條 状狀 乗乘 浄淨 剰剩 畳疊 縄繩 壌壤 嬢孃 譲讓 醸釀 触觸 嘱囑
    寝寢 慎愼 尽盡 図圖 粋粹 酔醉 随隨 髄髓 枢樞 数數 瀬瀨 声聲 静靜 摂攝 窃竊 専專 浅淺 戦戰 践踐 銭錢 潜潛
    繊纖 禅禪 双雙 壮壯 争爭 荘莊 捜搜 挿插 巣巢 装裝 総總 騒騷 増增 続續 属屬 堕墮 対對 体體 帯帶 滞滯 台臺
    択擇 担擔 単單 胆膽 団團 断斷 弾彈 遅遲 虫蟲 昼晝 鋳鑄 庁廳 聴聽 鎮鎭 逓遞 鉄鐵 点點 転轉 伝傳 灯燈 当當
    党黨 盗盜 稲稻 闘鬪 独獨 読讀 届屆 悩惱 脳腦 覇霸 拝拜 廃廢 売賣 麦麥 発發 髪髮 抜拔 蛮蠻 浜濱 秘祕 払拂
    仏佛 並竝 変變 弁辨辯瓣 宝寶 豊豐 褒襃 翻飜 毎每 満滿 黙默 弥彌 訳譯 薬藥 与與 予豫 余餘 誉譽 揺搖 様樣
    謡謠 来來 頼賴 乱亂 覧覽 略畧 緑綠 塁壘 涙淚 礼禮 励勵 戻戾 霊靈 齢齡 恋戀 炉爐 労勞 楼樓 録錄 湾灣
""".split()  # noqa: SIM905 - the table is for reading
_FOLDED = {ord(other): group[0] for group in _LOOK_ALIKES for other in group[1:] if other != group[0]}
_SELECTORS = regex.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_DASH_AFTER_KANA = regex.compile(r"(?<=[\u3041-\u30ff])-")  # コ-ヒ- is how ー is typed, or read from paper
_PROLONGED_ELSEWHERE = regex.compile(r"(?<![\u3041-\u30ff])ー")  # and 3ー4 how a dash is


def fold_source(text: str) -> str:
    """The form under which two sources count as one: `normalise_source`, and look-alikes as one character.

    〜 and ～, dashes and minus signs, 髙 and 高, variation selectors, quotation marks. Only for comparing: no model
    reads it.

    text  any text
    """
    bare = _SELECTORS.sub("", remove_invisible(nfkc(text).translate(_FOLDED)))
    joined = _PROLONGED_ELSEWHERE.sub("-", _DASH_AFTER_KANA.sub("ー", bare))
    return collapse_spaces(joined.replace("……", "...").replace("…", "...")).casefold()


def graphemes(text: str) -> list[str]:
    r"""What a reader sees as single characters (extended grapheme clusters, Unicode UAX #29, `\X`).

    text  any text
    """
    return regex.findall(r"\X", text)


# ── emoji ───────────────────────────────────────────────────────────────────────────────────────────

_VARIATION = "\ufe0e\ufe0f"
_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_PLAIN = str.maketrans("", "", _VARIATION + _TONES)
# Pairs of people with a skin tone each are sequences; without tones Unicode knows them as one character only.
_PAIRS = {
    "🧑\u200d❤\u200d🧑": "💑",
    "🧑\u200d❤\u200d💋\u200d🧑": "💏",
    "🫱\u200d🫲": "🤝",
    "👩\u200d🤝\u200d👩": "👭",
    "👩\u200d🤝\u200d👨": "👫",
    "👨\u200d🤝\u200d👨": "👬",
    "🧑\u200d🐰\u200d🧑": "👯",
    "👨\u200d🐰\u200d👨": "👯\u200d♂️",
    "👩\u200d🐰\u200d👩": "👯\u200d♀️",
    "🧑\u200d🫯\u200d🧑": "🤼",
    "👨\u200d🫯\u200d👨": "🤼\u200d♂️",
    "👩\u200d🫯\u200d👩": "🤼\u200d♀️",
}


@cache
def _normal_forms() -> Mapping[str, str]:
    """Every emoji without tones and variation selectors → its fully qualified form (Unicode's table, emoji-test)."""
    import emoji

    qualified = emoji.STATUS["fully_qualified"]
    plain = {one: facts for one, facts in emoji.EMOJI_DATA.items() if not any(tone in one for tone in _TONES)}
    forms = {one.translate(_PLAIN): one for one, facts in plain.items() if facts["status"] == qualified}
    return forms | {pair: one for pair, one in _PAIRS.items() if pair not in forms}


def normalise_emoji(text: str) -> str | None:
    """The normal form of an emoji, or None where the text is not exactly one emoji.

    Fully qualified (❤ → ❤️, 1⃣ → 1️⃣), without skin tone (👍🏽 → 👍); joined sequences, flags and keycaps stay whole.
    Bare digits, letters and lone skin tones are no emoji. Applied twice it changes nothing more.

    text  one emoji, in any form
    """
    return _normal_forms().get(text.translate(_PLAIN)) if text else None


def parse_emoji(text: str) -> list[str] | None:
    """The emoji of a text in normal form and order, or None where it holds anything else but white space.

    text  emoji and white space
    """
    found = [normalise_emoji(grapheme) for grapheme in graphemes(text) if not grapheme.isspace()]
    return None if None in found else [one for one in found if one is not None]


def split_emoji(text: str) -> list[str] | None:
    """The emoji of a text as `parse_emoji` gives them; what is no emoji by Unicode is taken apart or kept as a symbol.

    Sequences that no table knows (🐱‍👤, a flag of Texas, a joiner at the end) become their parts, as screens show them;
    zero-width characters between are dropped; ♡ ♪ ☆ and other pictorial symbols stay as they are.

    text  emoji, symbols and white space
    Returns None where the text holds anything else, such as a word, or nothing.
    """
    found: list[str] = []
    for grapheme in graphemes(text):
        if grapheme.isspace():
            continue
        whole = normalise_emoji(grapheme)
        if whole is not None:
            found.append(whole)
            continue
        for char in remove_invisible(grapheme).replace("\u200d", "").translate(_PLAIN):
            one = normalise_emoji(char)
            if one is None and unicodedata.category(char) not in ("So", "Sk", "Sm"):
                return None
            found.append(one or char)
    return found or None


def all_emoji() -> list[str]:
    """Every emoji in its normal form, in the order of Unicode's table as the emoji package keeps it."""
    return list(dict.fromkeys(_normal_forms().values()))


@cache
def _japanese_names() -> Mapping[str, str]:
    import emoji

    emoji.config.load_language("ja")
    found = {}
    for one, facts in emoji.EMOJI_DATA.items():
        form, name = normalise_emoji(one), str(facts.get("ja", "")).strip(":").replace("_", " ")
        if form == one and name:
            found[one] = name
    return found


def emoji_name(emoji: str) -> str:
    """The Japanese name of an emoji by Unicode's own data (🐱 → ネコの顔); "" where it has none.

    emoji  in any form
    """
    return _japanese_names().get(normalise_emoji(emoji) or "", "")
