"use strict";
// Built-in models in plain JavaScript: what models/builtin/numpy_network.py and decoding/without_torch.py compute,
// one source at a time and in double precision. No function here reaches the network, the disk or the document.

const MAX_CHARACTERS = 10000;

function bytesOfBase64(text) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const value = new Uint8Array(128);
  for (let i = 0; i < 64; i += 1) value[alphabet.charCodeAt(i)] = i;
  const end = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - end);
  for (let at = 0, out = 0; at < text.length; at += 4) {
    const word = (value[text.charCodeAt(at)] << 18) | (value[text.charCodeAt(at + 1)] << 12)
      | (value[text.charCodeAt(at + 2)] << 6) | value[text.charCodeAt(at + 3)];
    bytes[out++] = word >> 16;
    if (out < bytes.length) bytes[out++] = (word >> 8) & 255;
    if (out < bytes.length) bytes[out++] = word & 255;
  }
  return bytes;
}

// SHA-256 (FIPS 180-4), in hexadecimal digits: crypto.subtle is missing where a page is not a secure context.
function sha256(bytes) {
  const k = new Uint32Array(64), h = new Uint32Array(8);
  for (let n = 2, found = 0; found < 64; n += 1) {
    let prime = true;
    for (let d = 2; d * d <= n; d += 1) if (n % d === 0) { prime = false; break; }
    if (!prime) continue;
    const part = (x) => Math.floor((x - Math.floor(x)) * 4294967296);
    if (found < 8) h[found] = part(Math.sqrt(n));
    k[found++] = part(Math.cbrt(n));
  }
  const length = bytes.length, padded = new Uint8Array(((length + 72) >> 6) << 6), view = new DataView(padded.buffer);
  padded.set(bytes);
  padded[length] = 128;
  view.setUint32(padded.length - 8, Math.floor(length / 536870912));
  view.setUint32(padded.length - 4, (length << 3) >>> 0);
  const w = new Uint32Array(64), turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let start = 0; start < padded.length; start += 64) {
    for (let i = 0; i < 16; i += 1) w[i] = view.getUint32(start + 4 * i);
    for (let i = 16; i < 64; i += 1) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + w[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let i = 0; i < 64; i += 1) {
      const one = (last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      last = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, last].forEach((x, i) => { h[i] += x; });
  }
  return Array.from(h, (x) => x.toString(16).padStart(8, "0")).join("");
}

// name → Float32Array, from the bytes of all tensors one after the other.
function readTensors(listed, bytes) {
  const tensors = new Map();
  for (const { name, shape, at } of listed) {
    const size = shape.reduce((a, b) => a * b, 1);
    tensors.set(name, { shape, data: new Float32Array(bytes.buffer, bytes.byteOffset + at, size) });
  }
  return tensors;
}

const codePoints = (text) => Array.from(text);

function compareCodePoints(a, b) {
  const x = codePoints(a), y = codePoints(b);
  for (let i = 0; i < x.length && i < y.length; i += 1) {
    if (x[i] !== y[i]) return x[i].codePointAt(0) - y[i].codePointAt(0);
  }
  return x.length - y.length;
}

function softmax(logits) {
  const size = logits.length, found = new Float64Array(size);
  let top = -Infinity, sum = 0;
  for (let i = 0; i < size; i += 1) if (logits[i] > top) top = logits[i];
  for (let i = 0; i < size; i += 1) sum += found[i] = Math.exp(logits[i] - top);
  for (let i = 0; i < size; i += 1) found[i] /= sum;
  return found;
}

// x + factor · y, in a new array.
function sum(x, y, factor = 1) {
  const found = new Float64Array(x.length);
  for (let i = 0; i < x.length; i += 1) found[i] = x[i] + factor * y[i];
  return found;
}

// ── sequence head ───────────────────────────────────────────────────────────────────────────────────

class SequenceNetwork {
  constructor(about, tensors) {
    this.shape = about.shape;
    this.tensors = tensors;
    this.scale = Math.fround(Math.sqrt(this.shape.width));
  }

  linear(name, x) {
    const { data, shape: [outputs, inputs] } = this.tensors.get(`${name}.weight`);
    const bias = this.tensors.get(`${name}.bias`).data, found = new Float64Array(outputs);
    for (let o = 0, at = 0; o < outputs; o += 1) {
      let dot = bias[o];
      for (let i = 0; i < inputs; i += 1, at += 1) dot += data[at] * x[i];
      found[o] = dot;
    }
    return found;
  }

