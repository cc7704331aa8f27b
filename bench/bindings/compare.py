"""Compares the Python and Node packages with their peers: `compare.py PYTHON_TO_RUN NODE_PROJECT ENTRIES ROUNDS`.

Every engine and round has a process and a directory of its own. The engines take turns, and each round begins with
another one. The measure is the ratio within one round; the tables have its median, minimum and maximum over the rounds.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PYTHON = ["aidb", "plyvel", "rocksdict"]
NODE = ["aidb", "classic-level"]


def measured(command, engines, rounds, entries, scratch):
    """Engine -> workload -> a pair of times for each round."""
    samples = {engine: {} for engine in engines}
    for number in range(rounds):
        first = number % len(engines)
        for engine in engines[first:] + engines[:first]:
            with tempfile.TemporaryDirectory(dir=scratch) as directory:
                done = subprocess.run(
                    [*command, engine, directory, str(entries)], stdout=subprocess.PIPE, check=True
                )
            for workload, pair in json.loads(done.stdout).items():
                samples[engine].setdefault(workload, []).append(pair)
            print(f"round {number + 1} of {rounds}: {engine}", file=sys.stderr)
    return samples


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def table(language, samples):
    peers = [engine for engine in samples if engine != "aidb"]
    heads = "".join(f" {peer} | processor |" for peer in peers)
    print(f"\n| {language} | AiDb, µs |{heads}\n| --- | ---: |{' ---: | ---: |' * len(peers)}")
    for workload, ours in samples["aidb"].items():
        own = statistics.median(wall for wall, _ in ours) * 1e6
        row = f"| {workload} | {own:.2f} |"
        for peer in peers:
            for which in (0, 1):
                pairs = zip(samples[peer][workload], ours)
                row += f" {spread([theirs[which] / mine[which] for theirs, mine in pairs])} |"
        print(row)


def main():
    python, project, entries, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(f"{entries} entries of 16 + 100 bytes, {rounds} interleaved rounds. A peer's time per operation as a")
    print("multiple of AiDb's: median (least to greatest). Above 1, AiDb is ahead.")
    # Node looks for packages beside the program.
    program = pathlib.Path(project, "engines.mjs")
    program.write_bytes((HERE / "engines.mjs").read_bytes())
    scratch = pathlib.Path(project).parent
    command = [python, str(HERE / "engines.py")]
    table("Python", measured(command, PYTHON, rounds, entries, scratch))
    table("Node", measured(["node", str(program)], NODE, rounds, entries, scratch))


if __name__ == "__main__":
    main()
