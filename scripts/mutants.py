"""Tries the mutants that cargo-mutants lists, as many of them as possible in one build. scripts/mutants.sh calls it.

cargo-mutants builds once per mutant. This script writes every function once per mutant of it, behind one switch that
the environment sets, and builds the tests once: after that a mutant costs one run of the tests. The mutants are
cargo-mutants' own, by its list. cargo-mutants itself tries those that cannot share a build: constants, constant
functions, and functions whose result has no name (`-> impl Trait`); with --each it tries all.
"""

import argparse
import collections
import hashlib
import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target/mutants"
TREE = WORK / "tree"
ACCEPTED = ROOT / "tests/mutants/accepted.txt"
ENVIRONMENT = {**os.environ, "CARGO_TARGET_DIR": str(WORK / "build"), "RUSTFLAGS": "--cap-lints=warn"}
PROFILE = "mutants"
SWITCH = """
#[doc(hidden)]
#[allow(missing_docs)]
pub fn mutant_switched_on() -> u32 {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| std::env::var("AIDB_MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}
"""
# The limits of one run of the tests: a mutant that loops may also allocate or write for ever.
MEMORY_BYTES = 8 << 30
FILE_BYTES = 1 << 30


def sample(mutants, count, seed):
    """`count` of the mutants, the same ones for one seed in whatever order the list is."""
    if not count or count >= len(mutants):
        return mutants
    seen = collections.Counter()
    ranked = []
    for place, mutant in enumerate(mutants):
        # Without line numbers, which other edits change.
        name = re.sub(r":\d+:\d+: ", ": ", mutant["name"], count=1)
        seen[name] += 1
        ranked.append((hashlib.sha256(f"{seed} {name} {seen[name]}".encode()).digest(), place))
    return [mutants[place] for place in sorted(place for _, place in sorted(ranked)[:count])]


