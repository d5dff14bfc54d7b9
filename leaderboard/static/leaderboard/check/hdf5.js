// One HDF5 mask file. jsfive finds the dataset's header; its messages are read here and the pixels are cut from the file's
// own bytes, as evaluation/archive/hdf5.py does it. Whatever jsfive cannot open is left to the server (Unsure).
"use strict";

const SIGNATURE = "\x89HDF\r\n\x1a\n";
const MESSAGE = { space: 1, linkInfo: 2, type: 3, oldFill: 4, fill: 5, external: 7, layout: 8, filters: 11, symbols: 17 };
const DEFLATE = 1;
const SHUFFLE = 2;
const NOWHERE = 2n ** 64n - 1n;

/** Check the file of one mask. Throws Refused for what is wrong with it, and Unsure for what cannot be judged here. */
async function checkMask(content, spec) {
  if (textOf(content.subarray(0, 8)) !== SIGNATURE) throw noSignature(content);
  checkEnds(viewOf(content));
  const header = openMask(content);
  const layout = layoutOf(header);
  if (layout.kind === "virtual") throw new Refused("virtual_dataset");
  if (header.has("external")) throw new Refused("external_storage");
  const type = typeOf(header);
  checkShape(header, spec);
  fillValue(header, type);  // it has to make sense, used or not
  checkValues(await pixelsOf(header, layout, type, spec));
}

function noSignature(content) {
  for (let start = 512; start < content.length; start *= 2) {
    if (textOf(content.subarray(start, start + 8)) === SIGNATURE) return new Refused("user_block", { size: start });
  }
  return new Refused("not_hdf5");
}

/** The superblock says how long the file is; one that is shorter was cut off. */
function checkEnds(view) {
  const damaged = new Refused("hdf5_damaged");
  const version = view.byteLength > 8 ? view.getUint8(8) : 9;
  if (version > 3 || view.byteLength < (version < 2 ? 96 : 48)) throw damaged;
  const isOld = version < 2;
  const width = view.getUint8(isOld ? 13 : 9);
  if (![2, 4, 8, 16, 32].includes(width)) throw damaged;
  if (width !== 8 || version === 1) throw new Unsure(UNUSUAL);
  if (view.getBigUint64(isOld ? 24 : 12, true) !== 0n) throw new Unsure(UNUSUAL);
  if (view.getBigUint64(isOld ? 40 : 28, true) > BigInt(view.byteLength)) throw damaged;
}

const UNUSUAL = "Stored in a form of HDF5 that this page cannot read; the server can.";

/** The messages of an object's header, by kind. */
class Header {
  constructor(content, messages) {
    this.content = content;
    this.view = viewOf(content);
    this.messages = messages;
  }

  has(kind) {
    return this.messages.some((message) => message.get("type") === MESSAGE[kind]);
  }

  /** Where the message begins. Throws Unsure where there is none, or where it is kept elsewhere. */
  at(kind) {
    const message = this.messages.find((each) => each.get("type") === MESSAGE[kind]);
    if (!message || message.get("flags") & 2) throw new Unsure(UNUSUAL);
    return message.get("offset_to_message");
  }
}

/** The header of the dataset named mask, reached by a hard link alone. */
function openMask(content) {
  const soundness = new Soundness(content);
  soundness.superblock();
  let root;
  try {
    root = new hdf5.File(content.buffer, "");
  } catch {
    throw new Unsure(UNUSUAL);
  }
  soundness.header(root._dataobjects.offset);
  soundness.rootGroup(root._dataobjects.msgs);
  const links = root._links;
  let messages;
  if (typeof links[RULES.dataset] === "number") {
    soundness.header(links[RULES.dataset]);
    messages = new root._dataobjects.constructor(content.buffer, links[RULES.dataset]).msgs;
  }
  if (!Object.hasOwn(links, RULES.dataset)) throw otherNames(Object.keys(links).sort());
  if (typeof links[RULES.dataset] === "string") throw new Refused("dataset_is_link");
  if (!messages) throw new Unsure(UNUSUAL);
  const header = new Header(content, messages);
  if (header.has("type") && header.has("space")) return header;
  if (header.has("type") || header.has("symbols") || header.has("linkInfo")) throw new Refused("not_a_dataset");
  throw new Unsure(UNUSUAL);
}

