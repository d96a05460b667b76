"use strict";
// The codecs in JavaScript (src/terakoya/codec): how raw outputs are read, and which characters may follow. Patterns come
// from the codecs themselves; `partial` ones match every text that can still become a whole one.

const whole = (pattern) => new RegExp(`^(?:${pattern})$`, "u");

function makeCodec(values) {
  return { text: textCodec, number: numberCodec, quantity: quantityCodec, labels: labelsCodec }[values.kind](values);
}

function textCodec() {
  const codec = { read: (raw) => raw || null, viable: () => true, complete: (raw) => raw !== "" };
  return { ...codec, forSource: () => codec };
}

// ── numbers ─────────────────────────────────────────────────────────────────────────────────────────

const stripZeros = (text) => text.replace(/^0+/u, "") || "0";

function numberCodec({ notation, shape, partial, terms }) {
  const isWhole = whole(shape), isPrefix = whole(partial);
  const same = (text) => text, always = () => true;
  const positional = terms && positionalTerms(terms);
  const { value, feasible = always } = {
    plain: { value: same },
    bracketed: { value: (raw) => raw.slice(1, -1) },
    groups: { value: (raw) => stripZeros(raw.replaceAll(",", "")) },
    "short-groups": {
      value: (raw) => raw.split(",").map((group, at) => (at ? group.padStart(4, "0") : group)).join(""),
    },
    reversed: { value: (raw) => Array.from(raw).reverse().join("") },
    calculator: { value: workedOut, feasible: mayBeWorkedOut },
    pds: positional,
    exponent: positional,
  }[notation];
  const read = (raw) => (isWhole.test(raw) ? value(raw) : null);
  const codec = { read, viable: (raw) => isPrefix.test(raw) && feasible(raw), complete: (raw) => read(raw) !== null };
  return { ...codec, forSource: () => codec };
}

// Digits other than 0, each with its position; positions fall from term to term.
function positionalTerms({ between, opening, offset, lowest, digits }) {
  const lowestWith = new Map();
  for (let position = lowest; position < digits + offset; position += 1) {
    const text = String(position);
    for (let end = 0; end <= text.length; end += 1) {
      if (!lowestWith.has(text.slice(0, end))) lowestWith.set(text.slice(0, end), position);
    }
  }
  const term = new RegExp(` [1-9](?:${between}(-?[0-9]*))?`, "gu"), wholeTerm = new RegExp(` ([1-9])${between}(-?[0-9]+)`, "gu");
  const feasible = (prefix) => {
    const positions = Array.from(prefix.matchAll(term), (found) => found[1] ?? ""), last = positions.length - 1;
    const lows = positions.map((text, at) => (at === last ? lowestWith.get(text) : Number(text)));
    if (last >= 0 && positions[last] && prefix.endsWith(" ")) lows[last] = Number(positions[last]);
    return lows.every((low, at) => !at || low < lows[at - 1]);
  };
  const value = (raw) => {
    if (!feasible(raw)) return null;
    const found = new Map(Array.from(raw.matchAll(wholeTerm), (one) => [Number(one[2]) - offset, one[1]]));
    if (!found.size) return "0";
    const top = Math.max(0, ...found.keys()), bottom = Math.min(0, ...found.keys());
    let text = raw.startsWith(`${opening} -`) ? "-" : "";
    for (let position = top; position >= bottom; position -= 1) {
      if (position === -1) text += ".";
      text += found.get(position) ?? "0";
    }
    return text;
  };
  return { value, feasible };
}

// ── exact fractions ─────────────────────────────────────────────────────────────────────────────────

function fraction(above, below = 1n) {
  let [a, b] = [above < 0n ? -above : above, below];
  while (b) [a, b] = [b, a % b];
  return { above: above / a, below: below / a };
}

const times = (x, y) => fraction(x.above * y.above, x.below * y.below);
const plus = (x, y) => fraction(x.above * y.below + y.above * x.below, x.below * y.below);
const over = (x, y) => fraction(x.above * y.below, x.below * y.above);