def copy_tree():
    """Updates the tree for mutation to the state of the checkout. Unchanged files keep their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    wanted = {name for name in listed.split("\0") if name and not name.startswith("tests/fuzz/")}
    for name in wanted:
        source, copy = ROOT / name, TREE / name
        if not source.is_file():
            continue
        content = source.read_bytes()
        if not copy.is_file() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for directory, _, names in os.walk(TREE):
        for name in names:
            path = Path(directory) / name
            if str(path.relative_to(TREE)) not in wanted:
                path.unlink()


class Source:
    """A file and the mutants in it."""

    def __init__(self, path):
        self.text = path.read_text()
        self.lines = [0]
        for line in self.text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def offset(self, place):
        return self.lines[place["line"] - 1] + place["column"] - 1

    def range(self, span):
        return self.offset(span["start"]), self.offset(span["end"])

    def line_of(self, mutant):
        """The line that the mutant changes, by its text: every edit above shifts line numbers."""
        line = mutant["span"]["start"]["line"]
        return self.text[self.lines[line - 1] : self.lines[line]].strip()


SKIPPED = re.compile(
    r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\.[^']*|[^'\\])'", re.DOTALL
)


def body_of(text, start, end):
    """Where the body of the function in text[start:end] begins, after its brace; None if it has to be tried alone."""
    at, depth, in_signature, words = start, 0, False, []
    while at < end:
        skipped = SKIPPED.match(text, at)
        if skipped:
            at = skipped.end()
            continue
        character = text[at]
        word = re.compile(r"[A-Za-z_0-9]+").match(text, at)
        if word:
            if depth == 0 and word.group() == "const" and not in_signature:
                return None
            in_signature = in_signature or (depth == 0 and word.group() == "fn")
            words += [word.group()] if depth == 0 else []
            at = word.end()
            continue
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "-" and text[at : at + 2] == "->" and depth == 0:
            words = []
        elif character == "{" and depth == 0 and in_signature:
            return None if "impl" in words else at + 1
        at += 1
    return None


def outermost(sources, mutants):
    """Groups mutants by file and outermost function: {file: {(start, end): [mutants]}}."""
    grouped = {}
    for file in {m["file"] for m in mutants}:
        source = sources[file]
        spans = {source.range(m["function"]["span"]) for m in mutants if m["file"] == file and m["function"]}
        for mutant in (m for m in mutants if m["file"] == file):
            if not mutant["function"]:
                continue
            start, end = source.range(mutant["function"]["span"])
            outer = min((s for s in spans if s[0] <= start and end <= s[1]), key=lambda s: s[0])
            grouped.setdefault(file, {}).setdefault(outer, []).append(mutant)
    return grouped


def write_together(sources, mutants, left_out):
    """Writes the sources with all mutants except those left out. Returns {file: [(first line, last line, number)]}."""
    arms = {}
    for file, functions in outermost(sources, mutants).items():
        source, out, at = sources[file], [], 0
        written = 0  # lines of `out`

        def write(piece):
            nonlocal written
            out.append(piece)
            written += piece.count("\n")

        for (start, end), inside in sorted(functions.items()):
            body = body_of(source.text, start, end)
            inside = [m for m in inside if m["number"] not in left_out]
            if body is None:
                left_out.update((m["number"], "alone") for m in inside)
                continue
            if not inside:
                continue
            write(source.text[at:body])
            write("\nmatch crate::mutant_switched_on() {\n")
            for mutant in inside:
                first, last = source.range(mutant["span"])
                line = written + 1
                write(f"{mutant['number']}u32 => {{\n{source.text[body:first]}{mutant['replacement']}")
                write(f"{source.text[last : end - 1]}\n}}\n")
                arms.setdefault(file, []).append((line, written, mutant["number"]))
            write(f"_ => {{\n{source.text[body : end - 1]}\n}}\n}}\n")
            at = end - 1
        write(source.text[at:])
        (TREE / file).write_text("".join(out))
    library = TREE / "core/src/lib.rs"
    if SWITCH not in library.read_text():
        library.write_text(library.read_text() + SWITCH)
    return arms


def build():
    """Builds the unit tests. Returns the binary, or None and the errors."""
    command = ["cargo", "test", "-p", "aidb", "--lib", "--no-run", "--locked", "--profile", PROFILE]
    run = subprocess.run(
        [*command, "--message-format=json"], cwd=TREE, env=ENVIRONMENT, capture_output=True, text=True
    )
    binary, errors = None, []
    for line in run.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            errors.append(message["message"])
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "aidb" and message["executable"]:
            binary = message["executable"]
    if run.returncode == 0:
        return binary, []
    if not errors:
        sys.exit(run.stderr)
    return None, errors


def function_of(mutant):
    return mutant["file"], json.dumps(mutant["function"])


def build_together(sources, mutants):
    """A binary of the mutants that compile, and for each other mutant "unviable" or "alone" (a build of its own)."""
    left_out = {m["number"]: "alone" for m in mutants if not m["function"]}
    for builds in itertools.count(1):
        arms = write_together(sources, mutants, left_out)
        print(f"building {sum(map(len, arms.values()))} mutants together", flush=True)
        begun = time.monotonic()
        binary, errors = build()
        if binary:
            print(f"built in {time.monotonic() - begun:.0f} s", flush=True)
            return binary, left_out
        found = set()
        for error in errors:
            for span in error["spans"]:
                for first, last, number in arms.get(span["file_name"], []):
                    if span["is_primary"] and first <= span["line_start"] <= last:
                        found.add(number)
        if not found:
            sys.exit("an error beside the mutants:\n" + "\n".join(e["rendered"] for e in errors[:5]))
        left_out.update((number, "unviable") for number in found)
        # Once the types are right the compiler reports one wrong mutant of a function at a time.
        wrong = {function_of(mutants[number - 1]) for number in found} if builds > 2 else ()
        for mutant in mutants:
            if mutant["genre"] == "FnValue" and function_of(mutant) in wrong:
                left_out.setdefault(mutant["number"], "alone")


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_tests(binary, filters, number, seconds):
    """Runs the tests of one filter after the other. Returns (outcome, the failed test)."""
    for name in filters:
        outcome = run_filter(binary, name, number, seconds)
        if outcome[0] != "missed":
            break
    return outcome


def run_filter(binary, name, number, seconds):
    """Runs the tests whose names contain `name`, except those that contain a part after a "-". Stops at the first
    failure."""
    wanted, *skipped = name.split("-")
    scratch = WORK / f"tmp-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    process = subprocess.Popen(
        [binary, wanted, *(f"--skip={part}" for part in skipped)],
        cwd=ROOT / "core",
        env={**ENVIRONMENT, "AIDB_MUTANT": str(number), "TMPDIR": str(scratch), "RUST_BACKTRACE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=limits,
        start_new_session=True,
    )
    end, output = time.monotonic() + seconds, b""
    os.set_blocking(process.stdout.fileno(), False)
    outcome = None
    while outcome is None:
        output += process.stdout.read() or b""
        failed = re.search(rb"test (\S+).*\.\.\. FAILED", output)
        if failed:
            outcome = ("caught", failed.group(1).decode())
        elif process.poll() is not None:
            output += process.stdout.read() or b""
            outcome = ("missed", "") if process.returncode == 0 else ("caught", f"status {process.returncode}")
        elif time.monotonic() > end:
            outcome = ("timeout", "")
        else:
            time.sleep(0.01)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    if outcome[0] == "missed" and not re.search(rb"test result: ok\. [1-9]", output):
        sys.exit(f"no test is called {name}")
    return outcome


def try_together(sources, mutants, filters):
    """Yields (mutant, outcome, the failed test) of each; the outcome "alone" means not yet tried."""
    binary, left_out = build_together(sources, mutants)
    begun = time.monotonic()
    outcome, by = run_tests(binary, filters, 0, 600)
    if outcome != "missed":
        sys.exit(f"the tests fail without a mutant: {by or outcome}")
    usual = time.monotonic() - begun
    limit = 5 + 4 * usual
    print(f"the tests take {usual:.1f} s; a mutant has {limit:.0f} s", flush=True)
    for mutant in mutants:
        if mutant["number"] in left_out:
            yield mutant, left_out[mutant["number"]], ""
        else:
            yield mutant, *run_tests(binary, filters, mutant["number"], limit)


def try_each(mutants, filters, out):
    """Lets cargo-mutants try these, with a build for each. Yields (mutant, outcome, "")."""
    copy_tree()
    command = [ROOT / "target/tools/bin/cargo-mutants", "mutants", "--in-place", "--dir", TREE, "--package", "aidb"]
    command += ["--profile", PROFILE, "--output", out, "--timeout", "60", "--build-timeout", "600", "--no-shuffle"]
    command += ["--cargo-arg=--lib", "--cargo-test-arg=--"]
    command += [f"--cargo-test-arg={name}" for name in sorted({name.split("-")[0] for name in filters})]
    # It tries fields of structs whatever --re says: naming the files leaves out fields in other files.
    command += [f"--file={file}" for file in sorted({mutant["file"] for mutant in mutants})]
    command += [f"--re=^{re.escape(mutant['name'])}$" for mutant in mutants]
    run = subprocess.run(command, env=ENVIRONMENT, preexec_fn=limits)
    outcomes = json.loads((out / "mutants.out/outcomes.json").read_text())["outcomes"]
    words = {"CaughtMutant": "caught", "MissedMutant": "missed", "Timeout": "timeout", "Unviable": "unviable"}
    found = {
        outcome["scenario"]["Mutant"]["name"]: words.get(outcome["summary"], outcome["summary"])
        for outcome in outcomes
        if outcome["scenario"] != "Baseline"
    }
    for mutant in mutants:
        if mutant["name"] not in found:
            sys.exit(f"cargo-mutants ended with {run.returncode} and without trying {mutant['name']}")
        yield mutant, found[mutant["name"]], ""


def identity(mutant, line):
    """A mutant's name in the file of the accepted ones: every edit above shifts line numbers."""
    return re.sub(r":\d+:\d+: ", ": ", mutant["name"], count=1), line


