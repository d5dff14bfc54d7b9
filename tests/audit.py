"""Check every pinned version against the public list of known vulnerabilities; `python -m tests.audit`.

Ends with 1 if the list names one. Where the list cannot be reached, the program says so and ends with 0.
"""

import json
import subprocess
import sys

LOCK = "requirements.txt"
WIDTH = 100


def audit() -> list[dict]:
    """pip-audit's entry for each package of the lock file that the public list knows; empty if it was not reached."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--require-hashes",
        "--disable-pip",
        "-r",
        LOCK,
        "-f",
        "json",
    ]
    try:
        done = subprocess.run(
            [*command, "--progress-spinner", "off"], capture_output=True, text=True, timeout=120
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return []
    return [package for package in packages if "skip_reason" not in package]


def main() -> int:
    packages = audit()
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package["vulns"]
    ]
    if not packages:
        print("!" * WIDTH)
        print("DEPENDENCIES NOT AUDITED: the public list of vulnerabilities could not be reached from here.")
        print("!" * WIDTH)
    for line in lines:
        print(f"KNOWN VULNERABILITY: {line}")
    print(f"Audit of {LOCK}: {len(packages)} packages looked up, {len(lines)} known vulnerabilities.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
