"""The sentences about an archive, in one table that the server and the check in the browser both read.

A key is a code of evaluation.archive.problems, or a code with a variant behind a dot. `{name}` is replaced by a value,
and `{_name}` by a part, a sentence that several share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from evaluation.task import TASK

_VALUES = f"expected 0 ({TASK.classes[0]}) and 1 ({TASK.classes[1]})"

PARTS = {
    "_again": "Create the ZIP archive again and upload it.",
    "_expected": "expected {first} to {last} and nothing else",
    "_others": ", and the others likewise",
    "_plain": f'Write it with create_dataset("{TASK.mask_dataset}", data=mask), mask of type uint8.',
    "_start_at_1": "The numbers start at 1. ",
    "_no_zeros": "The numbers have no leading zeros. ",
    "_zip_the_files": f"Zip the mask files themselves: cd predictions && zip ../submission.zip {TASK.mask_name('*')}",
}

SENTENCES = {
    # The archive as a whole
    "too_large": "The archive has {size} bytes, the limit is {limit}. "
    "Write the masks as uint8 and compress the ZIP (800 such masks need less than 1 MB).",
    "empty_file": "The file is empty. Upload the ZIP archive of your masks.",
    "not_a_zip": "This is not a ZIP archive. Upload one ZIP archive that holds all mask files.",
    "not_a_zip.other": "This is {kind}, expected a ZIP archive of all mask files. Zip them.",
    "zip_damaged.cut": "The ZIP archive has no end: it was cut off. {_again}",
    "zip_damaged.behind": "Extra bytes follow the ZIP archive. {_again}",
    "zip_damaged.part": "The ZIP archive is one part of several. {_again}",
    "zip_damaged.shifted": "The ZIP archive's directory should end at byte {expected}, but ends at {found}: bytes were "
    "added in front of the archive, or some are lost. {_again}",
    "zip_damaged.zip64": "The ZIP archive's zip64 record is damaged. {_again}",
    "zip_damaged.count": "The ZIP archive's directory does not hold the {entries} entries it states. {_again}",
    "zip_damaged.directory": "The ZIP archive's directory is damaged. {_again}",
    "zip_damaged.size": "The size of an entry is missing (zip64). {_again}",
    "zip_damaged.short": "The ZIP archive is too short for its entries. {_again}",
    "too_many_entries": "The archive lists {entries} entries in {size} bytes, at most {most} are read. "
    "Zip the mask files and nothing else.",
    "overlapping_entries": "This entry shares bytes with {other}: the archive would unpack to more than it holds. {_again}",
    "folder_in_archive": "The masks lie in the folder {folder} inside the ZIP archive, expected directly in it. "
    "{_zip_the_files}",
    "folder_in_archive.file": "This file lies in the folder {folder} inside the ZIP archive, expected directly in it. "
    "{_zip_the_files}",
    "folder_in_archive.empty": "The archive holds the folder {folder}, expected mask files only. {_zip_the_files}",
    # The names in it
    "missing_file": "Missing: the archive holds {found} of {patches} masks. "
    "Predict every image of the phase, and check that the archive is meant for this phase.",
    "missing_file.misnamed": "Missing: the archive holds {found} of {patches} masks. "
    "It is there under another name: rename the files listed as unexpected.",
    "unsafe_name": "The name is not a plain file name, expected {first} and so on. {_zip_the_files}",
    "duplicate_file": "The archive holds this name more than once, expected one file per patch. Zip the files again.",
    "duplicate_file.folder": "The archive holds {name} more than once, one of them in the folder {folder}. "
    "Leave one of them out.",
    "unexpected_file.other": "This file is not a mask of the phase; {_expected}. Leave it out.",
    "unexpected_file.archive": "This file is not a mask of the phase; {_expected}. "
    "An archive inside the archive is not opened: zip the mask files themselves.",
    "unexpected_file.unnumbered": "This file is not a mask of the phase; {_expected}. If it is a mask, rename it by the "
    f"number of its image: {TASK.image_name(17)} belongs to {TASK.mask_name(17)}.",
    "unexpected_file.from_0": "This number is not one of the phase; {_expected}. "
    f"The numbers start at 1: rename {TASK.mask_name(0)} to {{first}} and so on up to {{last}}, the highest number first.",
    "unexpected_file.number_0": "This number is not one of the phase; {_expected}. "
    "The numbers start at 1, and all of {first} to {last} are there: leave this file out.",
    "unexpected_file.number": "This number is not one of the phase; {_expected}. The phase has {patches} patches: check "
    "that you predicted the images of this phase, and that the archive is not meant for another phase.",
    "unexpected_file.case": "This name is not a mask's; {_expected}. {why}"
    "Names are in lower case: rename it to {right}{others}.",
    "unexpected_file.name": "This name is not a mask's; {_expected}. {why}Rename {shown} to {right}{others}.",
    "unexpected_file.not_hdf5": "This name is not a mask's; {_expected}. {why}A mask is an HDF5 file: instead of {shown} "
    "write {right} with h5py{others}, or rename it if it is HDF5 already.",
    "unexpected_file.there": "This file is not a mask; {_expected}. The mask of its number is in the archive too: "
    "leave this file out.",
    "unexpected_file.beyond": "This file is not a mask of the phase; {_expected}. Its number is above {patches}: check "
    "that the archive is meant for this phase, and name the masks {first} and so on.",
    # An entry
    "not_a_regular_file": "This entry is a symbolic link or another special file, expected the mask file itself. "
    "Zip the files that the links point to.",
    "encrypted_file": "The file is protected by a password. Zip the files without one.",
    "compression_method": "Compressed by method {method}, expected deflate (8) or none (0). "
    "Zip the files with the usual settings.",
    "file_too_large": "The file is larger than a mask file can be ({most} bytes). Write the mask alone, as uint8.",
    "file_damaged": "The file's size or checksum is not what the archive states: it was damaged on the way. "
    "Create the ZIP archive again and upload it.",
    "file_damaged.header": "The archive's directory and the file's own header contradict each other. {_again}",
    # A mask file
    "not_hdf5": "The file does not begin as an HDF5 file does. Write the mask with h5py.",
    "user_block": "The HDF5 file begins with a user block of {size} bytes, as MATLAB's save writes it; expected none. "
    "In MATLAB use h5create and h5write with the transposed mask instead of save; in h5py leave "
    "userblock_size out; or remove the block with HDF5's program h5unjam.",
    "hdf5_damaged": "The HDF5 file is cut off or damaged. Write it again, and close it before you zip it.",
    "hdf5_damaged.short": "The file refers to pixels that it does not contain. {_plain}",
    "hdf5_damaged.chunks": "The chunks of the mask contradict each other. {_plain}",
    "hdf5_damaged.chunk": "A chunk of the mask is shorter than stated. {_plain}",
    "hdf5_damaged.deflate": "A compressed chunk of the mask is damaged. {_plain}",
    "dataset_missing": f"There is no dataset named {TASK.mask_dataset}, only {{names}}. {{_plain}}",
    "dataset_missing.empty": f"The file is empty, expected a dataset named {TASK.mask_dataset}. {{_plain}}",
    "dataset_is_link": f"{TASK.mask_dataset} is a soft or external link, expected the dataset itself. {{_plain}}",
    "not_a_dataset": f"{TASK.mask_dataset} is a group or a type, expected a dataset. {{_plain}}",
    "virtual_dataset": "The mask is a virtual dataset, which points at other files. {_plain}",
    "external_storage": "The mask's pixels are stored in another file. {_plain}",
    "unsupported_storage": "The mask's pixels are stored in an unusual way. {_plain}",
    "unsupported_storage.large": "The mask's chunks are larger than a mask. {_plain}",
    "unsupported_storage.many": "The mask has more than {most} chunks. {_plain}",
    "unsupported_filter": "The mask is compressed or checked by an unsupported HDF5 filter; gzip and shuffle are supported. "
    "{_plain}",
    "wrong_type": "The mask does not hold integers, expected 0 and 1 as uint8. {_plain}",
    "wrong_type.float": "The mask holds floating-point numbers, expected integers 0 and 1. Threshold first: "
    '(probability > 0.5).astype("uint8").',
    "wrong_shape": "The mask's shape is {found}, expected {height}x{width}: one class per pixel, no further axes, "
    "the size of the patch.",
    "wrong_values": f"The mask holds {{found}}, {_VALUES}. Write 0 and 1 only.",
    "wrong_values.one_other": f"The mask holds {{found}}, {_VALUES}. If every value but 0 means {TASK.positive}, write "
    '(mask != 0).astype("uint8"); otherwise write 0 and 1 only.',
    "wrong_values.many": f"The mask holds many values, {_VALUES}. Apply a threshold first, and write 0 and 1 only.",
    # The organiser's labels
    "no_positive_pixel": "No pixel of these labels is positive, so no submission could score. "
    f"Check that the masks hold 1 for {TASK.positive}.",
    "labels_too_large": "{patches} masks of {height} x {width} pixels are more than the {most} pixels that a label set may "
    "have. Use smaller patches, or fewer.",
    "labels_too_large.mask": "The masks have {height} x {width} pixels, at most {most} are taken. Cut the scene into "
    "smaller patches.",
    "labels_too_large.masks": "The archive holds {found} masks, at most {most} are taken. Split them into several phases.",
    "labels_too_large.bytes": "The labels have {size} bytes, at most {most} are taken. Write the masks as uint8.",
    "labels_too_large.packed": "The masks have {height} x {width} pixels, expected a multiple of 8 (masks are kept as "
    "one bit a pixel). Use patches such as 128 x 128.",
    # The list itself
    "more_problems": "{total} more problems are not shown: {kinds}.",
    "more_problems.one": "1 more problem is not shown: {kinds}.",
    # The server
    "unreadable": "The archive could not be read safely: reading it failed or exceeded the limits on time and memory. "
    f'Write every mask with h5py\'s defaults, create_dataset("{TASK.mask_dataset}", data=mask), zip the files '
    "again, and upload the archive.",
    "archive_lost": "The server no longer has this archive as it received it. The fault is the server's, not that of your "
    "archive. Nothing was taken from your quota, and the organisers have been notified: they can restore the file and score "
    "it. While the phase is open you can also submit the same file again.",
    "evaluation_crashed": "The evaluation failed three times through no fault of yours. Nothing was taken from your quota; "
    "the organisers have been notified.",
    "internal_error": "An error occurred on the server. Nothing was taken from your quota; please try again later.",
}

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def sentence(key: str, values: Mapping[str, object]) -> str:
    """The sentence `key` with its values: integers with thousands separated, all else as it is.

    Raises KeyError for a key that the table does not have, and for a value that is missing.
    """

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("_"):
            return _PLACEHOLDER.sub(fill, PARTS[name])
        value = values[name]
        return f"{value:,}" if isinstance(value, int) else str(value)

    return _PLACEHOLDER.sub(fill, SENTENCES[key])


def code_of(key: str) -> str:
    """The code of the table of problems to which a sentence belongs."""
    return key.partition(".")[0]
