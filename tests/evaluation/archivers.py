"""Archivers that people use: for each the command or program that writes the masks of a folder into a ZIP archive.

`make archivers` installs what a Debian machine lacks. A command is run by sh in the folder of the masks, with $T as
the archive to write; a program goes to its interpreter on standard input or as a file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = (ROOT / ".venv/archivers/node_modules", Path("/usr/share/nodejs"))


@dataclass(frozen=True)
class Archiver:
    """`needs`: a program on the PATH, or a command that succeeds where all is installed; `package`: Debian's, or npm's."""

    name: str
    command: str
    needs: str
    package: str
    program: str = ""  # written to $P before the command runs
    suffix: str = ".txt"

    def missing(self) -> str:
        """Why it cannot run here, or ""."""
        found = (
            shutil.which(self.needs) if " " not in self.needs else not _run(self.needs, Path("/")).returncode
        )
        return "" if found else f"not installed: make archivers, or install {self.package}"

    def write(self, masks: Path, target: Path) -> None:
        program = target.with_name(f"Program{self.suffix}")
        program.write_text(self.program)
        done = _run(self.command, masks, T=str(target), P=str(program))
        assert done.returncode == 0, done.stdout + done.stderr


def _run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = (
        os.environ | {"NODE_PATH": ":".join(map(str, NODE_MODULES)), "PYTHON": sys.executable} | variables
    )
    return subprocess.run(
        ["sh", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=90
    )


PERL_ZIP = """
use Archive::Zip qw(:CONSTANTS);
my $zip = Archive::Zip->new();
for (glob "mask_*.h5") {
    my $member = $zip->addFile($_);
    $member->desiredCompressionMethod(COMPRESSION_DEFLATED);
    $member->desiredCompressionLevel($ENV{LEVEL});
}
$zip->writeToFileNamed($ENV{T}) == 0 or die;
"""
PERL_IO = """
use IO::Compress::Zip qw(:all);
zip [glob "mask_*.h5"] => $ENV{T}, Stream => $ENV{STREAM}, Zip64 => $ENV{ZIP64} or die $ZipError;
"""
JAVA = """
import java.io.*; import java.nio.file.*; import java.util.zip.*;
public class Program {
    public static void main(String[] arguments) throws Exception {
        boolean stored = arguments.length > 1;
        try (ZipOutputStream zip = new ZipOutputStream(new FileOutputStream(arguments[0]))) {
            for (int n = 1; n <= 3; n++) {
                byte[] content = Files.readAllBytes(Path.of("mask_" + n + ".h5"));
                ZipEntry entry = new ZipEntry("mask_" + n + ".h5");
                if (stored) {
                    CRC32 crc = new CRC32();
                    crc.update(content);
                    entry.setMethod(ZipEntry.STORED); entry.setSize(content.length); entry.setCrc(crc.getValue());
                }
                zip.putNextEntry(entry); zip.write(content); zip.closeEntry();
            }
        }
    }
}
"""
JAVA_FILE_SYSTEM = """
import java.net.URI; import java.nio.file.*; import java.util.Map;
public class Program {
    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create("jar:" + Path.of(arguments[0]).toUri());
        try (FileSystem zip = FileSystems.newFileSystem(uri, Map.of("create", "true"))) {
            for (int n = 1; n <= 3; n++)
                Files.copy(Path.of("mask_" + n + ".h5"), zip.getPath("/mask_" + n + ".h5"));
        }
    }
}
"""
PYTHON_STREAM = """
import glob, io, os, zipfile
class Pipe(io.RawIOBase):
    def __init__(self, file): self.file = file
    def writable(self): return True
    def write(self, data): return self.file.write(data)
with open(os.environ["T"], "wb") as file, zipfile.ZipFile(Pipe(file), "w", zipfile.ZIP_DEFLATED) as archive:
    for name in glob.glob("mask_*.h5"):
        archive.write(name)
"""
PYTHON_ZIP64 = """
import glob, os, zipfile
with zipfile.ZipFile(os.environ["T"], "w", zipfile.ZIP_DEFLATED) as archive:
    for name in glob.glob("mask_*.h5"):
        with archive.open(name, "w", force_zip64=True) as file:
            file.write(open(name, "rb").read())
