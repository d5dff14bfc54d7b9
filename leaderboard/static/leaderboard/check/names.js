// Which entry of a ZIP archive is which mask, by its name, as evaluation/archive/names.py decides it.
// Names are strings of bytes: one character for each.
"use strict";

class Names {
  constructor(spec) {
    const pattern = ([source, flags]) => new RegExp(source, flags);
    this.spec = spec;
    this.patterns = Object.fromEntries(Object.entries(RULES.patterns).map(([key, each]) => [key, pattern(each)]));
    this.stems = RULES.stems.map(pattern);
    this.first = this.nameOf(0);
    this.last = this.nameOf(spec.patches - 1);
    this.indexOf = new Map(Array.from({ length: spec.patches }, (_, i) => [this.nameOf(i), i]));
    this.chosen = new Map();  // index of the mask: its entry
    this.toRename = new Set();
    this.problems = [];
  }

  nameOf(index) {
    return `${RULES.mask_stem}${index + 1}${RULES.extension}`;
  }

  /** Choose the entry of each mask; what is wrong with the names is in `problems` then. */
  choose(entries) {
    const others = entries.filter((entry) => {
      const index = this.indexOf.get(entry.name);
      const isOther = index === undefined || this.chosen.has(index);
      if (!isOther) this.chosen.set(index, entry);
      return isOther;
    });
    const { surplus, inside } = this.sortOut(others);
    this.folders(inside, surplus);
    this.unexpected(surplus);
    for (let index = 0; index < this.spec.patches; index += 1) {
      if (this.chosen.has(index)) continue;
      const key = this.toRename.has(index) ? "missing_file.misnamed" : "missing_file";
      this.add(key, this.nameOf(index), { found: this.chosen.size });
    }
    return this.chosen;
  }

  add(key, file, values = {}) {
    const { first, last, spec } = this;
    this.problems.push(problem(key, file, { first, last, patches: spec.patches, ...values }));
  }

  sortOut(entries) {
    const surplus = [];
    const inside = [];
    for (const entry of entries) {
      const name = plain(entry.name);
      if (this.patterns.junk.test(name) || (entry.name && !name)) continue;
      const index = this.indexOf.get(name);
      const slash = name.lastIndexOf("/") + 1;
      if (!name || this.patterns.unsafe.test(name)) {
        this.add("unsafe_name", entry.name || "(no name)");
      } else if (slash) {
        inside.push({ entry, folder: name.slice(0, slash), base: name.slice(slash) });
      } else if (index === undefined) {
        surplus.push(entry.name);
      } else if (this.chosen.has(index)) {
        this.add("duplicate_file", entry.name);
      } else {
        this.chosen.set(index, entry);
      }
    }
    return { surplus, inside };
  }

  /** What lies in folders: masks are chosen, to have their content checked too; other files join the surplus. */
  folders(inside, surplus) {
    const masks = new Set(inside.filter(({ base }) => base && this.looksLikeAMask(base)));
    const isWhole = !this.chosen.size && new Set([...masks].map(({ folder }) => folder)).size === 1;
    if (isWhole) {
      const folder = printable([...masks][0].folder);
      this.add("folder_in_archive", folder, { folder });
    }
    for (const each of inside) {
      const { entry, base } = each;
      const index = this.indexOf.get(base);
      const folder = printable(each.folder);
      if (!base) {
        const isEmpty = !inside.some((other) => other.base && other.folder.startsWith(each.folder));
        if (isEmpty) this.add("folder_in_archive.empty", folder, { folder });
        continue;
      }
      if (index === undefined) {
        surplus.push(entry.name);
      } else if (this.chosen.has(index)) {
        this.add("duplicate_file.folder", entry.name, { name: this.nameOf(index), folder });
        continue;
      } else {
        this.chosen.set(index, entry);
      }
      if (masks.has(each) && !isWhole) this.add("folder_in_archive.file", entry.name, { folder });
    }
  }

