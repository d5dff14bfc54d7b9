// Checks one archive in a worker and posts what it finds: {progress} while masks are read, then {verdict}; or {failed}.
"use strict";

self.onmessage = async ({ data: { file, spec, rules, scripts, mostBytes } }) => {
  try {
    importScripts(...scripts.parts);
  } catch {  // they did not load, or the page ended this worker meanwhile
    postMessage({ failed: true });
    return;
  }
  RULES = rules;
  postMessage({ verdict: await checkArchive(file, spec, mostBytes, scripts.hdf5) });
};

/** What is known of an archive: problems as the server lists them; `unchecked` files, with the reason why this page cannot
    judge them; how many masks were found by name, how many of them were read, and how many are faulty. */
async function checkArchive(file, spec, mostBytes, library) {
  const verdict = { problems: [], unchecked: [], found: 0, read: 0, faulty: 0 };
  try {
    if (!file.size) throw new Refused("empty_file");
    if (file.size > mostBytes) throw new Refused("too_large", { size: file.size, limit: mostBytes });
    const slices = new Slices(file);
    const entries = await readDirectory(slices, spec.most_entries);
    const names = new Names(spec);
    const chosen = names.choose(entries);
    verdict.found = chosen.size;
    verdict.problems = names.problems;
    postMessage({ progress: summary(verdict) });
    await readMasks(slices, chosen, spec, verdict, library);
  } catch (error) {
    verdict.problems.push(...note(error, "", verdict));
  }
  return summary(verdict);
}

/** Read every mask, in the order in which they lie in the file. */
async function readMasks(slices, chosen, spec, verdict, library) {
  if (typeof DecompressionStream === "undefined") {
    verdict.unchecked.push({ file: "", reason: "This browser cannot unpack files, so the masks were not read." });
    return;
  }
  importScripts(library);
  const faults = new Map();
  const order = [...chosen].sort(([, a], [, b]) => a.start - b.start);
  let told = performance.now();
  for (const [index, entry] of order) {
    try {
      await checkMask(await contentOf(slices, entry, spec), spec);
    } catch (error) {
      faults.set(index, note(error, entry.name, verdict));
      verdict.faulty += faults.get(index).length;
    }
    verdict.read += 1;
    if (performance.now() - told > 60) {
      told = performance.now();
      postMessage({ progress: summary(verdict) });
    }
  }
  const sorted = [...faults].sort(([a], [b]) => a - b);
  verdict.problems.push(...sorted.flatMap(([, problems]) => problems));
}

/** The problem that an error stands for, as a list; what could not be judged goes to `unchecked` instead. */
function note(error, file, verdict) {
  if (error instanceof Refused) return [problem(error.key, error.file || file, error.values)];
  const reason = error instanceof Unsure ? error.message : "Reading it failed in this browser.";
  verdict.unchecked.push({ file: printable(file), reason });
  return [];
}

function summary(verdict) {
  return { ...verdict, problems: capped(grouped(verdict.problems)) };
}
