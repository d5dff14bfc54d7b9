"""Programs of other languages that write a mask as HDF5: each gets `mask_N.raw` (128 × 128 bytes, row by row) and writes `mask_N.h5`.

`make archivers` installs what a Debian machine lacks. Julia, Java and MATLAB have no package there: what is known of their
files is in `corpus.py` (column-major order, user blocks, references, HDF5 1.8 and 1.10 headers).
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.evaluation.archivers import Archiver


@dataclass(frozen=True)
class Writer(Archiver):
    """`problem`: the code of the advice that its files get, where they are not read."""

    problem: str = ""


C = r"""
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        unsigned char mask[128][128];
        char target[200];
        FILE *file = fopen(names[i], "rb");
        if (fread(mask, 1, sizeof mask, file) != sizeof mask) return 1;
        fclose(file);
        snprintf(target, sizeof target, "%.*sh5", (int)(strlen(names[i]) - 3), names[i]);
        hsize_t size[2] = {128, 128}, chunk[2] = {64, 32};
        hid_t access = H5Pcreate(H5P_FILE_ACCESS), made = H5Pcreate(H5P_DATASET_CREATE);
        if (getenv("LATEST")) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
        if (getenv("CHUNKED")) { H5Pset_chunk(made, 2, chunk); H5Pset_shuffle(made); H5Pset_deflate(made, 6); }
        if (getenv("SUMS")) H5Pset_fletcher32(made);
        hid_t h5 = H5Fcreate(target, H5F_ACC_TRUNC, H5P_DEFAULT, access), space = H5Screate_simple(2, size, NULL);
        hid_t data = H5Dcreate2(h5, "mask", getenv("BIG") ? H5T_STD_I64BE : H5T_STD_U8LE, space, H5P_DEFAULT, made, H5P_DEFAULT);
        if (H5Dwrite(data, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, mask) < 0) return 1;
        H5Dclose(data); H5Sclose(space); H5Fclose(h5);
    }
    return 0;
}
"""
COMPILE = "h5cc -include string.h -o write $P"

R_HDF5R = """
library(hdf5r)
for (raw in Sys.glob("mask_*.raw")) {
    mask <- matrix(as.integer(readBin(raw, "raw", 16384)), 128, 128)
    file <- H5File$new(sub("raw$", "h5", raw), mode = "w")
    file[["mask"]] <- mask
    file$close_all()
}
"""

R_RHDF5 = """
library(rhdf5)
for (raw in Sys.glob("mask_*.raw")) {
    mask <- matrix(as.integer(readBin(raw, "raw", 16384)), 128, 128)
    name <- sub("raw$", "h5", raw)
    h5createFile(name)
    h5write(mask, name, "mask")
    h5closeAll()
}
"""

PDL = """
use PDL; use PDL::IO::HDF5;
for my $raw (glob "mask_*.raw") {
    my $mask = zeroes(byte, 128, 128);
    open(my $file, "<:raw", $raw);
    read($file, ${$mask->get_dataref}, 16384);
    $mask->upd_data;
    (my $name = $raw) =~ s/raw$/h5/;
    PDL::IO::HDF5->new(">$name")->dataset("mask")->set($mask, unlimited => 1);
}
"""

H5IMPORT = """
for raw in mask_*.raw; do
    printf 'PATH mask\\nINPUT-CLASS UIN\\nINPUT-SIZE 8\\nRANK 2\\nDIMENSION-SIZES 128 128\\nOUTPUT-CLASS UIN\\nOUTPUT-SIZE 8\\n%b' "$MORE" > c
    h5import $raw -c c -o ${raw%raw}h5
    rm c
done
"""

NCGEN = """
for raw in mask_*.raw; do
    { printf 'netcdf m { dimensions: y = 128; x = 128; variables: ubyte mask(y, x); %b data: mask = ' "$MORE"
      od -An -v -tu1 $raw | tr -s ' \\n' ',' | sed 's/^,//; s/,$//'; echo '; }'; } > m.cdl
    ncgen -k nc4 -o ${raw%raw}h5 m.cdl
    rm m.cdl