  /** What a name that is not a mask's may be meant as. */
  guess(name) {
    const text = decoded(baseOf(name), () => "\ufffd").normalize("NFKC").trim();
    let stem = text.replace(this.patterns.hdf5, "");
    const isHdf5 = stem !== text;
    const ending = isHdf5 ? null : this.patterns.ending.exec(stem);
    if (ending) stem = stem.slice(0, ending.index).replace(this.patterns.hdf5, "");
    let start;
    let digits;
    const found = this.stems.map((pattern) => pattern.exec(stem)).find(Boolean);
    if (found) {
      digits = found[1];
      start = found.index + found[0].length - digits.length;
    } else {
      const last = [...stem.matchAll(/\d{1,9}/g)].pop();
      if (!last) return { kind: text, number: null, hdf5: !ending };
      digits = last[0];
      start = last.index;
    }
    const kind = `${stem.slice(0, start)}#${stem.slice(start + digits.length)}${text.slice(stem.length)}`;
    return { kind, number: Number(digits), hdf5: !ending };
  }

  looksLikeAMask(base) {
    const guess = this.guess(base);
    return this.indexOf.has(base) || (guess.hdf5 && guess.number !== null);
  }

  /** One sentence for all files that are named alike and that need the same fix. */
  unexpected(names) {
    const kinds = new Map();
    for (const name of names) {
      const { kind, number, hdf5 } = this.guess(name);
      const key = `${hdf5} ${kind}`;
      if (number === null) this.unnumbered(name, hdf5);
      else if (kinds.has(key)) kinds.get(key).members.push({ name, number });
      else kinds.set(key, { kind, hdf5, members: [{ name, number }] });
    }
    for (const { kind, hdf5, members } of kinds.values()) {
      if (kind === `${RULES.mask_stem}#${RULES.extension}`) this.misnumbered(members);
      else this.misnamed(members, hdf5);
    }
  }

  unnumbered(name, hdf5) {
    let variant = hdf5 && this.chosen.size < this.spec.patches ? "unnumbered" : "other";
    if (this.patterns.archives.test(name)) variant = "archive";
    this.add(`unexpected_file.${variant}`, name);
  }

  /** Names of the right form whose number is not one of the phase, or has leading zeros. */
  misnumbered(members) {
    const isPadded = ({ name, number }) => this.nameOf(number - 1) !== baseOf(name);
    const padded = members.filter(isPadded);
    if (padded.length) {
      const zeros = /(?<!\d)0\d/.test(padded[0].name);
      this.misnamed(padded, true, zeros ? RULES.parts._no_zeros : "");
    }
    for (const { name, number } of members.filter((each) => !isPadded(each))) {
      let variant = number ? "number" : "number_0";
      if (number === 0 && !this.chosen.has(this.spec.patches - 1)) {
        this.toRename.add(this.spec.patches - 1);
        variant = "from_0";
      }
      this.add(`unexpected_file.${variant}`, name);
    }
  }

  /** Names that differ from a mask's in something else than the number. */
  misnamed(members, hdf5, why = "") {
    const { patches } = this.spec;
    const shift = members.some(({ number }) => number === 0) ? 1 : 0;
    const placed = members.map(({ name, number }) => ({ name, index: number + shift - 1 }));
    // Where numbers start at 0 and a mask is missing, names that look right are to be shifted, too.
    const taken = new Set(!shift || this.chosen.size === patches ? this.chosen.keys() : []);
    const renamed = placed.filter(({ index }) => index < patches && !taken.has(index));
    renamed.forEach(({ index }) => this.toRename.add(index));
    if (renamed.length) {
      const right = this.nameOf(renamed[0].index);
      const shown = printable(baseOf(renamed[0].name), 40);
      const values = {
        why: why + (shift ? RULES.parts._start_at_1 : ""), shown, right,
        others: renamed.length > 1 ? RULES.parts._others : "",
      };
      const variant = shown.toLowerCase() === right ? "case" : hdf5 ? "name" : "not_hdf5";
      renamed.forEach(({ name }) => this.add(`unexpected_file.${variant}`, name, values));
    }
    placed.filter(({ index }) => taken.has(index)).forEach(({ name }) => this.add("unexpected_file.there", name));
    placed.filter(({ index }) => index >= patches).forEach(({ name }) => this.add("unexpected_file.beyond", name));
  }
}

/** The name with slashes as ZIP has them, without a leading ./, which says nothing. */
function plain(name) {
  let text = name.replaceAll("\\", "/");
  while (text.startsWith("./")) text = text.slice(2).replace(/^\/+/, "");
  return text;
}

function baseOf(name) {
  const text = plain(name);
  return text.slice(text.lastIndexOf("/") + 1);
}
