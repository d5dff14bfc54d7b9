// The directory of a ZIP archive, read by slices with every bound checked, as evaluation/archive/zip_directory.py does.
"use strict";

const STORED = 0;
const DEFLATED = 8;
const ASK64 = 0xffffffff;
const WINDOW = 1 << 20;

/** A file of the visitor, of which a window at a time is in memory. */
class Slices {
  constructor(blob) {
    this.blob = blob;
    this.size = blob.size;
    this.start = this.stop = 0;
  }

  /** The bytes from `start` to `stop`, fewer at the end of the file. */
  async read(start, stop) {
    stop = Math.min(stop, this.size);
    if (start >= stop) return new Uint8Array(0);
    if (start < this.start || stop > this.stop) {
      this.start = start;
      this.stop = Math.min(this.size, Math.max(stop, start + WINDOW));
      try {
        this.bytes = new Uint8Array(await this.blob.slice(this.start, this.stop).arrayBuffer());
      } catch {
        this.stop = this.start;
        throw new Unsure("This browser could not read the file from the disk. Was it moved or changed?");
      }
    }
    return this.bytes.subarray(start - this.start, stop - this.start);
  }
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textOf(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** The entries of the archive: {name, start, stop, method, crc, size, fault}. Throws Refused for the archive as a whole. */
async function readDirectory(slices, mostEntries) {
  const { entries, start, size } = await findDirectory(slices);
  if (entries > mostEntries || size > mostEntries * 512) {
    throw new Refused("too_many_entries", { entries, size, most: mostEntries });
  }
  const listed = walk(await slices.read(start, start + size), entries);
  for (const entry of listed) {
    if (entry.stored === ASK64 || entry.size === ASK64 || entry.offset === ASK64) fillSizes64(entry);
    entry.fault = faultOf(entry);
  }
  await checkLocal(slices, start, listed);
  return listed;
}

async function findDirectory(slices) {
  const content = await withoutPadding(slices);
  const tailStart = Math.max(0, content - 22 - 0xffff);
  const tail = (await slices.read(tailStart, content + 22)).slice();
  const at = textOf(tail).lastIndexOf("PK\x05\x06");
  if (at < 0 || tail.length - at < 22) throw notAZip(textOf(await slices.read(0, 8)));
  const view = viewOf(tail);
  let disk = view.getUint16(at + 4, true) || view.getUint16(at + 6, true);
  let here = view.getUint16(at + 8, true);
  let entries = view.getUint16(at + 10, true);
  let size = view.getUint32(at + 12, true);
  let start = view.getUint32(at + 16, true);
  let end = tailStart + at;
  const stated = end + 22 + view.getUint16(at + 20, true);
  if (stated < content || stated > slices.size) throw new Refused("zip_damaged.behind");
  if (end >= 20 && textOf(await slices.read(end - 20, end - 16)) === "PK\x06\x07") {
    ({ disk, here, entries, size, start, end } = await find64(slices, end - 20));
  }
  if (disk || here !== entries) throw new Refused("zip_damaged.part");
  if (start + size !== end) throw new Refused("zip_damaged.shifted", { expected: start + size, found: end });
  return { entries, start, size };
}

function notAZip(head) {
  for (const [magic, kind] of RULES.formats) {
    if (head.startsWith(magic)) return new Refused("not_a_zip.other", { kind });
  }
  return new Refused(head.startsWith("PK\x03\x04") ? "zip_damaged.cut" : "not_a_zip");
}

/** Where the zeros begin with which tape formats and pipes fill up their last block; the size without any. */
async function withoutPadding(slices) {
  let end = slices.size;
  while (end) {
    const block = await slices.read(Math.max(0, end - 65536), end);
    let kept = block.length;
    while (kept && !block[kept - 1]) kept -= 1;
    end -= block.length - kept;
    if (kept) break;
  }
  return end;
}

async function find64(slices, locator) {
  const pointer = viewOf(await slices.read(locator, locator + 20));
  const at = Number(pointer.getBigUint64(8, true));
  const parts = pointer.getUint32(4, true) || pointer.getUint32(16, true) > 1;
  if (at + 56 > locator || parts) throw new Refused("zip_damaged.zip64");
  const bytes = await slices.read(at, at + 56);
  const view = viewOf(bytes);
  const long = (position) => Number(view.getBigUint64(position, true));
  if (!textOf(bytes).startsWith("PK\x06\x06") || at + 12 + long(4) !== locator) {
    throw new Refused("zip_damaged.zip64");
  }
  return {
    disk: view.getUint32(16, true) || view.getUint32(20, true),
    here: long(24), entries: long(32), size: long(40), start: long(48), end: at,
  };
}

function walk(bytes, entries) {
  const view = viewOf(bytes);
  const listed = [];
  let position = 0;
  for (let i = 0; i < entries && position + 46 <= bytes.length; i += 1) {
    const nameEnd = position + 46 + view.getUint16(position + 28, true);
    const extraEnd = nameEnd + view.getUint16(position + 30, true);
    listed.push({
      signature: view.getUint32(position, true),
      system: view.getUint8(position + 5),
      flags: view.getUint16(position + 8, true),
      method: view.getUint16(position + 10, true),
      crc: view.getUint32(position + 16, true),
      stored: view.getUint32(position + 20, true),
      size: view.getUint32(position + 24, true),
      attributes: view.getUint32(position + 38, true),
      offset: view.getUint32(position + 42, true),
      name: textOf(bytes.subarray(position + 46, nameEnd)),
      extra: bytes.slice(nameEnd, extraEnd),
    });
    position = extraEnd + view.getUint16(position + 32, true);
  }
  if (listed.length !== entries || position !== bytes.length) throw new Refused("zip_damaged.count", { entries });
  if (listed.some((entry) => entry.signature !== 0x02014b50)) throw new Refused("zip_damaged.directory");
  return listed;
}

/** Size, stored size and offset of an entry, each taken from its zip64 field where it is marked so. */
function fillSizes64(entry) {
  const wanted = ["size", "stored", "offset"].filter((field) => entry[field] === ASK64);
  const view = viewOf(entry.extra);
  for (let position = 0; position + 4 <= view.byteLength;) {
    const kind = view.getUint16(position, true);
    const length = view.getUint16(position + 2, true);
    position += 4;
    if (kind === 1 && position + length <= view.byteLength && length >= 8 * wanted.length) {
      wanted.forEach((field, i) => { entry[field] = Number(view.getBigUint64(position + 8 * i, true)); });
      return;
    }
    position += length;
  }
  throw new Refused("zip_damaged.size", {}, entry.name);
}

function isSecret(flags) {
  return flags & (1 | (1 << 6) | (1 << 13));
}

/** What is wrong with an entry by the directory alone: a Refused, or null. */
function faultOf(entry) {
  const kind = (entry.attributes >>> 16) & 0o170000;
  if (isSecret(entry.flags)) return new Refused("encrypted_file");
  if (entry.method !== STORED && entry.method !== DEFLATED) {
    return new Refused("compression_method", { method: String(entry.method) });
  }
  const isSpecial = [3, 19].includes(entry.system) && ![0, 0o100000, 0o040000].includes(kind);
  return isSpecial ? new Refused("not_a_regular_file") : null;
}

/** Where each entry's bytes begin, from the header in front of them, which must not contradict the directory. */
async function checkLocal(slices, limit, listed) {
  if (limit < 30 && listed.length) throw new Refused("zip_damaged.short");
  const agreed = [];
  for (const entry of [...listed].sort((a, b) => a.offset - b.offset)) {
    const isInside = entry.offset + 30 <= limit;
    const header = isInside ? await slices.read(entry.offset, entry.offset + 30 + entry.name.length) : null;
    if (header && agrees(entry, header, limit)) {
      agreed.push(entry);
      if (isSecret(viewOf(header).getUint16(6, true))) entry.fault ??= new Refused("encrypted_file");
    } else {
      entry.fault ??= new Refused("file_damaged.header");
    }
  }
  agreed.slice(1).forEach((entry, i) => {
    if (agreed[i].stop > entry.offset) {
      throw new Refused("overlapping_entries", { other: printable(agreed[i].name) }, entry.name);
    }
  });
}

function agrees(entry, header, limit) {
  const view = viewOf(header);
  const left = (position, value) => [value, 0, ASK64].includes(view.getUint32(position, true));
  entry.start = entry.offset + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  entry.stop = entry.start + entry.stored;
  return view.getUint32(0, true) === 0x04034b50 && entry.stop <= limit
    && view.getUint16(8, true) === entry.method && view.getUint16(26, true) === entry.name.length
    && left(14, entry.crc) && left(18, entry.stored) && left(22, entry.size)
    && textOf(header.subarray(30)) === entry.name;
}

/** A file of the archive, inflated with a bound and checked against the directory. */
async function contentOf(slices, entry, spec) {
  if (entry.fault) throw entry.fault;
  if (entry.size > spec.most_bytes) throw new Refused("file_too_large", { most: spec.most_bytes });
  if (entry.stored > 2 * spec.most_bytes) throw new Unsure("These files take far more room than masks do.");
  const raw = await slices.read(entry.start, entry.stop);
  const content = entry.method === STORED ? raw.slice() : await inflate("deflate-raw", raw, entry.size);
  if (content === null || content.length !== entry.size || crc32(content) !== entry.crc) {
    throw new Refused("file_damaged");
  }
  return content;
}

/** At most `most` + 1 of the inflated bytes, or null where the stream is damaged or goes on behind its end. */
async function inflate(format, raw, most) {
  const stream = new DecompressionStream(format);
  const writer = stream.writable.getWriter();
  const writing = (async () => {
    for (let i = 0; i < raw.length; i += 4096) await writer.write(raw.slice(i, i + 4096));
    await writer.close();
  })();
  writing.catch(() => {});
  const reader = stream.readable.getReader();
  const content = new Uint8Array(most + 1);
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      content.set(value.subarray(0, content.length - length), length);
      length += value.length;
      if (length > most) {
        await reader.cancel();
        return content;
      }
    }
    await writing;
  } catch {
    return null;
  }
  return content.slice(0, length);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let value = i;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