done
"""

OCTAVE = """
for file = glob("mask_*.raw")'
    id = fopen(file{1}); mask = fread(id, [128 128], "uint8=>uint8")'; fclose(id);
    save("-hdf5", strrep(file{1}, ".raw", ".h5"), "mask");
end
"""

H5WASM = """
const { existsSync, readFileSync, readdirSync } = require("fs");
const folder = process.env.NODE_PATH.split(":").find((path) => existsSync(path + "/h5wasm"));
import(folder + "/h5wasm/dist/node/hdf5_hl.js").then(async (h5) => {
    await h5.ready;
    for (const raw of readdirSync(".").filter((name) => name.endsWith(".raw"))) {
        const file = new h5.File(raw.replace("raw", "h5"), "w");
        file.create_dataset({ name: "mask", data: new Uint8Array(readFileSync(raw)), shape: [128, 128], ...JSON.parse(process.env.MORE || "{}") });
        file.close();
    }
});
"""
HAS_WASM = "for d in $(echo $NODE_PATH | tr : ' '); do [ ! -d $d/h5wasm ] || exit 0; done; exit 1"


def _c(name: str, variables: str = "", problem: str = "") -> Writer:
    command = f"{COMPILE}; {variables} ./write mask_*.raw"
    return Writer(f"C, {name}", command, "h5cc", "libhdf5-dev", C, ".c", problem)


def _repacked(name: str, options: str, problem: str = "") -> Writer:
    each = f"for f in mask_*.h5; do h5repack {options} $f r; mv r $f; done"
    return Writer(
        f"h5repack, {name}", f"sh -e $P; {each}", "h5repack", "hdf5-tools", H5IMPORT, problem=problem
    )


WRITERS = (
    _c("contiguous"),
    _c("chunked, shuffled, deflated", "CHUNKED=1"),
    _c("with checksums", "CHUNKED=1 SUMS=1", "unsupported_filter"),
    _c("newest format", "LATEST=1"),
    _c("newest format, chunked", "LATEST=1 CHUNKED=1"),
    _c("64 bits, big-endian", "BIG=1"),
    Writer("R, hdf5r", "Rscript $P", "Rscript -e 'library(hdf5r)'", "r-cran-hdf5r", R_HDF5R, ".R"),
    Writer("R, rhdf5", "Rscript $P", "Rscript -e 'library(rhdf5)'", "r-bioc-rhdf5", R_RHDF5, ".R"),
    Writer("Perl, PDL", "perl $P", "perl -MPDL::IO::HDF5 -e 1", "libpdl-io-hdf5-perl", PDL, ".pl"),
    Writer("h5import", "sh -e $P", "h5import", "hdf5-tools", H5IMPORT),
    Writer("h5import, compressed", "MORE='CHUNKED-DIMENSION-SIZES 32 32\\nCOMPRESSION-TYPE GZIP\\nCOMPRESSION-PARAM 9\\n' sh -e $P", "h5import",
           "hdf5-tools", H5IMPORT),
    _repacked("deflated", "-f GZIP=9"),
    _repacked("compact", "-l COMPA"),
    _repacked("newest format", "-L"),
    _repacked("n-bit", "-f NBIT", "unsupported_filter"),
    Writer("netCDF-4", "sh -e $P", "ncgen", "netcdf-bin", NCGEN),
    Writer("netCDF-4, compressed", "MORE='mask:_DeflateLevel = 4; mask:_Shuffle = \"true\"; mask:long_name = \"landslides\";' sh -e $P", "ncgen",
           "netcdf-bin", NCGEN),
    Writer("Octave's save", "octave-cli --no-gui --quiet $P", "octave-cli", "octave", OCTAVE, ".m", problem="not_a_dataset"),
    Writer("JavaScript, h5wasm", "node $P", HAS_WASM, "h5wasm (npm)", H5WASM, ".cjs"),
    Writer("JavaScript, h5wasm, deflated", "MORE='{\"chunks\":[32,32],\"compression\":4}' node $P", HAS_WASM, "h5wasm (npm)", H5WASM,
           ".cjs"),
)  # fmt: skip
