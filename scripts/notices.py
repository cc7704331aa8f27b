#!/usr/bin/env python3
"""Writes the licences of the code linked into the C library, the Python module and the Node addon.

notices.py          writes THIRD-PARTY-LICENSES beside the Cargo.toml of each of the three
notices.py --check  compares those files with what it would write; exit status 1 and their names if they differ

A crate counts if the crate of the package, or a crate that counts, uses it at run time on Linux: code that runs only
during the build is not in the library. The crates bring the texts; where a crate leaves the choice, MIT's.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"aidb-ffi": "ffi", "aidb-python": "bindings/python", "aidb-node": "bindings/node"}
FILE = "THIRD-PARTY-LICENSES"
PLATFORM = "x86_64-unknown-linux-gnu"
RULE = "-" * 100

MIT_WORDS = "Permission is hereby granted, free of charge"
GPL_WORDS = "GNU GENERAL PUBLIC LICENSE"
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom
the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""

# It is not in Cargo.lock, and its own crates change with the toolchain.
STANDARD_LIBRARY = "Rust's standard library, and the crates that it contains (MIT OR Apache-2.0)"


def main() -> int:
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", PLATFORM],
            cwd=ROOT, check=True, stdout=subprocess.PIPE,
        ).stdout
    )
    stale = []
    for package, directory in PACKAGES.items():
        path = ROOT / directory / FILE
        text = notices(metadata, package)
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        print(f"{', '.join(stale)}: do not match Cargo.lock; run scripts/notices.py", file=sys.stderr)
    return bool(stale)


def notices(metadata: dict, package: str) -> str:
    """The whole file for `package`: a list of the linked code, then each text once."""
    crates = linked(metadata, package)
    lines = [f"{crate['name']} {crate['version']} ({licence(crate)})" for crate in crates]
    texts: dict[str, list[str]] = {}
    for crate in crates:
        for text in licence_texts(crate):
            texts.setdefault(text, []).append(f"{crate['name']} {crate['version']}")
    texts.setdefault(f"Copyright (c) The Rust Project Contributors\n\n{MIT}", []).append(STANDARD_LIBRARY)
    parts = ["AiDb is licensed under MIT or Apache-2.0. This file names what else its compiled form contains, with the licences.",
             "\n".join([*lines, STANDARD_LIBRARY])]
    for text, names in texts.items():
        parts.append(f"{RULE}\n{chr(10).join(names)}\n{RULE}")
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def linked(metadata: dict, package: str) -> list[dict]:
    """The crates linked into `package`, sorted, without those of this checkout."""
    crates = {crate["id"]: crate for crate in metadata["packages"]}
    uses = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]
    }
    waiting = [crate["id"] for crate in crates.values() if crate["name"] == package]
    seen: set[str] = set()
    while waiting:
        crate = waiting.pop()
        is_macro = any("proc-macro" in target["kind"] for target in crates[crate]["targets"])
        if crate not in seen and not is_macro:
            seen.add(crate)
            waiting += uses[crate]
    found = [crates[crate] for crate in seen if crates[crate]["source"] is not None]
    return sorted(found, key=lambda crate: (crate["name"], crate["version"]))


def licence(crate: dict) -> str:
    if crate["license"] is None:
        raise SystemExit(f"{crate['name']} names no licence")
    return crate["license"].replace("/", " OR ")


def licence_texts(crate: dict) -> list[str]:
    """The texts to pass on with `crate`."""
    directory = Path(crate["manifest_path"]).parent
    # Crates of C code bring that code's licences too. zstd is offered under BSD or GPL; we take it under BSD.
    files = sorted(path for pattern in ("*", "zstd/*") for path in directory.glob(pattern) if is_licence(path))
    texts = [text for text in (tidy(path.read_text()) for path in files) if GPL_WORDS not in text]
    if "MIT" in [word.strip("()") for word in licence(crate).split(" OR ")]:
        mit = [text for text in texts if MIT_WORDS in text]
        if not mit:
            mit = [f"Copyright (c) {', '.join(crate['authors']) or 'the authors of ' + crate['name']}\n\n{MIT}"]
        return mit[:1]
    if not texts:
        raise SystemExit(f"{crate['name']} {crate['version']} ({licence(crate)}) brings no text of its licence along")
    return texts


def is_licence(path: Path) -> bool:
    return path.is_file() and path.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE", "COPYING", "COPYRIGHT"))


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


if __name__ == "__main__":
    sys.exit(main())
