"""The reader process for archives that take libhdf5: see evaluation.reader_process."""

from evaluation import reader_process
from evaluation.hdf5 import explain


def main() -> None:
    reader_process.main(explain)