  norm(name, x) {
    const weight = this.tensors.get(`${name}.weight`).data, bias = this.tensors.get(`${name}.bias`).data;
    const size = x.length, found = new Float64Array(size);
    let mean = 0, square = 0;
    for (let i = 0; i < size; i += 1) mean += x[i];
    mean /= size;
    for (let i = 0; i < size; i += 1) square += (x[i] - mean) * (x[i] - mean);
    const deviation = Math.sqrt(square / size + 1e-5);
    for (let i = 0; i < size; i += 1) found[i] = ((x[i] - mean) / deviation) * weight[i] + bias[i];
    return found;
  }

  project(layer, x) {
    const fused = this.linear(`${layer}.attention.qkv`, this.norm(`${layer}.attention.norm`, x)), { width } = this.shape;
    return [fused.subarray(0, width), fused.subarray(width, 2 * width), fused.subarray(2 * width)];
  }

  // Attention of one position over the first `count` keys.
  mix(name, q, keys, values, count) {
    const { width, heads } = this.shape, size = width / heads, mixed = new Float64Array(width);
    for (let head = 0; head < width; head += size) {
      const scores = new Float64Array(count);
      for (let at = 0; at < count; at += 1) {
        const key = keys[at];
        let dot = 0;
        for (let i = head; i < head + size; i += 1) dot += q[i] * key[i];
        scores[at] = dot / Math.sqrt(size);
      }
      const shares = softmax(scores);
      for (let at = 0; at < count; at += 1) {
        const value = values[at], share = shares[at];
        for (let i = head; i < head + size; i += 1) mixed[i] += share * value[i];
      }
    }
    return this.linear(`${name}.out`, mixed);
  }

  afterAttention(layer, x, memory) {
    let found = x;
    if (memory) {
      const q = this.linear(`${layer}.cross.query`, this.norm(`${layer}.cross.norm`, found));
      found = sum(found, this.mix(`${layer}.cross`, q, memory.keys, memory.values, memory.keys.length));
    }
    const inner = this.linear(`${layer}.feed.inner`, this.norm(`${layer}.feed.norm`, found));
    for (let i = 0; i < inner.length; i += 1) if (inner[i] < 0) inner[i] = 0;
    return sum(found, this.linear(`${layer}.feed.outer`, inner));
  }

  row(name, index) {
    const { data, shape: [, width] } = this.tensors.get(name);
    return data.subarray(index * width, (index + 1) * width);
  }

  embed(id) {
    return sum(new Float64Array(this.shape.width), this.row("embed.weight", id), this.scale);
  }

  embedSource(ids) {
    const all = this.tensors.get("encoder.places_from_end").shape[0];
    return ids.map((id, at) => {
      const start = this.row("encoder.places", at), end = this.row("encoder.places_from_end", all - ids.length + at);
      return sum(sum(this.embed(id), start), end);
    });
  }

  // One layer over all positions of the source; `causal` lets each see the ones before it only.
  layer(name, xs, causal) {
    const parts = xs.map((x) => this.project(name, x));
    const keys = parts.map((part) => part[1]), values = parts.map((part) => part[2]);
    const found = xs.map((x, at) => {
      const mixed = this.mix(`${name}.attention`, parts[at][0], keys, values, causal ? at + 1 : xs.length);
      return this.afterAttention(name, sum(x, mixed), null);
    });
    return { found, keys, values };
  }

  start(ids, startId) {
    const { encoder, decoder, width } = this.shape, state = { position: 0, cache: [], memory: [] };
    let xs = this.embedSource(ids);
    if (encoder) {
      for (let index = 0; index < encoder; index += 1) xs = this.layer(`encoder.layers.${index}`, xs, false).found;
      const fused = xs.map((x) => this.linear("memory", this.norm("memory_norm", x)));
      for (let index = 0; index < decoder; index += 1) {
        const part = (n) => fused.map((x) => x.subarray((2 * index + n) * width, (2 * index + n + 1) * width));
        state.memory.push({ keys: part(0), values: part(1) });
        state.cache.push({ keys: [], values: [] });
      }
    } else {
      for (let index = 0; index < decoder; index += 1) {
        const { found, keys, values } = this.layer(`layers.${index}`, xs, true);
        state.cache.push({ keys, values });
        xs = found;
      }
    }
    state.logits = this.step(state, startId);
    return state;
  }