"""
TCL = """
package require zipfile::mkzip
zipfile::mkzip::mkzip $env(T) -directory [pwd]
"""
RUBY = """
require "zip"
Zip.write_zip64_support = ENV["ZIP64"] == "1"
Zip::File.open(ENV["T"], Zip::File::CREATE) { |zip| Dir["mask_*.h5"].each { |name| zip.add(name, name) } }
"""
RUBY_STREAM = """
require "zip"
File.open(ENV["T"], "wb") do |file|
  buffer = Zip::OutputStream.write_buffer(file) do |zip|
    Dir["mask_*.h5"].each { |name| zip.put_next_entry(name); zip.write(File.binread(name)) }
  end
end
"""
PHP = """<?php
$zip = new ZipArchive();
$zip->open(getenv("T"), ZipArchive::CREATE) === true or exit(1);
foreach (glob("mask_*.h5") as $name) { $zip->addFile($name); }
$zip->close() or exit(1);
"""
GO = """
package main
import ("archive/zip"; "os"; "path/filepath")
func main() {
    file, err := os.Create(os.Getenv("T")); if err != nil { panic(err) }
    writer := zip.NewWriter(file)
    names, _ := filepath.Glob("mask_*.h5")
    for _, name := range names {
        content, err := os.ReadFile(name); if err != nil { panic(err) }
        entry, err := writer.Create(name); if err != nil { panic(err) }
        if _, err := entry.Write(content); err != nil { panic(err) }
    }
    if err := writer.Close(); err != nil { panic(err) }
}
"""
NODE_START = """
const fs = require("fs"), { T } = process.env;
const names = fs.readdirSync(".").filter(name => name.startsWith("mask_"));
process.on("unhandledRejection", error => { throw error; });
"""
JSZIP = """
const JSZip = require("jszip"), zip = new JSZip();
for (const name of names) zip.file(name, fs.readFileSync(name));
const options = { type: "nodebuffer", compression: "DEFLATE", streamFiles: process.env.STREAM === "1" };
zip.generateAsync(options).then(content => fs.writeFileSync(T, content));
"""
YAZL = """
const zip = new (require("yazl").ZipFile)();
for (const name of names) process.env.STREAM === "1"
    ? zip.addReadStream(fs.createReadStream(name), name) : zip.addFile(name, name);
