"use strict";
// DEFLATE (RFC 1951) in reverse, and the bytes of float32 numbers put back in order: written out here, because the
// browser's own DecompressionStream is asynchronous and missing from browsers before 2023.

const CODE_BITS = 15;

// Length of each code → table from the next 15 bits to (symbol << 4 | length).
function codeTable(lengths) {
  const table = new Uint16Array(1 << CODE_BITS), counts = new Uint16Array(CODE_BITS + 1), next = new Uint16Array(CODE_BITS + 2);
  for (const length of lengths) counts[length] += 1;
  counts[0] = 0;
  for (let n = 1; n <= CODE_BITS; n += 1) next[n + 1] = (next[n] + counts[n]) << 1;
  lengths.forEach((length, symbol) => {
    if (length === 0) return;
    let code = next[length]++, reversed = 0;
    for (let n = 0; n < length; n += 1, code >>= 1) reversed = (reversed << 1) | (code & 1);
    for (let at = reversed; at < table.length; at += 1 << length) table[at] = (symbol << 4) | length;
  });
  return table;
}

// Values that start at `first`; each group of `per` shares a number of further bits.
function extended(first, count, per, plain) {
  const found = [];
  for (let n = 0, value = first; n < count; n += 1) {
    const bits = Math.max(0, Math.floor((n - plain) / per));
    found.push({ value, bits });
    value += 1 << bits;
  }
  return found;
}

function inflate(bytes, size) {
  const out = new Uint8Array(size), lengthCodes = extended(3, 28, 4, 4), distanceCodes = extended(1, 30, 2, 2);
  lengthCodes.push({ value: 258, bits: 0 });
  let at = 0, bits = 0, held = 0, end = 0;
  const fill = (count) => { for (; held < count; held += 8) bits |= (at < bytes.length ? bytes[at++] : (at++, 0)) << held; };
  const take = (count) => {
    fill(count);
    const value = bits & ((1 << count) - 1);
    bits >>>= count;
    held -= count;
    return value;
  };
  const symbol = (table) => {
    fill(CODE_BITS);
    const entry = table[bits & ((1 << CODE_BITS) - 1)], length = entry & 15;
    if (length === 0) throw new Error("damaged");
    bits >>>= length;
    held -= length;
    return entry >> 4;
  };
  const stored = () => {
    at -= held >> 3;
    bits = held = 0;
    const count = bytes[at] | (bytes[at + 1] << 8);
    out.set(bytes.subarray(at + 4, at + 4 + count), end);
    at += 4 + count;
    end += count;
  };
  const dynamicTables = () => {
    const literals = take(5) + 257, distances = take(5) + 1, codes = take(4) + 4, order = new Array(19).fill(0);
    const places = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    for (let n = 0; n < codes; n += 1) order[places[n]] = take(3);
    const table = codeTable(order), lengths = [];
    while (lengths.length < literals + distances) {
      const found = symbol(table);
      if (found < 16) lengths.push(found);
      else {
        const value = found === 16 ? lengths[lengths.length - 1] : 0;
        const count = found === 16 ? 3 + take(2) : found === 17 ? 3 + take(3) : 11 + take(7);
        for (let n = 0; n < count; n += 1) lengths.push(value);
      }
    }
    return [codeTable(lengths.slice(0, literals)), codeTable(lengths.slice(literals))];
  };
  const fixedTables = () => [
    codeTable(Array.from({ length: 288 }, (_, n) => (n < 144 ? 8 : n < 256 ? 9 : n < 280 ? 7 : 8))),
    codeTable(new Array(30).fill(5)),
  ];
  for (let last = 0; !last;) {
    last = take(1);
    const kind = take(2);
    if (kind === 0) { stored(); continue; }
    if (kind === 3) throw new Error("damaged");
    const [literals, distances] = kind === 1 ? fixedTables() : dynamicTables();
    for (let found = symbol(literals); found !== 256; found = symbol(literals)) {
      if (end >= size) throw new Error("damaged");
      if (found < 256) { out[end++] = found; continue; }
      const length = lengthCodes[found - 257], count = length.value + take(length.bits);
      const distance = distanceCodes[symbol(distances)], from = end - distance.value - take(distance.bits);
      for (let n = 0; n < count; n += 1) out[end++] = out[from + n];
    }
  }
  if (end !== size) throw new Error("damaged");
  return out;
}

// All first bytes, then all second ones, and so on: signs and exponents lie together, which halves what repeats.
function joinPlanes(planes) {
  const count = planes.length / 4, bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < 4; plane += 1) {
    for (let n = 0; n < count; n += 1) bytes[4 * n + plane] = planes[plane * count + n];
  }
  return bytes;
}
