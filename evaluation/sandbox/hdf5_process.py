"""The reader process for archives that take libhdf5: see evaluation.sandbox.process."""

from evaluation.archive.hdf5 import explain
from evaluation.sandbox import process as reader_process


def main() -> None:
    reader_process.main(explain)