def compared(identity):
    """The part of an identity to compare: the function around the line may be renamed."""
    name, line = identity
    return re.sub(r" in .*", "", name), line


def read_accepted():
    """The accepted survivors: {part to compare: identity}. The file describes its own format."""
    accepted, waiting, name = {}, [], None
    for number, line in enumerate(ACCEPTED.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("  | ") and name:
            waiting.append((name, line[4:].strip()))
            name = None
        elif line.startswith("  = ") and waiting and not name:
            accepted.update((compared(one), one) for one in waiting)
            waiting = []
        elif line.startswith("core/") and not name:
            name = line
        else:
            sys.exit(f"{ACCEPTED}:{number}: not in the order of name, line, reason")
    if waiting or name:
        sys.exit(f"{ACCEPTED}: its last mutant has no reason")
    return accepted


def report(module, records, is_whole):
    """Prints counts and the survivors that nobody accepted. Returns whether there are none."""
    accepted = read_accepted()
    counts = collections.Counter(record["outcome"] for record in records)
    survivors = [record for record in records if record["outcome"] == "missed"]
    known = {compared(record["identity"]) for record in survivors} & set(accepted)
    new = [record for record in survivors if compared(record["identity"]) not in accepted]
    print(f"\n{module}: {len(records)} mutants, " + ", ".join(f"{counts[word]} {word}" for word in OUTCOMES))
    print(f"accepted: {len(survivors) - len(new)}; not accepted: {len(new)}")
    for record in new:
        print(f"  {record['name']}\n    {record['identity'][1]}")
    files = {record["name"].split(":")[0] for record in records}
    for name, line in sorted(accepted[one] for one in set(accepted) - known) if is_whole else []:
        if name.split(":")[0] in files:
            print(f"accepted, and caught now or gone: {name}\n    {line}")
    return not new


OUTCOMES = ["caught", "missed", "timeout", "unviable"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="a directory with list.json, which cargo mutants --list --json printed")
    parser.add_argument("filters", nargs="+", help="parts of tests' names, with parts of those left out: in-out-out")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--file", default="", help="only mutants of files whose path ends like this")
    parser.add_argument("--again", action="store_true", help="only those that survived the last run of the module")
    parser.add_argument("--each", action="store_true", help="a build for each mutant")
    arguments = parser.parse_args()
    out = arguments.out
    everything = json.loads((out / "list.json").read_text())
    mutants = sample([m for m in everything if m["file"].endswith(arguments.file)], arguments.sample, arguments.seed)
    outcomes = out / "outcomes.jsonl"
    records = []
    copy_tree()
    sources = {file: Source(TREE / file) for file in {m["file"] for m in mutants}}
    for mutant in mutants:
        mutant["identity"] = identity(mutant, sources[mutant["file"]].line_of(mutant))
    if arguments.again:
        before = [json.loads(line) for line in outcomes.read_text().splitlines()]
        survived = {tuple(record["identity"]) for record in before if record["outcome"] == "missed"}
        mutants = [mutant for mutant in mutants if mutant["identity"] in survived]
        records = [record for record in before if tuple(record["identity"]) not in survived]
    outcomes.write_text("".join(json.dumps(record) + "\n" for record in records))
    if not mutants:
        sys.exit("no mutants")
    for number, mutant in enumerate(mutants, 1):
        mutant["number"] = number
    begun, alone, tried = time.monotonic(), [], 0

    def note(mutant, outcome, by):
        nonlocal tried
        tried += 1
        records.append({"outcome": outcome, "by": by, "name": mutant["name"], "identity": mutant["identity"]})
        with outcomes.open("a") as file:
            file.write(json.dumps(records[-1]) + "\n")
        if outcome in ("missed", "timeout"):
            print(f"{outcome}: {mutant['name']}", flush=True)
        if tried % 50 == 0:
            print(f"{tried} of {len(mutants)}, {time.monotonic() - begun:.0f} s", flush=True)

    if arguments.each:
        alone = mutants
    else:
        for mutant, outcome, by in try_together(sources, mutants, arguments.filters):
            alone.append(mutant) if outcome == "alone" else note(mutant, outcome, by)
    if alone:
        print(f"{len(alone)} mutants with a build for each", flush=True)
        for mutant, outcome, by in try_each(alone, arguments.filters, out):
            note(mutant, outcome, by)
    shutil.rmtree(WORK / f"tmp-{os.getpid()}", ignore_errors=True)
    print(f"{time.monotonic() - begun:.0f} s", flush=True)
    if not report(out.name, records, len(records) >= len(everything) and not os.environ.get("SHARD")):
        sys.exit(1)


main()