function otherNames(names) {
  if (!names.length) return new Refused("dataset_missing.empty");
  const bytes = (name) => textOf(new TextEncoder().encode(name));
  const shown = names.slice(0, 3).map((name) => printable(bytes(name), 40)).join(", ");
  return new Refused("dataset_missing", { names: shown + (names.length > 3 ? " and more" : "") });
}

function layoutOf(header) {
  const { view } = header;
  const at = header.at("layout");
  const version = view.getUint8(at);
  const kind = ["compact", "contiguous", "chunked", "virtual"][view.getUint8(at + 1)];
  if (version < 3 || version > 4 || !kind) throw new Unsure(UNUSUAL);
  return { version, kind, at: at + 2 };
}

/** The integer type of the pixels: {size, signed, bigEndian}; bool as h5py writes it counts as int8. */
function typeOf(header) {
  const { view } = header;
  const at = header.at("type");
  const kind = view.getUint8(at) & 15;
  const bits = view.getUint8(at + 1);
  const size = view.getUint32(at + 4, true);
  need([1, 2, 3].includes(view.getUint8(at) >> 4));
  if (kind === 1) throw new Refused("wrong_type.float");
  if (kind === 8 && isBool(header, at, size)) return { size: 1, signed: true, bigEndian: false };
  if (kind === 8) need(!textOf(header.content.subarray(at, at + 44)).includes("TRUE"));
  if (kind === 0) need(bits < 16 && view.getUint16(at + 2, true) === 0);
  if (kind === 0 && [1, 2, 4, 8].includes(size)) {
    const isWhole = view.getUint16(at + 8, true) === 0 && view.getUint16(at + 10, true) === 8 * size;
    if (isWhole) return { size, signed: Boolean(bits & 8), bigEndian: Boolean(bits & 1) };
  }
  throw new Refused("wrong_type");
}

/** An enumeration of FALSE = 0 and TRUE = 1 in one byte. */
function isBool({ view, content }, at, size) {
  if (size !== 1 || view.getUint16(at + 1, true) !== 2) return false;
  if ((view.getUint8(at + 8) & 15) !== 0) return false;
  const isPadded = view.getUint8(at) >> 4 < 3;
  const names = textOf(content.subarray(at + 20, at + 38));
  const values = isPadded ? names.startsWith("FALSE\0\0\0TRUE\0\0\0\0\0\x01") : names.startsWith("FALSE\0TRUE\0\0\x01");
  const swapped = isPadded ? names.startsWith("TRUE\0\0\0\0FALSE\0\0\0\x01\0") : names.startsWith("TRUE\0FALSE\0\x01\0");
  return values || swapped;
}

function checkShape(header, spec) {
  const { view } = header;
  const at = header.at("space");
  const version = view.getUint8(at);
  const rank = view.getUint8(at + 1);
  if (version !== 1 && version !== 2) throw new Unsure(UNUSUAL);
  need(view.getUint8(at + 2) < 2 && rank <= 32);
  const isSimple = version === 1 ? rank > 0 : view.getUint8(at + 3) === 1;
  const first = at + (version === 1 ? 8 : 4);
  const sides = (start) => Array.from({ length: isSimple ? rank : 0 }, (_, i) => view.getBigUint64(start + 8 * i, true));
  const shape = sides(first);
  if (view.getUint8(at + 2)) need(sides(first + 8 * rank).every((most, i) => most >= shape[i]));
  if (shape.length === 2 && shape[0] === BigInt(spec.height) && shape[1] === BigInt(spec.width)) return;
  throw new Refused("wrong_shape", {
    found: shape.slice(0, 6).join("x") || "a single value", height: String(spec.height), width: String(spec.width),
  });
}

async function pixelsOf(header, layout, type, spec) {
  const { view, content } = header;
  const size = spec.height * spec.width * type.size;
  if (layout.kind === "chunked") return chunked(header, layout, type, spec);
  if (layout.kind === "compact") {
    if (view.getUint16(layout.at, true) !== size) throw new Refused("unsupported_storage");
    return numbers(content.slice(layout.at + 2, layout.at + 2 + size), type);
  }
  const start = view.getBigUint64(layout.at, true);
  if (start === NOWHERE) return filled(header, type, spec);
  const isShort = Number(view.getBigUint64(layout.at + 8, true)) !== size || Number(start) + size > content.length;
  if (isShort) throw new Refused("hdf5_damaged.short");
  return numbers(content.slice(Number(start), Number(start) + size), type);
}

