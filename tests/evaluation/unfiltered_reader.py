"""A reader process on a machine whose kernel does not filter system calls."""

from evaluation.archive.hdf5 import explain
from evaluation.sandbox import guards
from evaluation.sandbox import process as reader_process


def main():
    guards.SystemCallFilter.works = lambda self: False
    reader_process.main(explain)