// "250", "1.5", ".5" or "3/4"
function fractionOf(text) {
  const [above, below] = text.split("/");
  if (below !== undefined) return fraction(BigInt(above), BigInt(below));
  const [ones, rest = ""] = text.split(".");
  return fraction(BigInt(ones + rest), 10n ** BigInt(rest.length));
}

// ── workings: 12*144, 3/4, 2+3/8 ────────────────────────────────────────────────────────────────────

function ends({ below }) {
  let rest = below;
  for (const prime of [2n, 5n]) while (rest % prime === 0n) rest /= prime;
  return rest === 1n;
}

function termValue(term) {
  const [first, sign, second] = term.split(/([*/])/u), value = fractionOf(first);
  if (!sign) return value;
  return sign === "*" ? times(value, fractionOf(second)) : over(value, fractionOf(second));
}

const WORKING_SIGNS = /[*/+]/u;

function workedOut(written) {
  if (!WORKING_SIGNS.test(written)) return written;
  const terms = written.split("+").map(termValue);
  return terms.every(ends) ? asDecimal(terms.reduce(plus)) : null;
}

function asDecimal({ above, below }) {
  if (below === 1n) return String(above);
  let power = 1n;
  while (10n ** power % below !== 0n) power += 1n;
  const digits = String((above * 10n ** power) / below).padStart(Number(power) + 1, "0"), cut = digits.length - Number(power);
  return `${digits.slice(0, cut)}.${digits.slice(cut)}`.replace(/0+$/u, "").replace(/\.$/u, "");
}

function mayBeWorkedOut(prefix) {
  const terms = prefix.split("+"), last = terms.pop(), cut = last.indexOf("/");
  if (!terms.every((term) => ends(termValue(term)))) return false;
  return cut < 0 || cut + 1 === last.length || someEnd(fractionOf(last.slice(0, cut)), last.slice(cut + 1));
}

// Whether some divisor of at most four digits with these first ones leaves a decimal that ends.
function someEnd(above, first) {
  for (let more = 0; more <= 4 - first.length; more += 1) {
    const low = BigInt(first) * 10n ** BigInt(more);
    for (let one = low; one < low + 10n ** BigInt(more); one += 1n) if (ends(over(above, fraction(one)))) return true;
  }
  return false;
}

// ── quantities ──────────────────────────────────────────────────────────────────────────────────────

