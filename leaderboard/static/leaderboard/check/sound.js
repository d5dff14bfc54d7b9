// Is an HDF5 file put together as libhdf5 wants it? jsfive skips what it does not need, so a damaged file could look right.
// Checksums that are wrong are damage; whatever else is odd is left to the server (Unsure).
"use strict";

const ROOT_ENTRY = 56;
const MOST_STEPS = 4096;

function need(isSound) {
  if (!isSound) throw new Unsure(UNUSUAL);
}

/** Check superblock, root group and the headers at the given addresses. */
class Soundness {
  constructor(content) {
    this.content = content;
    this.view = viewOf(content);
    this.steps = 0;
  }

  long(at) {
    return this.view.getBigUint64(at, true);
  }

  isAll(start, stop, value) {
    return this.content.subarray(start, stop).every((byte) => byte === value);
  }

  text(start, stop) {
    return textOf(this.content.subarray(start, stop));
  }

  step() {
    this.steps += 1;
    need(this.steps < MOST_STEPS);
  }

  checkSum(start, stop) {
    if (this.view.getUint32(stop, true) !== lookup3(this.content.subarray(start, stop))) throw new Refused("hdf5_damaged");
  }

  /** The superblock; where it ends in an old one, the root group's entry has to agree with its header. */
  superblock() {
    if (this.view.getUint8(8) >= 2) {
      this.checkSum(0, 44);
      if (this.long(20) !== NOWHERE) this.header(Number(this.long(20)));
      return;
    }
    need(this.isAll(9, 13, 0) && this.isAll(15, 16, 0) && this.isAll(20, 24, 0));
    need(this.view.getUint16(16, true) === 4 && this.view.getUint16(18, true) === 16);
    need(this.long(32) === NOWHERE && this.long(48) === NOWHERE);
    need(this.long(ROOT_ENTRY) === 0n && this.view.getUint32(ROOT_ENTRY + 16, true) < 2 && this.isAll(76, 80, 0));
  }

  /** The links of the root group, whose messages jsfive found. */
  rootGroup(messages) {
    const links = messages.filter((message) => message.get("type") === MESSAGE.linkInfo);
    const tables = messages.filter((message) => message.get("type") === MESSAGE.symbols);
    need(links.length + tables.length === 1);
    if (links.length) {
      const at = links[0].get("offset_to_message");
      const flags = this.view.getUint8(at + 1);
      need(this.view.getUint8(at) === 0 && flags < 4 && this.long(at + 2 + (flags & 1 ? 8 : 0)) === NOWHERE);
      return;
    }
    const at = tables[0].get("offset_to_message");
    const [tree, heap] = [this.long(at), this.long(at + 8)];
    if (this.view.getUint8(8) === 0 && this.view.getUint32(ROOT_ENTRY + 16, true) === 1) {
      need(this.long(ROOT_ENTRY + 24) === tree && this.long(ROOT_ENTRY + 32) === heap);
    }
    this.heap(Number(heap));
    this.groupNode(Number(tree), null, true);
  }

  /** The names of an old group, and the free stretches between them. */
  heap(at) {
    need(this.text(at, at + 4) === "HEAP" && this.isAll(at + 4, at + 8, 0));
    const size = Number(this.long(at + 8));
    this.names = Number(this.long(at + 24));
    this.namesEnd = this.names + size;
    need(this.namesEnd <= this.content.length);
    for (let free = Number(this.long(at + 16)); free !== 1;) {
      this.step();
      need(free + 16 <= size && free % 8 === 0);
      const length = Number(this.long(this.names + free + 8));
      need(length >= 16 && free + length <= size);
      free = Number(this.long(this.names + free));
      need(free !== 0);
    }
  }

  nameAt(offset) {
    const start = this.names + Number(offset);
    const end = start < this.namesEnd ? this.content.indexOf(0, start) : -1;
    need(end >= 0 && end < this.namesEnd);
    return this.text(start, end);
  }

  /** A node of an old group's tree: names are in order, and between the keys beside them. */
  groupNode(at, level, isRoot) {
    this.step();
    need(this.text(at, at + 4) === "TREE" && this.view.getUint8(at + 4) === 0);
    const own = this.view.getUint8(at + 5);
    const used = this.view.getUint16(at + 6, true);
    need((level === null || own === level) && used <= 32 && (!isRoot || this.isAll(at + 8, at + 24, 255)));
    for (let i = 0; i < used; i += 1) {
      const key = at + 24 + 16 * i;
      const child = Number(this.long(key + 8));
      const [left, right] = [this.nameAt(this.long(key)), this.nameAt(this.long(key + 16))];
      need(left < right);
      if (own) this.groupNode(child, own - 1, false);
      else this.groupNames(child, left, right);
    }
  }