/** Bytes as an array of the type; the bytes are a copy of their own. */
function numbers(bytes, { size, signed, bigEndian }) {
  if (bigEndian) {
    for (let i = 0; i < bytes.length; i += size) bytes.subarray(i, i + size).reverse();
  }
  const kinds = {
    1: [Uint8Array, Int8Array], 2: [Uint16Array, Int16Array], 4: [Uint32Array, Int32Array],
    8: [BigUint64Array, BigInt64Array],
  };
  return new kinds[size][Number(signed)](bytes.buffer, bytes.byteOffset, bytes.length / size);
}

/** A dataset that was created but never written reads as its fill value. */
function filled(header, type, spec) {
  const bytes = new Uint8Array(spec.height * spec.width * type.size);
  const value = fillValue(header, type);
  for (let i = 0; value && i < bytes.length; i += type.size) bytes.set(value, i);
  return numbers(bytes, type);
}

/** The bytes of the fill value that the writer chose, or null. */
function fillValue(header, type) {
  const { view, content } = header;
  let at;
  if (header.has("fill")) {
    at = header.at("fill");
    const version = view.getUint8(at);
    need(version >= 1 && version <= 3);
    if (version < 3) need([1, 2, 3].includes(view.getUint8(at + 1)) && view.getUint8(at + 2) < 3 && view.getUint8(at + 3) < 3);
    const isDefined = version === 3 ? view.getUint8(at + 1) & 32 : view.getUint8(at + 3) === 1;
    if (!isDefined) return null;
    at += version === 3 ? 2 : 4;
  } else if (header.has("oldFill")) {
    at = header.at("oldFill");
  } else {
    return null;
  }
  const size = view.getUint32(at, true);
  if (size === 0) return null;
  if (size !== type.size) throw new Unsure(UNUSUAL);
  return content.subarray(at + 4, at + 4 + size);
}

async function chunked(header, { version, at }, type, spec) {
  const { view, content } = header;
  if (version !== 3) throw new Unsure(UNUSUAL);
  const rank = view.getUint8(at) - 1;
  const shape = Array.from({ length: rank + 1 }, (_, i) => view.getUint32(at + 9 + 4 * i, true));
  const width = shape.pop();
  const size = shape.reduce((product, side) => product * side, type.size);
  if (rank !== 2 || size > spec.most_bytes) throw new Refused("unsupported_storage.large");
  if (width !== type.size || !size) throw new Unsure(UNUSUAL);
  const filters = filtersOf(header);
  const chunks = chunksOf(header, view.getBigUint64(at + 1, true));
  const pixels = filled(header, type, spec);
  const seen = new Set();
  for (const { top, left, skipped, start, length } of chunks) {
    const place = `${top} ${left}`;
    if (skipped || start + length > content.length) throw new Refused("hdf5_damaged.chunks");
    need(top % shape[0] === 0 && left % shape[1] === 0 && !seen.has(place));
    seen.add(place);
    const raw = await unfiltered(content.slice(start, start + length), filters, size, type.size);
    if (raw.length !== size) throw new Refused("hdf5_damaged.chunk");
    const chunk = numbers(raw, type);
    const columns = Math.max(0, Math.min(shape[1], spec.width - left));
    for (let row = 0; columns && row < shape[0] && top + row < spec.height; row += 1) {
      pixels.set(chunk.subarray(row * shape[1], row * shape[1] + columns), (top + row) * spec.width + left);
    }
  }
  return pixels;
}