function quantityCodec(values) {
  const { promote, tail, patterns, metric, vulgar, native, promoted } = values;
  const make = (name, flags) => new RegExp(patterns[name], flags), openPartial = whole(patterns.open_partial);
  const product = make("product", "yu"), metrics = new Set(metric);
  const vulgarValues = new Map(Object.entries(vulgar).map(([char, text]) => [char, fractionOf(text)]));
  const wide = (text) => text.replace(/[０-９．／]/gu, (char) => String.fromCharCode(char.charCodeAt(0) - 0xfee0));

  const endOfTokens = (text) => {
    for (let at = 0; ;) {
      if (at >= text.length) return at;
      if (text[at] !== "<") {
        const next = text.indexOf("<", at);
        at = next < 0 ? text.length : next;
        continue;
      }
      if (text.startsWith("<<", at)) { at += 2; continue; }
      product.lastIndex = at;
      const found = product.exec(text);
      if (!found) return at;
      at += found[0].length;
    }
  };
  const readNumber = (text) => {
    if (native[text] !== undefined) return fraction(BigInt(native[text]));
    if (/^[一二三四五六七八九十百千]/u.test(text)) return kanjiValue(text);
    const plain = wide(text).replaceAll(",", ""), last = plain.slice(-1);
    if (vulgarValues.has(last) || last === "半") {
      const ones = plain.slice(0, -1).replace(/[と 　・+＋]+$/u, "");
      return plus(fraction(BigInt(ones || "0")), vulgarValues.get(last) ?? fraction(1n, 2n));
    }
    const parts = plain.replace(/[ 　]?と[ 　]?|[・ 　+＋]/gu, "と"), cut = parts.lastIndexOf("と");
    return plus(fraction(BigInt(cut > 0 ? parts.slice(0, cut) : "0")), fractionOf(parts.slice(cut + 1)));
  };
  const valueOf = (text) => {
    if (!text.startsWith("<")) return readNumber(text);
    const [one, other] = text.slice(1, -1).split("*");
    return times(readNumber(one), readNumber(other));
  };
  const shown = (text, value, isMetric, known) => {
    if (known) return spell(value, isMetric);
    if (text.startsWith("<")) return spell(value, /[.．]/u.test(text.split("*")[0]));
    return /[と・+＋半]/u.test(text) ? spell(value, false) : text;
  };
  const larger = (spoon, unit, found) => {
    const all = (test) => found.every(test);
    if (/^(?:小さじ|小匙)/u.test(spoon) && all((x) => x.below === 1n && x.above >= 3n && x.above % 3n === 0n)) {
      return [`大${spoon.slice(1)}`, unit, found.map((x) => over(x, fraction(3n)))];
    }
    const smaller = unit.replace(/^[ 　]+/u, ""), rule = promoted[smaller];
    if (rule && all((x) => x.above >= BigInt(rule[1]) * x.below)) {
      return [spoon, unit.slice(0, unit.length - smaller.length) + rule[0], found.map((x) => over(x, fraction(BigInt(rule[1]))))];
    }
    return [spoon, unit, found];
  };
  const oneForm = (...match) => {
    const groups = match.at(-1), numbers = groups.numbers;
    let spoon = groups.spoon ?? "", unit = groups.unit ?? "";
    let found = Array.from(numbers.matchAll(make("number", "gu")), (one) => valueOf(one[0]));
    if (promote) [spoon, unit, found] = larger(spoon, unit, found);
    const isMetric = metrics.has(unit.replace(/^[ 　]+/u, "")), known = Boolean(spoon || unit);
    let at = 0;
    return spoon + numbers.replace(make("number", "gu"), (one) => shown(one, found[at++], isMetric, known)) + unit;
  };
  const halfBefore = (...match) => {
    const { plain, first, second } = match.at(-1);
    const [, amount, unit, half] = make("half_parts", "u").exec(plain ?? first);
    const part = half.replace(/^と/u, "").replace(/分$/u, "");
    const ones = String("一二三四五六七八九".indexOf(amount) + 1 || amount), number = part === "半" ? `${ones}半` : `${ones}と${part}`;
    return plain !== undefined ? `${number}${unit}` : `<${number}*${second}>${unit}`;
  };
  const canonical = (given) => {
    let text = given.replace(make("half_behind", "gu"), halfBefore);
    for (;;) {
      const again = text.replace(make("quantity", "gu"), oneForm);
      if (again === text) return text;
      text = again;
    }
  };
  const complete = (raw) => raw !== "" && (!raw.includes("<") || endOfTokens(raw) === raw.length);
  const viable = (raw) => {
    if (!raw.includes("<")) return true;
    const rest = raw.slice(endOfTokens(raw));
    return !rest || rest === "<" || openPartial.test(rest);
  };
  const pieces = new RegExp(`${patterns.product}|<<|[^<]+`, "gu");
  const read = (raw) => {
    if (!complete(raw)) return null;
    return canonical(Array.from(raw.matchAll(pieces), ([piece]) => (piece === "<<" ? "<" : piece)).join(""));
  };
  const codec = { read, viable, complete };
  return { ...codec, forSource: (source) => (tail ? copyOfSource(codec, source, patterns.amount, tail) : codec) };
}

function kanjiValue(text) {
  const units = { 十: 10n, 百: 100n, 千: 1000n };
  let value = 0n, digit = 0n;
  for (const char of text) {
    if (units[char]) {
      value += (digit || 1n) * units[char];
      digit = 0n;
    } else digit = BigInt("一二三四五六七八九".indexOf(char) + 1);
  }
  return fraction(value + digit);
}

function spell({ above, below }, decimal) {
  if (below === 1n) return String(above);
  if (!decimal || 1000n % below !== 0n) return `${above}/${below}`;
  const thousandths = (above * 1000n) / below;
  return `${thousandths / 1000n}.${String(thousandths % 1000n).padStart(3, "0")}`.replace(/0+$/u, "");
}

