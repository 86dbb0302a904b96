"""Damage valid files in many ways, mix series, and check how reading them ends.

    python experiments/fuzz_reading.py --count 10000 --record fuzz.jsonl --workers 2    # again: goes on
    python experiments/fuzz_reading.py --only 4711        # one mutation again, with its traceback

Each mutation follows from the seed and its number alone. Reading one must end in a study or in an error of ours, within
10 s, within 2 GB of memory, with one printable line as its message and nothing left in the folder for temporary files.
A study of a mixed series must hold slices of one person and one phase.
Mutations are read in a separate process, because a decoder may crash it, which is a failure as well.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.study import mixtures, mutations

MAX_SECONDS = 10.0
MAX_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Outcome:
    """How reading one mutation ended."""

    number: int
    what: str
    """"study", "refused", or what went wrong."""
    detail: str
    seconds: float
    peak_bytes: int
    """Peak memory of the reading process so far."""

    @property
    def failed(self) -> bool:
        """Whether reading ended in a way that is not allowed."""
        return self.what not in ("study", "refused")


def read_one(whole: mutations.Inputs, number: int, seed: int, folder: Path) -> Outcome:
    """Write mutation `number` below `folder`, read it, and classify the outcome."""
    mixture = is_mixture(number)
    target = (
        mixtures.mixed(number, seed, folder / "input")
        if mixture
        else mutations.mutated(whole, number, seed, folder / "input")
    )
    scratch = folder / "scratch"
    tempfile.tempdir = str(scratch)
    start = time.perf_counter()
    try:
        what, detail = mixtures.read(target) if mixture else mutations.read(target)
    except Exception as error:
        what, detail = "exception", f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if left := os.listdir(scratch):
        what, detail = "files left behind", str(left)
    if what in ("study", "refused") and peak > MAX_BYTES:
        what, detail = "memory", f"{peak / 1024**3:.1f} GB"
    if what in ("study", "refused") and seconds > MAX_SECONDS:
        what, detail = "slow", f"{seconds:.1f} s"
    return Outcome(number, what, detail, seconds, peak)


def _serve(pipe: Connection, inputs: Path, seed: int, folder: Path) -> None:
    whole = mutations.load(inputs)
    for part in ("input", "scratch"):
        (folder / part).mkdir(parents=True)
    while (number := pipe.recv()) is not None:
        pipe.send(read_one(whole, number, seed, folder))


def fuzz(numbers: list[int], seed: int, inputs: Path, work: Path) -> Iterator[Outcome]:
    """Read the mutations one by one in a process that is replaced if it dies, hangs or grows."""
    context = multiprocessing.get_context("spawn")
    process, pipe, started = None, None, 0
    for number in numbers:
        if process is None or pipe is None or not process.is_alive():
            started += 1
            pipe, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, inputs, seed, work / str(started)), daemon=True)
            process.start()
            theirs.close()
        pipe.send(number)
        outcome = _answer(pipe, number)
        yield outcome
        if outcome.what in ("hang", "process died", "memory"):
            process.kill()
            process.join()
            process = None
    if process is not None and pipe is not None:
        pipe.send(None)
        process.join(10)


def fuzz_in_parallel(numbers: Sequence[int], seed: int, inputs: Path, work: Path, workers: int) -> Iterator[Outcome]:
    """As `fuzz`, with several reading processes; outcomes come as they are ready."""
    ready: Queue[Outcome | None] = Queue()

    def work_off(worker: int) -> None:
        try:
            for outcome in fuzz(list(numbers[worker::workers]), seed, inputs, work / str(worker)):
                ready.put(outcome)
        finally:
            ready.put(None)

    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(work_off, worker) for worker in range(workers)]
        left = workers
        while left:
            outcome = ready.get()
            if outcome is None:
                left -= 1
            else:
                yield outcome
        for each in running:
            each.result()


def recorded(path: Path | None, numbers: Sequence[int], seed: int) -> dict[int, Outcome]:
    """Outcomes of an earlier call that was stopped."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    found = [Outcome(**row["outcome"]) for row in rows if row["seed"] == seed]
    wanted = set(numbers)
    return {outcome.number: outcome for outcome in found if outcome.number in wanted}


def figures_of(outcomes: Sequence[Outcome], seed: int) -> dict[str, object]:
    """What the run shows, as plain data."""
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    kinds = Counter(("mixture" if is_mixture(outcome.number) else "damaged", outcome.what) for outcome in outcomes)
    return {
        "count": len(outcomes),
        "seed": seed,
        "outcomes": dict(Counter(outcome.what for outcome in outcomes)),
        "mixtures": {what: count for (kind, what), count in sorted(kinds.items()) if kind == "mixture"},
        "slowest_s": round(slowest.seconds, 2),
        "slowest_mutation": slowest.number,
        "peak_mb": max(outcome.peak_bytes for outcome in outcomes) // 1024**2,
        "total_s": round(sum(outcome.seconds for outcome in outcomes)),
    }


def is_mixture(number: int) -> bool:
    """Whether an input is put together from two persons, studies or phases; every third one is."""
    return number % 3 == 2


def _answer(pipe: Connection, number: int) -> Outcome:
    # A hang must exceed the allowed time by far, because the machine may be busy; the child reports its own time.
    limit = 6 * MAX_SECONDS
    try:
        if pipe.poll(limit):
            answer: Outcome = pipe.recv()
            return answer
    except (EOFError, ConnectionResetError):
        return Outcome(number, "process died", "a decoder ended the process", 0.0, 0)
    return Outcome(number, "hang", f"no answer within {limit:g} s", limit, 0)


def main() -> None:
    """Read the command line, fuzz, print the figures; exit with 1 if anything failed."""
    parser = argparse.ArgumentParser(description="Fuzz the readers with damaged files.")
    parser.add_argument("--count", type=int, default=1000, help="number of mutations")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this mutation only, in this process")
    parser.add_argument("--data", type=Path, help="folder of real files to damage as well, e.g. transfer-syntaxes")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--record", type=Path, help="file that keeps each outcome, so that a stopped run goes on")
    parser.add_argument("--workers", type=int, default=1, help="reading processes")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.count)
    outcomes = recorded(options.record, numbers, options.seed)
    with tempfile.TemporaryDirectory(prefix="jcs-fuzz-") as name:
        work = Path(name)
        inputs = mutations.write_inputs(work / "inputs", options.data)
        if options.only is not None:
            for part in ("input", "scratch"):
                (work / part).mkdir()
            print(read_one(mutations.load(inputs), options.only, options.seed, work))
            return
        todo = [number for number in numbers if number not in outcomes]
        for outcome in fuzz_in_parallel(todo, options.seed, inputs, work, options.workers):
            outcomes[outcome.number] = outcome
            if options.record:
                with options.record.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"seed": options.seed, "outcome": asdict(outcome)}) + "\n")
            if outcome.failed:
                print(f"mutation {outcome.number}: {outcome.what}: {outcome.detail}", flush=True)
    figures = figures_of(list(outcomes.values()), options.seed)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(any(outcome.failed for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