/** The numbers of the filters in the order of writing. */
function filtersOf(header) {
  if (!header.has("filters")) return [];
  const { view } = header;
  let at = header.at("filters");
  const version = view.getUint8(at);
  const count = view.getUint8(at + 1);
  need(version === 1 || version === 2);
  at += version === 1 ? 8 : 2;
  const filters = [];
  for (let i = 0; i < count; i += 1) {
    const filter = view.getUint16(at, true);
    const isNamed = version === 1 || filter > 255;
    const name = isNamed ? view.getUint16(at + 2, true) : 0;
    const values = view.getUint16(at + (isNamed ? 6 : 4), true);
    at += (isNamed ? 8 : 6) + (version === 1 ? Math.ceil(name / 8) * 8 : name) + 4 * values;
    if (version === 1 && values % 2) at += 4;
    filters.push(filter);
  }
  const known = new Set(filters.filter((filter) => filter === DEFLATE || filter === SHUFFLE));
  if (known.size !== filters.length) throw new Refused("unsupported_filter");
  return filters;
}

/** The chunks that a version 1 B-tree lists: {top, left, skipped, start, length}. */
function chunksOf({ view }, root) {
  const chunks = [];
  const nodes = root === NOWHERE ? [] : [Number(root)];
  const seen = new Set(nodes);
  while (nodes.length) {
    const node = nodes.pop();
    const keys = chunkKeys(view, node, node === Number(root));
    for (const key of keys) {
      if (view.getUint8(node + 5)) {
        need(!seen.has(key.start));
        seen.add(key.start);
        nodes.push(key.start);
      } else {
        chunks.push(key);
      }
      if (chunks.length > RULES.most_chunks) {
        throw new Refused("unsupported_storage.many", { most: String(RULES.most_chunks) });
      }
    }
  }
  return chunks;
}

/** The keys of a node and where each leads; they are in order, and one more key closes the node. */
function chunkKeys(view, node, isRoot) {
  const long = (at) => Number(view.getBigUint64(at, true));
  need(view.getUint32(node, false) === 0x54524545 && view.getUint8(node + 4) === 1);
  need(!isRoot || (view.getBigUint64(node + 8, true) === NOWHERE && view.getBigUint64(node + 16, true) === NOWHERE));
  const used = view.getUint16(node + 6, true);
  const keys = Array.from({ length: used + 1 }, (_, i) => {
    const at = node + 24 + 40 * i;  // size, filter mask, three offsets; then the child's address
    const start = i < used ? long(at + 32) : 0;
    return {
      length: view.getUint32(at, true), skipped: view.getUint32(at + 4, true),
      top: long(at + 8), left: long(at + 16), inItem: long(at + 24), start,
    };
  });
  keys.slice(1).forEach((key, position) => {
    const before = keys[position];
    need(key.top < 2 ** 32 && key.left < 2 ** 32);
    const [nearer, further] = [before, key].map(({ top, left, inItem }) => [top, left, inItem]);
    const first = [0, 1, 2].find((i) => nearer[i] !== further[i]);
    need(before.inItem === 0 && nearer[first] < further[first]);
  });
  return keys.slice(0, used);
}

/** The bytes of a chunk with its filters undone. */
async function unfiltered(raw, filters, size, itemSize) {
  for (const filter of [...filters].reverse()) {
    if (filter === DEFLATE) {
      const content = await inflate("deflate", raw, size);
      // Bytes behind the end of the stream look like damage here, but not to the server.
      if (content === null) throw new Unsure("A compressed chunk looks damaged; the server decides.");
      if (content.length !== size) throw new Refused("hdf5_damaged.deflate");
      raw = content;
    } else if (itemSize > 1 && raw.length === size) {
      const count = size / itemSize;
      raw = Uint8Array.from(raw, (_, i) => raw[(i % itemSize) * count + Math.floor(i / itemSize)]);
    }
  }
  return raw;
}

/** Throws Refused for values other than 0 and 1; the advice never turns a 1 into a 0. */
function checkValues(pixels) {
  const others = new Set();
  const right = new Set();
  for (const value of pixels) {
    if (value == 0 || value == 1) right.add(Number(value));  // eslint-disable-line eqeqeq -- 64 bits are BigInt
    else others.add(value);
    if (others.size > RULES.most_values) throw new Refused("wrong_values.many");
  }
  if (!others.size) return;
  const present = [...others, ...(right.has(1) ? [1] : [])].sort((a, b) => (a < b ? -1 : 1)).map(String);
  const last = present.pop();
  const found = present.length ? `the values ${present.join(", ")} and ${last}` : `the value ${last}`;
  throw new Refused(others.size === 1 && right.has(0) ? "wrong_values.one_other" : "wrong_values", { found });
}