// A prediction that copies its source, with products in place of numbers (codec/source_bound.py).
function copyOfSource(codec, source, numberPattern, tail) {
  const chars = Array.from(source), starts = [0];
  for (const char of chars) starts.push(starts.at(-1) + char.length);
  const number = new RegExp(numberPattern, "yu"), rest = new RegExp(`(?:${tail})$`, "yu");
  const endOf = (start) => {
    number.lastIndex = starts[start];
    const found = number.exec(source);
    return found ? start + Array.from(found[0]).length : start;
  };
  const step = (state, char) => {
    const follows = char === chars[state.copied];
    if (state.phase === "outside") {
      if (char === "<") {
        const opens = chars[state.copied] === "<" || endOf(state.copied) > state.copied;
        return opens ? { ...state, phase: "opened", start: state.copied } : null;
      }
      return follows ? { ...state, copied: state.copied + 1 } : null;
    }
    if (state.phase === "two") {
      if (char === ">") {
        return state.second === (state.factor || state.second) ? { ...state, phase: "outside", factor: state.second } : null;
      }
      const second = state.second + char;
      return !state.factor || state.factor.startsWith(second) ? { ...state, second } : null;
    }
    if (state.phase === "one" && char === "*") {
      return endOf(state.start) === state.copied ? { ...state, phase: "two", second: "" } : null;
    }
    if (state.phase === "opened" && char === "<") return follows ? { ...state, phase: "outside", copied: state.copied + 1 } : null;
    return follows && state.copied < endOf(state.start) ? { ...state, phase: "one", copied: state.copied + 1 } : null;
  };
  const known = new Map([["", { phase: "outside", copied: 0, start: 0, second: "", factor: "" }]]);
  const stateOf = (prefix) => {
    if (known.has(prefix)) return known.get(prefix);
    const before = Array.from(prefix), last = before.pop(), state = stateOf(before.join(""));
    known.set(prefix, state && step(state, last));
    return known.get(prefix);
  };
  const complete = (raw) => {
    const state = stateOf(raw);
    if (!state || state.phase !== "outside" || !codec.complete(raw)) return false;
    rest.lastIndex = starts[state.copied];
    return rest.test(source);
  };
  return { read: codec.read, viable: (raw) => stateOf(raw) !== null && codec.viable(raw), complete };
}

// ── sets of labels ──────────────────────────────────────────────────────────────────────────────────

function labelsCodec({ labels, most, counted }) {
  const legal = new Set(labels), sizes = Array.from({ length: Math.min(most, labels.length) }, (_one, at) => String(at + 1));
  const distinct = (found) => new Set(found).size === found.length && found.every((label) => legal.has(label));
  const begun = new Map();
  for (const label of labels) {
    const chars = Array.from(label);
    for (let end = 1; end <= chars.length; end += 1) {
      const prefix = chars.slice(0, end).join("");
      begun.set(prefix, (begun.get(prefix) ?? 0) + 1);
    }
  }
  const complete = (raw) => {
    let found = raw.split(" ");
    if (counted) {
      const [head, ...others] = found;
      if (head !== String(others.length)) return false;
      found = others;
    }
    return found.length > 0 && found.length <= most && distinct(found);
  };
  const viable = (raw) => {
    let found = raw.split(" "), size = most;
    const last = found.pop();
    if (counted) {
      if (!found.length) return !last || sizes.some((one) => one.startsWith(last));
      if (!sizes.includes(found[0])) return false;
      size = Number(found[0]);
      found = found.slice(1);
    }
    if (found.length >= size || !distinct(found)) return false;
    if (!last) return found.length < labels.length || false;
    return (begun.get(last) ?? 0) > found.filter((label) => label.startsWith(last)).length;
  };
  // Only whole written sets are generated here (the export refuses skills that decode without the grammar).
  const read = (raw) => {
    if (!complete(raw)) return null;
    return raw.split(" ").slice(counted ? 1 : 0).sort(compareCodePoints).join(" ");
  };
  const codec = { read, viable, complete };
  return { ...codec, forSource: () => codec };
}