  step(state, id) {
    const position = this.row("places", state.position);
    let x = sum(this.embed(id), position);
    for (let index = 0; index < this.shape.decoder; index += 1) {
      const layer = `layers.${index}`, [q, key, value] = this.project(layer, x), { keys, values } = state.cache[index];
      keys.push(key);
      values.push(value);
      const mixed = this.mix(`${layer}.attention`, q, keys, values, keys.length);
      x = this.afterAttention(layer, sum(x, mixed), state.memory[index]);
    }
    state.position += 1;
    const hidden = this.norm("norm", x), { data, shape: [, width] } = this.tensors.get("embed.weight");
    const logits = new Float64Array(this.shape.outputs);
    for (let o = 0, at = 0; o < logits.length; o += 1) {
      let dot = 0;
      for (let i = 0; i < width; i += 1, at += 1) dot += data[at] * hidden[i];
      logits[o] = dot;
    }
    return logits;
  }
}

class SequenceModel {
  constructor(about, tensors, codec) {
    this.about = about;
    this.codec = codec;
    this.network = new SequenceNetwork(about, tensors);
    const targets = codePoints(about.characters.answered), sources = codePoints(about.characters.asked);
    this.texts = ["", ...targets];
    this.ids = new Map([...targets, ...sources].map((char, index) => [char, index + 1]));
    this.startId = 1 + targets.length + sources.length;
  }

  fits(source) {
    const length = codePoints(source).length;
    return length > 0 && length <= this.about.shape.max_source;
  }

  unknown(source) {
    return [...new Set(codePoints(source))].filter((char) => !this.ids.has(char)).join("");
  }

  predict(source) {
    if (!this.fits(source)) return { raw: "", text: null, probability: 0 };
    const ids = codePoints(source).map((char) => this.ids.get(char) ?? this.startId + 1);
    const grammar = this.about.constrained ? this.codec.forSource(source) : null;
    const { raw, probability } = this.generate(this.network.start(ids, this.startId), grammar);
    return { raw, text: probability === null ? null : this.codec.read(raw), probability: probability ?? 0 };
  }

  // Greedy; a token that leaves the grammar is replaced by the most probable one that does not.
  generate(state, grammar) {
    let raw = "", score = 0;
    for (let step = 0; step < this.about.limit; step += 1) {
      const { logits } = state;
      let token = 0;
      for (let id = 1; id < logits.length; id += 1) if (logits[id] > logits[token]) token = id;
      if (grammar && !this.allows(grammar, raw, token)) {
        token = -1;
        for (let id = 0; id < logits.length; id += 1) {
          if ((token < 0 || logits[id] > logits[token]) && this.allows(grammar, raw, id)) token = id;
        }
        if (token < 0) return { raw, probability: null };
      }
      let top = -Infinity, sum = 0;
      for (let id = 0; id < logits.length; id += 1) if (logits[id] > top) top = logits[id];
      for (let id = 0; id < logits.length; id += 1) sum += Math.exp(logits[id] - top);
      score += logits[token] - top - Math.log(sum);
      if (token === 0) return { raw, probability: Math.exp(score) };
      if (step + 1 === this.about.limit) break;
      raw += this.texts[token];
      state.logits = this.network.step(state, token);
    }
    return { raw, probability: null };
  }

  allows(grammar, raw, token) {
    if (token === 0 && !raw && this.about.reject) return true;
    return token === 0 ? grammar.complete(raw) : grammar.viable(raw + this.texts[token]);
  }
}

// ── set head ────────────────────────────────────────────────────────────────────────────────────────