zip.outputStream.pipe(fs.createWriteStream(T));
zip.end(process.env.ZIP64 === "1" ? { forceZip64Format: true } : {});
"""
ARCHIVER = """
const library = require("archiver");
const zip = library.ZipArchive ? new library.ZipArchive() : library("zip");
zip.pipe(fs.createWriteStream(T));
for (const name of names) zip.file(name, { name });
zip.finalize();
"""
ADM_ZIP = """
const zip = new (require("adm-zip"))();
for (const name of names) zip.addLocalFile(name);
zip.writeZip(T);
"""
FFLATE = """
const files = Object.fromEntries(names.map(name => [name, new Uint8Array(fs.readFileSync(name))]));
fs.writeFileSync(T, require("fflate").zipSync(files));
"""
FFLATE_STREAM = """
const { Zip, ZipDeflate } = require("fflate"), parts = [];
const zip = new Zip((error, part, last) => {
    if (error) throw error;
    parts.push(part);
    if (last) fs.writeFileSync(T, Buffer.concat(parts));
});
for (const name of names) {
    const file = new ZipDeflate(name); zip.add(file); file.push(new Uint8Array(fs.readFileSync(name)), true);
}
zip.end();
"""
ZIP_JS = """
const { ZipWriter, Uint8ArrayWriter, Uint8ArrayReader, configure } = require("@zip.js/zip.js");
configure({ useWebWorkers: false });
(async () => {
    const writer = new ZipWriter(new Uint8ArrayWriter(), JSON.parse(process.env.OPTIONS));
    for (const name of names) await writer.add(name, new Uint8ArrayReader(new Uint8Array(fs.readFileSync(name))));
    fs.writeFileSync(T, await writer.close());
})();
"""


def _perl(level: int) -> Archiver:
    return Archiver(
        f"Perl Archive::Zip at level {level}",
        f"LEVEL={level} perl $P",
        "perl -MArchive::Zip -e 1",
        "libarchive-zip-perl",
        PERL_ZIP,
    )


def _node(name: str, library: str, program: str, variables: str = "") -> Archiver:
    needs = f"node -e 'require(\"{library}\")'"
    return Archiver(name, f"{variables} node $P", needs, f"npm's {library}", NODE_START + program, ".js")


ZIP, SEVEN, LIBARCHIVE, JDK = "zip", "7zip", "libarchive-tools", "default-jdk-headless"
ARCHIVERS = [
    Archiver("Info-ZIP", "zip -q $T mask_*.h5", "zip", ZIP),
    Archiver("Info-ZIP, stored", "zip -q -0 $T mask_*.h5", "zip", ZIP),
    Archiver("Info-ZIP, best", "zip -q -9 -X $T mask_*.h5", "zip", ZIP),
    Archiver("Info-ZIP, streamed", "zip -q - mask_*.h5 | cat > $T", "zip", ZIP),
    Archiver("Info-ZIP, data descriptors", "zip -q -fd $T mask_*.h5", "zip", ZIP),
    Archiver("Info-ZIP, zip64", "zip -q -fz $T mask_*.h5", "zip", ZIP),
    Archiver("Info-ZIP, the folder's contents", "zip -q -r $T . -i 'mask_*.h5'", "zip", ZIP),
    Archiver("Info-ZIP, from standard input", "ls mask_*.h5 | zip -q $T -@", "zip", ZIP),
    Archiver("7-Zip", "7z a -tzip $T mask_*.h5", "7z", SEVEN),
    Archiver("7-Zip, best", "7z a -tzip -mx=9 $T ./mask_*.h5", "7z", SEVEN),
    Archiver("7-Zip, stored", "7z a -tzip -mx=0 $T mask_*.h5", "7z", SEVEN),
    Archiver("7-Zip, UTF-8 names", "7z a -tzip -mcu=on $T mask_*.h5", "7z", SEVEN),
    Archiver("bsdtar", "bsdtar -a -cf $T mask_*.h5", "bsdtar", LIBARCHIVE),
    Archiver("bsdtar, the folder", "bsdtar -a -cf $T .", "bsdtar", LIBARCHIVE),
    Archiver("bsdtar, streamed", "bsdtar -cf - --format zip mask_*.h5 | cat > $T", "bsdtar", LIBARCHIVE),
    Archiver(
        "bsdtar, stored", "bsdtar -cf $T --format zip --options compression=store *", "bsdtar", LIBARCHIVE
    ),
    Archiver("CMake", "cmake -E tar cf $T --format=zip mask_1.h5 mask_2.h5 mask_3.h5", "cmake", "cmake"),
    *map(_perl, (1, 6, 8, 9)),
    *(
        Archiver(
            f"Perl IO::Compress::Zip{kind}",
            f"{variables} perl $P",
            "perl -MIO::Compress::Zip -e 1",
            "perl",
            PERL_IO,
        )
        for kind, variables in (
            ("", "STREAM=0 ZIP64=0"),
            (", streamed", "STREAM=1 ZIP64=0"),
            (", zip64", "STREAM=1 ZIP64=1"),
        )
    ),
    Archiver("Java's jar", "jar cMf $T mask_*.h5", "jar", JDK),
    Archiver("Java's jar, with a manifest", "jar cf $T mask_*.h5", "jar", JDK),
    Archiver("Java's jar, stored", "jar c0Mf $T mask_*.h5", "jar", JDK),
    Archiver("Java's jar, the folder", "jar cMf $T .", "jar", JDK),
    Archiver("Java's ZipOutputStream", "java $P $T", "jar", JDK, JAVA, ".java"),
    Archiver("Java's ZipOutputStream, stored", "java $P $T stored", "jar", JDK, JAVA, ".java"),
    Archiver("Java's zip file system", "java $P $T", "jar", JDK, JAVA_FILE_SYSTEM, ".java"),
    Archiver("fastjar", "fastjar cMf $T mask_*.h5", "fastjar", "fastjar"),
    Archiver(
        "Git",
        "git init -q r && cp mask_* r && cd r && git add . && git -c user.name=a -c user.email=a@b commit "
        "-qm x && git archive --format=zip -o $T HEAD && cd .. && rm -rf r",
        "git",
        "git",
    ),
    Archiver("python -m zipfile", "$PYTHON -m zipfile -c $T mask_*.h5", "sh", "python3"),
    Archiver(
        "Python's shutil",
        "$PYTHON -c \"import os, shutil; print(shutil.make_archive(os.environ['T'][:-4], 'zip'))\"",
        "sh",
        "python3",
    ),
    Archiver("Python, streamed", "$PYTHON $P", "sh", "python3", PYTHON_STREAM),
    Archiver("Python, zip64", "$PYTHON $P", "sh", "python3", PYTHON_ZIP64),
    Archiver(
        "libzip's ziptool",
        "ziptool -n $T add_file mask_1.h5 mask_1.h5 0 0 add_file mask_2.h5 mask_2.h5 0 0 "
        "add_file mask_3.h5 mask_3.h5 0 0",
        "ziptool",
        "ziptool",
    ),
    Archiver("minizip", "minizip -o $T mask_1.h5 mask_2.h5 mask_3.h5", "minizip", "minizip"),
    Archiver("AdvanceCOMP", "zip -q $T mask_*.h5 && advzip -z -4 $T", "advzip", "advancecomp"),
    Archiver("zipalign", "zip -q $T.old mask_*.h5 && zipalign 4 $T.old $T", "zipalign", "zipalign"),
    Archiver(
        "strip-nondeterminism",
        "zip -q $T mask_*.h5 && strip-nondeterminism -t zip $T",
        "strip-nondeterminism",
        "strip-nondeterminism",
    ),
    Archiver(
        "Tcl",
        "tclsh $P",
        "command -v tclsh && ! echo 'package require zipfile::mkzip' | tclsh 2>&1 | grep -q find",
        "tcllib",
        TCL,
    ),
    Archiver("Ruby", "ruby $P", "ruby -e 'require \"zip\"'", "ruby-zip", RUBY),
    Archiver("Ruby, zip64", "ZIP64=1 ruby $P", "ruby -e 'require \"zip\"'", "ruby-zip", RUBY),
    Archiver("Ruby, streamed", "ruby $P", "ruby -e 'require \"zip\"'", "ruby-zip", RUBY_STREAM),
    Archiver("PHP", "php $P", "php -r 'new ZipArchive();'", "php-zip", PHP),
    Archiver(
        "R",
        'Rscript -e \'utils::zip(Sys.getenv("T"), list.files(pattern = "^mask_"), "-q")\'',
        "Rscript",
        "r-base-core",
    ),
    Archiver("Go", "GOCACHE=$T.cache go run $P", "go", "golang-go", GO, ".go"),
    Archiver(
        "Erlang",
        'erl -noshell -eval \'{ok, _} = zip:create(os:getenv("T"), filelib:wildcard("mask_*.h5")), halt().\'',
        "erl",
        "erlang-base",
    ),
    _node("JSZip", "jszip", JSZIP),
    _node("JSZip, streamed", "jszip", JSZIP, "STREAM=1"),
    _node("yazl", "yazl", YAZL),
    _node("yazl, streamed", "yazl", YAZL, "STREAM=1"),
    _node("yazl, zip64", "yazl", YAZL, "ZIP64=1"),
    _node("archiver", "archiver", ARCHIVER),
    _node("adm-zip", "adm-zip", ADM_ZIP),
    _node("fflate", "fflate", FFLATE),
    _node("fflate, streamed", "fflate", FFLATE_STREAM),
    _node("zip.js", "@zip.js/zip.js", ZIP_JS, "OPTIONS='{}'"),
    _node(
        "zip.js, without data descriptors", "@zip.js/zip.js", ZIP_JS, "OPTIONS='{\"dataDescriptor\": false}'"
    ),
    _node("zip.js, zip64", "@zip.js/zip.js", ZIP_JS, "OPTIONS='{\"zip64\": true}'"),
]
