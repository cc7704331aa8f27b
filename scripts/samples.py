#!/usr/bin/env python3
"""Compiles and runs every code sample of README.md and docs/.

A sample is a fenced block tagged rust, c, cpp, python or js; a further word `ignore` in its tag (```rust ignore) leaves
it out. Each runs alone, in an empty directory of its own, and must end with status 0. This script adds the code that a
reader would add: `main` for Rust, C and C++ samples without one. It lists shell blocks and does not run them.

    scripts/samples.py [FILE...]     after scripts/build.sh c python node, and cargo build -p aidb
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"
PREFIX = TARGET / "prefix"
LANGUAGES = {"rust": "rs", "c": "c", "cpp": "cpp", "python": "py", "js": "mjs", "javascript": "mjs"}
SHELL = {"sh", "bash", "shell", "console"}


def blocks(text):
    """The fenced blocks of a document, as (line, tag words, text)."""
    inside = None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None:
            fence = re.match(r"^(\s*)(```+)\s*([^`]*)$", line)
            if fence:
                inside = (number, re.split(r"[\s,]+", fence[3].strip()), fence[1], fence[2], [])
        elif line.strip() == inside[3]:
            number, words, indent, _, lines = inside
            yield number, words, "\n".join(entry.removeprefix(indent) for entry in lines) + "\n"
            inside = None
        else:
            inside[4].append(line)


def rust(text):
    # rustdoc's hidden lines start with "# ".
    text = re.sub(r"(?m)^# ?(?!\[|!)", "", text)
    if "fn main(" in text:
        return text
    return f"fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{text}\nOk(())\n}}\n"


def c(text):
    if re.search(r"\bmain\s*\(", text):
        return text
    lines = text.splitlines()
    head = [line for line in lines if line.startswith("#")]
    body = [line for line in lines if not line.startswith("#")]
    standard = [f"#include <{name}>" for name in ("stdio.h", "stdlib.h", "string.h", "aidb.h")]
    return "\n".join(standard + head + ["int main(void) {"] + body + ["return 0;", "}", ""])


def cpp(text):
    if re.search(r"\bmain\s*\(", text):
        return text
    lines = text.splitlines()
    head = [line for line in lines if line.startswith("#")]
    body = [line for line in lines if not line.startswith("#")]
    standard = [f"#include <{name}>" for name in ("iostream", "string", "aidb.hpp")]
    return "\n".join(standard + head + ["int main() {"] + body + ["}", ""])


def run(command, directory):
    # A sample that waits for something must not block the tests.
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


def commands(language, source, program):
    """The commands that compile and run a sample."""
    link = [f"-I{PREFIX}/include", "-o", program, source, f"-L{PREFIX}/lib", f"-Wl,-rpath,{PREFIX}/lib", "-laidb", "-pthread"]
    if language == "rust":
        library = TARGET / "debug" / "libaidb.rlib"
        compile_ = ["rustc", "--edition", "2024", "-L", f"dependency={TARGET}/debug/deps",
                    "--extern", f"aidb={library}", "-o", program, source]
        return [compile_, [program]]
    if language == "c":
        return [["gcc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", *link], [program]]
    if language == "cpp":
        return [["g++", "-std=c++17", "-Wall", "-Wextra", "-pedantic", "-Werror", *link], [program]]
    if language == "python":
        return [[TARGET / "venv" / "bin" / "python", source]]
    return [["node", source]]


def check(language, text, name):
    """Runs one sample. Returns its output if it failed, or None."""
    wrap = {"rust": rust, "c": c, "cpp": cpp}.get(language, lambda text: text)
    # Node looks for packages beside the program and in the directories above.
    home = TARGET / "node" / "samples" if language.startswith("j") else TARGET / "samples"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        common = "require(" in text and "import " not in text
        extension = "cjs" if language.startswith("j") and common else LANGUAGES[language]
        source = Path(scratch) / f"{name}.{extension}"
        text = wrap(text)
        source.write_text(text)
        empty = Path(scratch) / "empty"
        empty.mkdir()
        for command in commands(language, source, Path(scratch) / "program"):
            try:
                status, said = run([str(part) for part in command], empty)
            except (OSError, subprocess.TimeoutExpired) as error:
                status, said = 1, str(error)
            if status != 0:
                return f"{Path(command[0]).name} ended with {status}\n{said}\n--- the sample as it was run\n{text}"
    return None


def main():
    names = sys.argv[1:]
    files = [Path(name) for name in names] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    ran, failed, shells = 0, [], []
    for file in files:
        if not file.is_file():
            print(f"samples: {file} is missing")
            return 1
        shown = os.path.relpath(file, ROOT)
        for line, words, text in blocks(file.read_text()):
            language = words[0]
            if language in SHELL:
                shells += [f"{shown}:{line}: {command}" for command in text.splitlines() if command.strip()]
            if language not in LANGUAGES or "ignore" in words:
                continue
            ran += 1
            trouble = check(language, text, f"{file.stem}_{line}".replace("-", "_").replace(".", "_"))
            print(f"{'FAILED' if trouble else 'ok    '} {shown}:{line} {language}", flush=True)
            if trouble:
                print(trouble, flush=True)
                failed.append(f"{shown}:{line}")
    for entry in shells:
        print(f"shell  {entry} (not run)")
    shutil.rmtree(TARGET / "samples", ignore_errors=True)
    shutil.rmtree(TARGET / "node" / "samples", ignore_errors=True)
    print(f"samples: {ran} run, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
