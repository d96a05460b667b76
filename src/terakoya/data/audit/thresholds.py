"""Every threshold of the audit, with its reason. Fixed before the defect benchmark was first run.

A share is of the rows seen unless it says otherwise. What the two logs had found lies well inside each threshold:
a threshold is set about half way, on a scale of ratios, between clean data and the defect as the logs met it.
"""

from __future__ import annotations

# -- balance ---------------------------------------------------------------------------------------------------
# The emoji log: ✨ was 18.6% of all labels and 4.5 times the second one. Hand-made label sets have a top share
# of 1 to 5% and a ratio near 1. Both must hold: with four labels in all, a share of 30% is no skew.
TOP_SHARE = 0.10
TOP_RATIO = 3.0
# With few labels the ratio says little: a constant that is right three times in four hides a model that never listens.
TOP_MAJORITY = 0.75
# Uses per label below which a small model cannot tell label from noise (the log had 9.1 uses and 3.4 samples a label
# and learnt nothing; our set head learns from a median of 30). Counted as the median label, rare ones being many.
USES_PER_LABEL = 10
USES_WANTED = 20  # how many uses "how many more would be needed" is counted to
# Targets of dev or exam with labels that no prediction can hold: one in fifty moves a score as much as models differ.
UNKNOWN_LABELS = 0.02
# A constant that scores this much in the task's own metric passes for a trained model: the log's best was .177.
CONSTANT_SCORE = 0.15

# -- repeats ---------------------------------------------------------------------------------------------------
# Copies weigh a row twice and waste the price of a response. The log's resumed run had 9% (8 of 88). Copies for each
# row that is left without them: of all rows, a table in which one row in a hundred was copied has only 0.99%.
DUPLICATES = 0.01
# One source with several targets puts a ceiling on every score; a handful in a million is human.
CONTRADICTIONS = 0.002
# An exam item that stands in train is no exam item: the first one counts. Near copies are warned of from this share.
NEAR_LEAKS = 0.01
NEAR_DUPLICATES = 0.02
# Jaccard similarity of the sets of character trigrams, over texts that are long enough for it to mean anything and
# that hold the same digits and numerals (二百一 and 二百二 are two questions, not one).
NEAR = 0.80
NEARER = 0.90  # a second similarity for which findings say the probability that a pair is found
NEAR_LENGTH = 12  # characters
# Trigrams in more texts than this are a template (an instruction, a system prompt) and are not compared; a chat set
# with one system prompt was called 92% leaked. What is left of a text must be a few words.
TEMPLATE_SHARE = 0.10
TEMPLATE_ROWS = 20
TEMPLATE_TEXTS = 4_000  # of a large table, by which a template is known: a share of 10% to within half a percent point
NEAR_GRAMS = 8

# -- order -----------------------------------------------------------------------------------------------------
# Permutation test of the last fifth of the rows against the rest. 1 in 500 shuffled tables is accused wrongly.
ORDER_P = 0.002
ORDER_TAIL = 0.2
ORDER_ROWS = 2000  # looked at, evenly spaced
ORDER_SHUFFLES = 1999
# An exam holds something that training never shows: this often in the exam, never in train, at so small a p.
HOLE_ITEMS = 5
HOLE_P = 1e-6

# -- damage ----------------------------------------------------------------------------------------------------
# Cells that no person types but tables produce. One is a note; this share of rows is a warning; beyond RUINED the
# table is not the one that was written (numerals log: every label turned from 1 to 1.0).
DAMAGED = 0.002
RUINED = 0.20
DATE_TASK = 0.90  # share of dates, from which on nobody's spreadsheet made them
# Codes of one width that lost their leading zeros: this share has the width, the rest is shorter, none begins with 0.
CODE_WIDTH_SHARE = 0.80
LEAST_CODES = 20  # fewer say nothing
# The source column counts the rows: a data frame's index has pushed the header by one column.
INDEX_SHARE = 0.90
# Rows whose source the codec can read as a target and whose target it cannot: the columns may be swapped.
SWAPPED = 0.50

# -- characters ------------------------------------------------------------------------------------------------
# One mojibake, zero-width or template mark is a note; from this share on it is a warning, and in targets always.
STRANGE = 0.001
# Full- and half-width digits side by side in targets are two spellings of one target; in sources they are normal.
MIXED_WIDTH = 0.005
# The emoji log's v3 had 17.9% of inputs that already held emoji.
EMOJI_INPUT = 0.01
EMOJI_TASK = 0.90  # share of labels that are emoji, from which on a task is an emoji task

# -- targets ---------------------------------------------------------------------------------------------------
PROSE = 0.002
# A target this many times longer than the median one (and than the 99th percentile), as "seven emoji" was.
LONG_TARGET = 4.0
LONG_TARGET_CHARACTERS = 12  # shorter ones are never called long
# The log's prompt allowed 1 to 5 labels; a set beyond this many labels did not follow it.
MANY_LABELS = 6
MANY_LABELS_USUAL = 0.2  # where so many rows have more, large sets are intended
# Sources cut short: where at least this share of the long ones ends like a sentence, the rest was cut (log: 5.4%).
ENDS_LIKE_SENTENCE = 0.80
CUT_SHORT = 0.02
LONG_SENTENCE = 15  # characters
ORPHAN_BRACKETS = 0.01
COPIES = 0.30  # targets equal to their source, where most are not

# Targets of one form (folded) are written alike but for this share: the rest is another hand's spelling. Below so many
# rows of a form, or above the share, both spellings are in use and nobody's mistake.
FORM_ROWS = 20
ODD_FORMS = 0.05
ODD_DATES = 0.10  # dates with month and day the other way round; more of them are another convention
FORMS_KEPT = 2000  # different forms that are remembered; texts without a form have as many as rows
SPELLINGS_KEPT = 8

# -- tokenizer -------------------------------------------------------------------------------------------------
UNKNOWN_SOURCES = 0.005
CUT_SOURCES = 0.005  # targets: the first one counts

# -- exam size -------------------------------------------------------------------------------------------------
# The smallest difference that can be shown (80% power, two-sided 5%, paired). Beyond a tenth, nothing believable can
# come of it: the log compared on 10, 20 and 40 items.
DETECTABLE = 0.10
DISCORDANT = 0.25  # share of items on which two comparable models differ, for metrics of right and wrong
SPREAD = 0.25  # standard deviation of paired differences, for graded metrics

# -- bounds of the work ----------------------------------------------------------------------------------------
ROWS_NAMED = 20  # rows a finding names
LONG_TEXT = 500  # characters of a text that are kept where many texts are
NEAR_ROWS = 25_000  # longer sources among which near copies are found exactly; of more, by MinHash
NEAR_KEPT = 400_000  # longer sources kept for it; of more, a sample
NEAR_CHARACTERS = 40_000_000  # of the kept ones together: at most about 200 MiB
NEAR_CUT = 4 * LONG_TEXT  # characters of a source that are compared
NEAR_STEP = 1 << 16  # rows after which the bounds are looked at, so that the sample is the same in rows and in blocks
LABELS_KEPT = 100_000  # different labels counted; beyond, rare ones are counted together
FINGERPRINTS_KEPT = 4_000_000  # rows remembered for repeats; beyond, a fair sample of the sources is kept
SAMPLE = 20_000  # rows of a stream that are kept whole, for checks that need a set