  groupNames(at, left, right) {
    this.step();
    need(this.text(at, at + 4) === "SNOD" && this.view.getUint8(at + 4) === 1 && this.view.getUint8(at + 5) === 0);
    const count = this.view.getUint16(at + 6, true);
    need(count > 0 && count <= 8);
    let before = left;
    for (let entry = at + 8; entry < at + 8 + 40 * count; entry += 40) {
      const name = this.nameAt(this.long(entry));
      need(name > before && name <= right && this.isAll(entry + 20, entry + 24, 0));
      before = name;
    }
  }

  /** An object's header: every message inside its block, nothing reserved in use, checksums right. */
  header(at) {
    if (this.text(at, at + 4) === "OHDR") {
      this.newHeader(at);
      return;
    }
    need(this.view.getUint8(at) === 1 && this.view.getUint8(at + 1) === 0 && this.isAll(at + 12, at + 16, 0));
    const blocks = [[at + 16, this.view.getUint32(at + 8, true)]];
    let count = 0;
    for (let block = blocks.pop(); block; block = blocks.pop()) {
      const end = block[0] + block[1];
      need(end <= this.content.length);
      let message = block[0];
      for (; message + 8 <= end; count += 1) {
        this.step();
        const size = this.view.getUint16(message + 2, true);
        const kind = this.view.getUint16(message, true);
        need(kind <= 0x18 && size % 8 === 0 && this.isAll(message + 5, message + 8, 0));
        need(!(this.view.getUint8(message + 4) & 0xc0));
        if (kind === 16) blocks.push([Number(this.long(message + 8)), Number(this.long(message + 16))]);
        message += 8 + size;
      }
      need(message === end);
    }
    need(count === this.view.getUint16(at + 2, true));
  }

  newHeader(at) {
    const flags = this.view.getUint8(at + 5);
    const start = at + 6 + (flags & 32 ? 16 : 0) + (flags & 16 ? 4 : 0);
    const width = 1 << (flags & 3);
    need(width < 8);
    const size = [0, this.view.getUint8(start), this.view.getUint16(start, true), 0, this.view.getUint32(start, true)][width];
    const end = start + width + size;
    this.checkSum(at, end);
    for (let message = start + width; message + 4 <= end;) {
      this.step();
      const skip = 4 + (flags & 4 ? 2 : 0);
      if (this.view.getUint8(message) === 16) {
        const next = Number(this.long(message + skip));
        need(this.text(next, next + 4) === "OCHK");
        this.checkSum(next, next + Number(this.long(message + skip + 8)) - 4);
      }
      message += skip + this.view.getUint16(message + 1, true);
    }
  }
}

/** The checksum of HDF5's metadata: Bob Jenkins' lookup3. */
function lookup3(bytes) {
  const view = viewOf(bytes);
  const rotated = (value, by) => (value << by) | (value >>> (32 - by));
  let a = (0xdeadbeef + bytes.length) | 0;
  let b = a;
  let c = a;
  let at = 0;
  for (; bytes.length - at > 12; at += 12) {
    a = (a + view.getUint32(at, true)) | 0;
    b = (b + view.getUint32(at + 4, true)) | 0;
    c = (c + view.getUint32(at + 8, true)) | 0;
    a = (a - c) ^ rotated(c, 4); c = (c + b) | 0;
    b = (b - a) ^ rotated(a, 6); a = (a + c) | 0;
    c = (c - b) ^ rotated(b, 8); b = (b + a) | 0;
    a = (a - c) ^ rotated(c, 16); c = (c + b) | 0;
    b = (b - a) ^ rotated(a, 19); a = (a + c) | 0;
    c = (c - b) ^ rotated(b, 4); b = (b + a) | 0;
  }
  if (at === bytes.length) return c >>> 0;
  const rest = new Uint8Array(12);
  rest.set(bytes.subarray(at));
  const last = viewOf(rest);
  a = (a + last.getUint32(0, true)) | 0;
  b = (b + last.getUint32(4, true)) | 0;
  c = (c + last.getUint32(8, true)) | 0;
  c = ((c ^ b) - rotated(b, 14)) | 0;
  a = ((a ^ c) - rotated(c, 11)) | 0;
  b = ((b ^ a) - rotated(a, 25)) | 0;
  c = ((c ^ b) - rotated(b, 16)) | 0;
  a = ((a ^ c) - rotated(c, 4)) | 0;
  b = ((b ^ a) - rotated(a, 14)) | 0;
  c = ((c ^ b) - rotated(b, 24)) | 0;
  return c >>> 0;
}