const PYTHON_SPACES = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/gu;
const UNICODE_SPACES = /[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/gu;
const splitSpaces = (text) => text.split(PYTHON_SPACES).filter((word) => word);

class TextFeatures {
  constructor(about) {
    this.spaced = about.spaced;
    this.indices = new Map(about.features.map((feature, index) => [feature, index]));
    this.names = new Map(Object.entries(about.names));
    this.lengths = [...new Set([...this.names.keys()].map((name) => codePoints(name).length))].sort((a, b) => b - a);
    this.folds = new Map(Object.entries(about.folds));
  }

  normalise(text) {
    const visible = text.normalize("NFKC").replace(/\p{Cf}/gu, (char) => (char === "\u200d" ? char : ""));
    const single = visible.replace(UNICODE_SPACES, " ");
    const bare = single.replace(/^[\x1c-\x20]+|[\x1c-\x20]+$/gu, "");
    return codePoints(bare).map((char) => this.folds.get(char) ?? char).join("");
  }

  ids(text) {
    const form = this.normalise(text), found = new Set();
    const add = (feature) => { if (this.indices.has(feature)) found.add(this.indices.get(feature)); };
    if (this.spaced) splitSpaces(form).forEach(add);
    else {
      const chars = codePoints(form.replaceAll(" ", ""));
      for (let n = 1; n <= 4; n += 1) for (let i = 0; i + n <= chars.length; i += 1) add(chars.slice(i, i + n).join(""));
    }
    return [...found].sort((a, b) => a - b);
  }

  namesIn(text) {
    const form = this.normalise(text);
    if (this.spaced) return [...this.names.keys()].filter((name) => ` ${form} `.includes(` ${name} `));
    const chars = codePoints(form), found = new Set();
    for (let start = 0, covered = 0; start < chars.length; start += 1) {
      for (const length of this.lengths) {
        const piece = chars.slice(start, start + length).join("");
        if (start + length > covered && this.names.has(piece)) {
          found.add(piece);
          covered = start + length;
          break;
        }
      }
    }
    return [...found];
  }
}

class SetModel {
  constructor(about, tensors) {
    this.about = about;
    this.tensors = tensors;
    this.features = new TextFeatures(about.vocabulary);
  }

  fits(source) {
    return this.features.normalise(source) !== "";
  }

  unknown() {
    return "";
  }

  // Label logits and size logits of one member of the ensemble.
  member(name, used, names) {
    const get = (part) => this.tensors.get(`${name}.${part}`), labels = this.about.labels.length;
    const table = get("table"), worth = get("worth").data, vectors = get("labels");
    const odds = Float64Array.from(get("prior").data, Math.exp), width = table.shape[1];
    for (const feature of used) {
      const row = table.data.subarray(feature * width, (feature + 1) * width);
      let evidence = row;
      if (vectors) {
        evidence = new Float64Array(labels);
        for (let label = 0, at = 0; label < labels; label += 1) {
          for (let i = 0; i < width; i += 1, at += 1) evidence[label] += vectors.data[at] * row[i];
        }
      }
      const shares = softmax(evidence), factor = Math.exp(worth[feature]);
      for (let label = 0; label < labels; label += 1) odds[label] += shares[label] * factor;
    }
    const ofNames = get("names").data;
    for (const { label, kind, weight } of names) odds[label] += weight * Math.exp(ofNames[kind]);
    const logits = odds.map(Math.log), probabilities = logits.map((x) => 1 / (1 + Math.exp(-x)));
    const { data, shape: [sizes, inputs] } = get("sizes.weight"), bias = get("sizes.bias").data;
    const total = probabilities.reduce((a, b) => a + b, 0);
    const seen = [...probabilities.slice().sort().reverse().slice(0, inputs - 2), total / 3, Math.log(Math.max(total, 1e-6))];
    const sizeLogits = Float64Array.from({ length: sizes }, (_one, size) => {
      let sum = bias[size];
      for (let i = 0; i < inputs; i += 1) sum += data[size * inputs + i] * seen[i];
      return sum;
    });
    return { logits, sizeLogits };
  }

  scores(source) {
    const { about } = this, used = this.features.ids(source), names = [];
    for (const name of this.features.namesIn(source)) {
      const labels = this.features.names.get(name), kind = Math.min(codePoints(name).length, 4) - 1;
      for (const label of labels) names.push({ label, kind, weight: 1 / labels.length });
    }
    const rest = (1 - about.mixing_weight) / (about.members - 1), labels = new Float64Array(about.labels.length);
    let sizes = null;
    for (let number = 0; number < about.members; number += 1) {
      const { logits, sizeLogits } = this.member(`members.${number}`, used, names);
      const share = Math.fround(number ? rest : about.mixing_weight), ofSize = softmax(sizeLogits);
      logits.forEach((x, label) => { labels[label] += share * Math.fround(1 / (1 + Math.exp(-x))); });
      sizes = ofSize.map((x, size) => (sizes ? sizes[size] : 0) + share * x);
    }
    const most = Math.fround(1 - 1e-7), least = Math.fround(1e-7);
    const logits = labels.map((x) => {
      const p = Math.min(Math.max(x, least), most);
      return (Math.log(p) - Math.log1p(-p)) * Math.fround(about.inverse_temperature);
    });
    return { logits, sizes: sizes.map(Math.log) };
  }

  predict(source) {
    if (!this.fits(source)) return { raw: "", text: null, probability: null };
    const { about } = this, { logits, sizes } = this.scores(source);
    if (about.tau) {
      const sorted = about.log_prior.slice().sort((a, b) => a - b), half = sorted.length >> 1;
      const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
      logits.forEach((x, i) => { logits[i] = x - about.tau * (about.log_prior[i] - median); });
    }
    const best = bestSet(logits, sizes, about.objective, about.penalties), chosen = best.labels.map((i) => about.labels[i]);
    return { raw: chosen.join(" "), text: chosen.slice().sort(compareCodePoints).join(" "), probability: best.probability };
  }
}

function timesOdds(polynomial, odds) {
  const found = polynomial.slice();
  for (let degree = 1; degree < found.length; degree += 1) found[degree] += polynomial[degree - 1] * odds;
  return found;
}

// The set with the largest expected metric (decoding/expected_metric.py: Jansche 2007; Dembczyński et al. 2011).
function bestSet(logits, sizeLogits, objective, penalties) {
  const largest = Math.min(sizeLogits.length, logits.length), clipped = logits.map((x) => Math.min(Math.max(x, -30), 30));
  const kept = softmax(sizeLogits).slice(0, largest), sum = Math.max(kept.reduce((a, b) => a + b, 0), 1e-280);
  const order = Array.from(clipped.keys()).sort((a, b) => clipped[b] - clipped[a] || a - b);
  const top = order.slice(0, largest).reduce((a, i) => a + clipped[i], 0) / largest;
  const odds = clipped.map((x) => Math.exp(x - top)), one = () => { const p = new Float64Array(largest + 1); p[0] = 1; return p; };
  const product = (indices) => indices.reduce((p, i) => timesOdds(p, odds[i]), one());
  const all = product(Array.from(odds.keys())), normalised = new Float64Array(largest + 1);
  for (let n = 1; n <= largest; n += 1) normalised[n] = kept[n - 1] / sum / Math.max(all[n], 1e-280);

  const expected = (inside, outside, size) => {
    let value = 0;
    for (let right = 1; right <= Math.min(size, largest); right += 1) {
      for (let missing = 0; missing <= largest - right; missing += 1) {
        const gain = objective === "jaccard" ? right / (size + missing) : (2 * right) / (size + right + missing);
        value += gain * normalised[right + missing] * inside[right] * outside[missing];
      }
    }
    return value;
  };
  const penalised = penalties.map((penalty) => penalty.label), weight = new Map(penalties.map((p) => [p.label, p.weight]));
  const refund = penalties.reduce((a, p) => a + p.weight * p.cap, 0);
  let best = null;
  for (const fixed of combinations([...weight.keys()])) {
    const others = order.filter((label) => !weight.has(label)), most = Math.min(largest, others.length);
    let rest = product(others.slice(most));
    for (const label of penalised) if (!fixed.includes(label)) rest = timesOdds(rest, odds[label]);
    const outside = [rest];
    for (let at = most - 1; at >= 0; at -= 1) outside.push(rest = timesOdds(rest, odds[others[at]]));
    outside.reverse();
    let inside = product(fixed);
    for (let count = 0; count <= largest - fixed.length && count <= others.length; count += 1) {
      if (count) inside = timesOdds(inside, odds[others[count - 1]]);
      const size = count + fixed.length;
      if (!size) continue;
      const gain = expected(inside, outside[count], size) - fixed.reduce((a, n) => a + weight.get(n), 0) + refund * size;
      if (!best || gain > best.gain) best = { gain, labels: [...fixed, ...others.slice(0, count)] };
    }
  }
  const ascending = best.labels.slice().sort((a, b) => a - b), labels = ascending.sort((a, b) => odds[b] - odds[a]);
  return { labels, probability: normalised[labels.length] * labels.reduce((a, i) => a * odds[i], 1) };
}

// Every choice of some of the items, smaller ones first, as itertools.combinations orders them.
function combinations(items) {
  let found = [[]];
  const all = [[]];
  for (let size = 1; size <= items.length; size += 1) {
    found = found.flatMap((chosen) => items.slice(chosen.length ? items.indexOf(chosen.at(-1)) + 1 : 0).map((one) => [...chosen, one]));
    all.push(...found);
  }
  return all;
}

// ── what a probability is worth, and what is withheld ───────────────────────────────────────────────

class Confidence {
  constructor(about) {
    this.about = about;
    this.followers = new Map();
    this.counts = new Map(Object.entries(about.counts));
    for (const [gram, count] of this.counts) {
      const context = codePoints(gram).slice(0, -1).join(""), known = this.followers.get(context) ?? [0, 0];
      this.followers.set(context, [known[0] + count, known[1] + 1]);
    }
  }

  calibrated(probability) {
    if (probability <= 0) return 0;
    const least = 1 / (1 + Math.exp(14)), p = Math.min(Math.max(probability, least), 1 - least);
    const logOdds = Math.log(p) - Math.log1p(-p);
    return 1 / (1 + Math.exp(-(this.about.slope * logOdds + this.about.intercept)));
  }

  novel(source) {
    if (this.about.limit === null) return false;
    const chars = ["\ufdd0", "\ufdd0", ...codePoints(source), "\ufdd1"];
    let sum = 0;
    for (let at = 2; at < chars.length; at += 1) sum += this.surprisal(chars.slice(at - 2, at + 1));
    return sum / (chars.length - 2) > this.about.limit;
  }

  surprisal(gram) {
    const [all, different] = this.followers.get("") ?? [0, 0];
    let probability = 1 / (all + different + 1);
    for (let start = gram.length - 1; start >= 0; start -= 1) {
      const [total, kinds] = this.followers.get(gram.slice(start, -1).join("")) ?? [0, 0];
      if (!total) break;
      probability = ((this.counts.get(gram.slice(start).join("")) ?? 0) + kinds * probability) / (total + kinds);
    }
    return -Math.log(probability);
  }
}

class Skill {
  constructor(about, tensors) {
    this.about = about;
    this.model = about.head === "set" ? new SetModel(about, tensors) : new SequenceModel(about, tensors, makeCodec(about.codec));
    this.confidence = about.confidence ? new Confidence(about.confidence) : null;
  }

  // Text (null: unreadable or withheld), raw, probability, and why a readable prediction is withheld.
  predict(source) {
    const length = codePoints(source).length;
    if (!length || length > MAX_CHARACTERS) return { raw: "", text: null, probability: null, withheld: "" };
    const found = { ...this.model.predict(source), withheld: "", unknown: this.model.unknown(source), novel: false };
    const { confidence, about } = this;
    found.uncalibrated = confidence ? found.probability : null;
    if (confidence) {
      found.novel = confidence.novel(source);
      if (found.probability !== null) found.probability = confidence.calibrated(found.probability);
    }
    const withhold = (reason) => Object.assign(found, { text: null, withheld: reason });
    if (about.reject && about.head !== "set" && !found.raw && found.probability) withhold("rejected");
    if (found.text !== null && found.probability !== null && found.probability < about.abstain_below) withhold("probability");
    if (found.unknown && about.withhold_unknown) withhold("characters");
    if (found.text !== null && found.novel && about.withhold_novel) withhold("novelty");
    if (found.text !== null && about.promise !== null) {
      const score = found.uncalibrated === null ? -Infinity : Number(found.uncalibrated.toFixed(7));
      if (found.novel || !(score > about.promise)) withhold("promise");
    }
    return found;
  }
}

// The skill of a page, from its two blocks of data. Throws where they are not what was written.
function openSkill(description, weights, digest) {
  if (sha256(new TextEncoder().encode(description + weights)) !== digest) throw new Error("damaged");
  const about = JSON.parse(description);
  const size = about.tensors.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
  return new Skill(about, readTensors(about.tensors, joinPlanes(inflate(bytesOfBase64(weights), size))));
}
