"""``fastmel extract`` and what belongs to it: words in, exit codes out.

Exit codes: 0 all inputs are written, 1 the output cannot be written, 2 the command line asks for
something impossible, 3 finished, and some inputs failed, 4 ``verify`` found damage, 5 too many
inputs failed, 130 interrupted, 143 terminated.
"""

import argparse
import contextlib
import json
import math
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmel.exceptions import ParameterError

if TYPE_CHECKING:
    from fastmel.corpus.cluster import Cluster
    from fastmel.corpus.plan import Plan

__all__ = ["add_commands"]


#: the options that a plan keeps
_PLANNED = (
    "frontend", "option", "format", "dtype", "layout", "max_duration", "partial", "limit",
)  # fmt: skip

#: recordings that --dry-run looks at, and what a second takes where it can open none of them
_SOME, _BYTES_PER_SECOND = 30, 32_000


class _Terminated(BaseException):
    """The process was asked to end."""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser of ``fastmel``."""
    extract = commands.add_parser(
        "extract",
        help="compute the features of a whole corpus",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    extract.set_defaults(run=_guarded(_extract))
    _add_extract_arguments(extract)

    for name, work, help in (
        ("status", _status, "how far a run of extract is"),
        ("verify", _verify, "whether what extract wrote is whole"),
        ("retry", _retry, "try the inputs again that failed"),
        ("report", _report, "write OUT/report.html, a page about a run of extract"),
        ("finalize", _finalize, "write manifest and summary after a run by --task-index"),
    ):
        command = commands.add_parser(name, help=help, description=f"Tell or do: {help}.")
        command.set_defaults(run=_guarded(work))
        command.add_argument("output", metavar="OUT", type=Path, help="what extract wrote to")
        command.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "verify":
            command.add_argument("--deep", action="store_true", help="compare check sums too")
            command.add_argument(
                "--reopen",
                action="store_true",
                help="let the next fastmel extract make damaged shards again",
            )
        if name == "retry":
            _add_run_arguments(command)
            command.add_argument(
                "--reason",
                type=_classes,
                metavar="CLASS[,CLASS...]",
                help="only those of these classes, as timeout,oom",
            )


def _guarded(work: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Turn what ends a run into a line on standard error and an exit code."""

    def guarded(args: argparse.Namespace) -> int:
        from fastmel.corpus.run import PlanDiffers, TooManyFailures

        def end(text: str) -> None:
            again = shlex.join(["fastmel", "extract", "-o", str(args.output), *_way(args)])
            _say(f"{text}; to go on: {again}" if args.is_planned else text)

        args.is_planned = False
        try:
            with _terminated_by_signal():
                return work(args)
        except BrokenPipeError:  # fastmel's own: the reader of our output has seen enough
            raise
        except PlanDiffers as error:
            _say(f"error: {error}")
            return 1
        except ParameterError as error:
            _say(f"error: {error}")
            return 2
        except TooManyFailures as error:
            end(f"stopped: {error}")
            return 5
        except (OSError, RuntimeError) as error:
            name = getattr(error, "filename", None)
            text = getattr(error, "strerror", None) or error
            end(f"error: {f'{name}: ' if name else ''}{text}")
            return 1
        except KeyboardInterrupt:
            end("interrupted")
            return 128 + signal.SIGINT
        except _Terminated:
            end("terminated")
            return 128 + signal.SIGTERM

    return guarded


def _way(args: argparse.Namespace) -> Iterator[str]:
    """Repeat the words that say who does the work."""
    for name in ("scheduler", "scheduler_file", "task_index", "task_count"):
        value = getattr(args, name, None)
        if value is not None:
            yield from (_word(name), str(value))


def _word(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@contextlib.contextmanager
def _terminated_by_signal() -> Iterator[None]:
    """Make SIGTERM an exception, as Python does with Ctrl-C."""

    def terminate(*_: object) -> None:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print(f"fastmel: {text}", file=sys.stderr, flush=True)


# fastmel extract


def _extract(args: argparse.Namespace) -> int:
    from fastmel.corpus import run
    from fastmel.corpus.plan import load_plan

    is_task = args.task_index is not None
    _check_words(args)
    if args.dry_run:
        return _dry_run(args)
    if args.inputs:
        _settings(args)  # both refuse before a folder is made
    else:
        load_plan(args.output)
    if is_task:
        plan = _plan_of_task(args)
        with run.locked(args.output, shared=True, patient=True):
            shards = [i for i in plan.incomplete() if i % args.task_count == args.task_index]
            _make(args, plan, shards)
        if args.json:
            print(json.dumps(_made(plan, shards)))
        return 0
    with _cluster(args) as cluster, run.locked(args.output):
        plan = _plan(args)
        if args.plan_only:
            if args.json:
                facts = {"plan": plan.digest, "planned": plan.n_items, "shards": len(plan.shards)}
                print(json.dumps(facts))
            _say(f"{plan.n_items:,} inputs in {len(plan.shards):,} shards are planned")
            return 0
        return _run(args, plan, cluster)


def _check_words(args: argparse.Namespace) -> None:
    """Refuse what does not go together."""
    planned = [_word(name) for name in _PLANNED if hasattr(args, name)]
    if not args.inputs and (planned or args.overwrite):
        raise ParameterError(
            f"{', '.join(planned) or '--overwrite'} without inputs: what {args.output} holds was "
            "planned with options of its own, and goes on with these"
        )
    if "-" in args.inputs and sys.stdin is None:
        raise ParameterError("-: standard input is closed")
    is_task = args.task_index is not None
    if is_task != (args.task_count is not None):
        raise ParameterError("--task-index and --task-count need each other")
    if is_task and not 0 <= args.task_index < args.task_count:
        raise ParameterError(f"--task-index {args.task_index} is not below {args.task_count}")
    if is_task and args.overwrite:
        raise ParameterError("--overwrite: each task would remove what the others made")
    if is_task and (args.scheduler or args.scheduler_file):
        raise ParameterError(
            "--task-index and --scheduler are two ways to share the work; take one"
        )


def _plan(args: argparse.Namespace) -> "Plan":
    """Return the plan that OUT holds, or make it."""
    from fastmel.corpus.plan import load_plan
    from fastmel.corpus.run import plan_for

    if not args.inputs:
        return load_plan(args.output)
    return plan_for(
        args.output, _settings(args), args.inputs, stdin=sys.stdin, overwrite=args.overwrite
    )


def _plan_of_task(args: argparse.Namespace) -> "Plan":
    """Return the plan of an array's tasks, which the first of them makes for all."""
    from fastmel.corpus import run

    while not (args.output / "plan.json").exists():
        try:
            with run.locked(args.output):
                return _plan(args)
        except run.Busy:
            time.sleep(0.1)
    return _plan(args)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    from fastmel.corpus.run import check_settings

    given = {name: getattr(args, name) for name in _PLANNED if hasattr(args, name)}
    options = dict(given.pop("option", ()))
    options.update((name, given.pop(name)) for name in ("dtype", "layout") if name in given)
    frontend, format = given.pop("frontend", "whisper"), given.pop("format", "npy")
    return check_settings(frontend, format, options, **given)


@contextlib.contextmanager
def _cluster(args: argparse.Namespace) -> Iterator["Cluster | None"]:
    """Connect to the cluster, if one is named."""
    if args.scheduler is None and args.scheduler_file is None:
        yield None
        return
    if args.workers is not None or args.memory_per_worker is not None:
        raise ParameterError("--workers and --memory-per-worker are up to whoever runs the cluster")
    from fastmel.corpus.cluster import Cluster

    with contextlib.closing(Cluster(args.scheduler, args.scheduler_file)) as cluster:
        yield cluster


def _run(args: argparse.Namespace, plan: "Plan", cluster: "Cluster | None") -> int:
    """Make what is missing, account for everything, and tell of it."""
    from fastmel.corpus.run import finalize

    start = time.monotonic()
    _make(args, plan, plan.incomplete(), cluster)
    return _tell(args, finalize(plan.path), time.monotonic() - start)


def _make(
    args: argparse.Namespace, plan: "Plan", shards: list[int], cluster: "Cluster | None" = None
) -> None:
    from fastmel.corpus import run
    from fastmel.corpus.progress import EventLog, Progress

    args.is_planned = True
    if not shards:
        return
    listeners: list[run.Listener] = []
    with contextlib.ExitStack() as stack:
        if not args.quiet:
            progress = Progress(plan, sys.stderr)
            stack.callback(progress.end)
            listeners.append(progress)
        if args.log_file:
            file = stack.enter_context(open(args.log_file, "a", encoding="utf-8"))
            log = EventLog(plan, file)
            log.write("begin", plan=plan.digest, shards=len(shards))
            listeners.append(log)

        def tell(report: dict[str, Any] | None) -> None:
            for listener in listeners:
                listener(report)

        run.run(
            plan,
            shards,
            cluster=cluster,
            workers=args.workers,
            timeout=args.timeout_per_file,
            memory=args.memory_per_worker,
            max_failures=0 if args.fail_fast else args.max_failures,
            listener=tell,
        )


def _made(plan: "Plan", shards: list[int]) -> dict[str, Any]:
    """Sum up the part of a run that a task made."""
    from fastmel.corpus.work import report_of

    reports = [report_of(plan.side(index)) for index in shards]
    return {
        "plan": plan.digest,
        "planned": sum(plan.shards[index][1] for index in shards),
        "written": sum(report["written"] for report in reports),
        "failed": sum(sum(report["failures"].values()) for report in reports),
        "shards": len(shards),
    }


def _tell(args: argparse.Namespace, summary: Any, elapsed: float) -> int:
    if args.json:
        print(json.dumps({**asdict(summary), "elapsed": round(elapsed, 3)}))
    if not args.quiet:
        hours = summary.seconds / 3600
        _say(
            f"{summary.written:,} of {summary.planned:,} inputs written to {args.output}: "
            f"{hours:.2f} h of audio, {summary.frames:,} frames, {summary.bytes / 1e6:,.1f} MB"
        )
    if summary.failed:
        classes = ", ".join(f"{n} {class_}" for class_, n in summary.failures.items())
        _say(f"{summary.failed:,} failed ({classes}): see {args.output / 'failures.jsonl'}")
    return 3 if summary.failed else 0


def _dry_run(args: argparse.Namespace) -> int:
    """Tell what would be done."""
    from fastmel.corpus import sources
    from fastmel.corpus.plan import plan_of

    if not args.inputs:
        raise ParameterError("--dry-run needs inputs")
    settings = _settings(args)
    items = sources.find(args.inputs, stdin=sys.stdin)[: settings["limit"]]
    plan, _ = plan_of(args.output, settings, items)
    known = sum(item.duration for item in items if item.duration is not None)
    guessed = _seconds([item for item in items if item.duration is None])
    config = plan.config
    n_frames = (known + guessed) * config.sr / config.hop_length
    folder = next(
        p for p in (args.output.absolute(), *args.output.absolute().parents) if p.exists()
    )
    facts = {
        "items": plan.n_items,
        "hours": round((known + guessed) / 3600, 2),
        "hours_known": round(known / 3600, 2),
        "shards": len(plan.shards),
        "source_bytes": sum(item.size or 0 for item in items),
        "bytes": round(n_frames * plan.n_features * (2 if plan.dtype == "float16" else 4)),
        "bytes_free": shutil.disk_usage(folder).free,
    }
    if args.json:
        print(json.dumps(facts))
    else:
        print(
            f"{facts['items']:,} inputs in {facts['shards']:,} shards, about {facts['hours']:,} h\n"
            f"about {facts['bytes'] / 1e6:,.1f} MB of features from "
            f"{facts['source_bytes'] / 1e6:,.1f} MB; {facts['bytes_free'] / 1e6:,.0f} MB are free"
        )
    return 0


def _seconds(items: Sequence[Any]) -> float:
    """Guess how long recordings are by their sizes, from what a second takes in some of them."""
    from fastmel.corpus.reading import opened

    n_bytes, seconds = 0, 0.0
    for item in items[:: 1 + len(items) // _SOME]:
        with contextlib.suppress(Exception), opened(item) as recording:  # a run will tell
            n_bytes, seconds = n_bytes + item.size, seconds + recording.duration
    rate = n_bytes / seconds if seconds and n_bytes else _BYTES_PER_SECOND
    return sum(item.size or 0 for item in items) / rate


# the other commands


def _status(args: argparse.Namespace) -> int:
    from fastmel.corpus.check import status

    found = status(args.output)
    if args.json:
        print(json.dumps(found))
        return 0
    state = "finished" if found["is_finished"] else "not finished"
    print(
        f"{state}: {found['written']:,} written, {found['failed']:,} failed, {found['left']:,} "
        f"left of {found['planned']:,}; {found['shards_made']:,} of {found['shards']:,} shards, "
        f"{found['seconds'] / 3600:.2f} h of audio, {found['bytes'] / 1e6:,.1f} MB"
    )
    for class_, n in found["failures"].items():
        print(f"{n:>8,} {class_}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from fastmel.corpus import run
    from fastmel.corpus.check import damage, reopen, unworked
    from fastmel.corpus.plan import load_plan

    found = damage(args.output, deep=args.deep)
    for where, wrong in found.items():
        for text in wrong:
            _say(f"{f'shard {where}' if isinstance(where, int) else where}: {text}")
    left = None
    if "plan.json" not in found:
        plan = load_plan(args.output)
        if args.reopen and found:
            with run.locked(args.output):
                reopen(plan, [index for index in found if isinstance(index, int)])
        left = unworked(plan)
    if args.json:
        print(json.dumps({"damage": {str(k): v for k, v in found.items()}, "left": left}))
    elif not found:
        print(f"no damage{f', but {left:,} inputs are not worked on yet' if left else ''}")
    return 4 if found else 0


def _retry(args: argparse.Namespace) -> int:
    from fastmel.corpus import run
    from fastmel.corpus.check import tried_again
    from fastmel.corpus.plan import load_plan

    plan = load_plan(args.output)
    with _cluster(args) as cluster, run.locked(args.output):
        if cluster is None:
            plan.check_versions()
        with tried_again(plan, args.reason):
            return _run(args, plan, cluster)


def _report(args: argparse.Namespace) -> int:
    from fastmel.corpus.durable import write_file
    from fastmel.corpus.report import page

    write_file(args.output, "report.html", page(args.output).encode(errors="backslashreplace"))
    path = args.output / "report.html"
    print(json.dumps({"report": str(path)}) if args.json else path)
    return 0


def _finalize(args: argparse.Namespace) -> int:
    from fastmel.corpus import run
    from fastmel.corpus.plan import load_plan

    load_plan(args.output)  # refuses before a folder is made
    args.quiet = False
    with run.locked(args.output):
        return _tell(args, run.finalize(args.output), 0.0)


# the words


def _option(word: str) -> tuple[str, Any]:
    """Read KEY=VALUE, the value as JSON where it is that."""
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{word!r} is not KEY=VALUE")
    with contextlib.suppress(ValueError):
        return key.replace("-", "_"), json.loads(value)
    return key.replace("-", "_"), value


def _share_or_count(word: str) -> float:
    """Read a number of inputs, or a share of them as "1%"."""
    with contextlib.suppress(ValueError, OverflowError):
        value = float(word.removesuffix("%"))
        if word.endswith("%") and value >= 0:
            return value / 100 if value < 100 else math.inf  # of all; from 1 on it is a count
        if value >= 0 and value == int(value):
            return value
    raise argparse.ArgumentTypeError(f"{word!r} is neither a number of inputs nor a share as 1%")


def _bytes(word: str) -> int:
    """Read a number of bytes: 500M, 2G."""
    with contextlib.suppress(ValueError, OverflowError):
        scale = {"K": 10, "M": 20, "G": 30}.get(word[-1:].upper(), 0)
        n_bytes = int(float(word[:-1] if scale else word) * (1 << scale))
        if n_bytes > 0:
            return n_bytes
    raise argparse.ArgumentTypeError(f"{word!r} is no number of bytes, such as 500M or 2G")


def _seconds_of(word: str) -> float:
    """Read a time that may pass."""
    with contextlib.suppress(ValueError):
        if (seconds := float(word)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{word!r} is not a positive number of seconds")


def _classes(word: str) -> list[str]:
    """Read classes of failures: timeout,oom."""
    from fastmel.corpus.reading import CLASSES

    classes = word.split(",")
    for class_ in classes:
        if class_ not in CLASSES:
            raise argparse.ArgumentTypeError(
                f"{class_!r} is no class of failures; there are {', '.join(CLASSES)}"
            )
    return classes


_DESCRIPTION = """\
Compute the features of a whole corpus: every input is in the output, or in OUT/failures.jsonl
with a reason. It can be interrupted, or killed, at any moment: the same line goes on.

SRC is a file, a folder, a glob, a list (.txt), a table (.csv, .tsv, .jsonl), Kaldi's wav.scp, a tar
file, the URL of any of these but tar files, or - for a list on standard input. Without SRC, a run
is taken up that OUT holds.
"""

_EXAMPLES = """\
examples:
  fastmel extract corpus/ -o features --frontend whisper
  fastmel extract train.tsv -o shards --format wds --dtype float16 --frontend kaldi
  fastmel extract corpus/ -o shards --dry-run
  fastmel extract -o shards --task-index $SLURM_ARRAY_TASK_ID --task-count 100
  fastmel extract corpus/ -o /shared/out --scheduler-file /shared/scheduler.json

exit codes: 0 all written, 1 output cannot be written, 2 bad command line, 3 finished and some
inputs failed, 5 too many failed, 130 interrupted, 143 terminated
"""


def _add_extract_arguments(parser: argparse.ArgumentParser) -> None:
    from fastmel.corpus.sinks import FORMATS

    add = parser.add_argument
    add("inputs", nargs="*", metavar="SRC", help="what to read (see above)")
    add("-o", "--output", metavar="OUT", type=_folder, required=True, help="the output folder")
    add("--dry-run", action="store_true", help="tell what would be done")
    add("--plan-only", action="store_true", help="plan, for tasks that go on without SRC")
    add("--overwrite", action="store_true", help="remove what an earlier run wrote to OUT")
    add("--json", action="store_true", help="print the summary as one JSON object")
    add("--task-index", type=int, metavar="I", help="make a part of the shards only, part I of ...")
    add("--task-count", type=int, metavar="N", help="... N; then: fastmel finalize OUT")

    # what is not given is left to check_settings: what goes on has settings already
    output = parser.add_argument_group("the features", argument_default=argparse.SUPPRESS)
    add = output.add_argument
    add(
        "--frontend",
        metavar="NAME",
        help="one of those that `fastmel frontends` lists (default: whisper)",
    )
    add(
        *("-O", "--option"),
        action="append",
        type=_option,
        metavar="KEY=VALUE",
        help="an option of the front end, or any field of fastmel.MelConfig; as often as needed",
    )
    add("--format", choices=FORMATS, help="of the output (default: npy)")
    add("--dtype", choices=("float32", "float16"), help="(default: float32)")
    add(
        "--layout",
        choices=("frames_first", "mels_first"),
        help="axes of the features (default: frames_first)",
    )
    add(
        "--max-duration",
        type=float,
        metavar="S",
        help="longer inputs fail as too_long (default: 14400 seconds)",
    )
    add("--partial", action="store_true", help="take what is there of files that end too early")
    add("--limit", type=int, metavar="N", help="take the first N inputs only")
    _add_run_arguments(parser)


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the run").add_argument
    add("--workers", type=_positive, metavar="N", help="processes (default: one for each CPU)")
    add(
        "--timeout-per-file",
        type=_seconds_of,
        default=300.0,
        metavar="S",
        help="what takes longer, twice, fails (default: %(default)g seconds)",
    )
    add(
        "--memory-per-worker",
        type=_bytes,
        metavar="BYTES",
        help="as 2G; what needs more fails (default: the worker's share of the memory)",
    )
    add(
        "--max-failures",
        type=_share_or_count,
        metavar="N|P%",
        help="end the run if more inputs failed",
    )
    add("--fail-fast", action="store_true", help="end the run if an input failed")
    add("--log-file", metavar="FILE", help="append what happens as lines of JSON")
    add("--quiet", action="store_true", help="no progress")

    cluster = parser.add_argument_group("a Dask cluster").add_mutually_exclusive_group()
    add = cluster.add_argument
    add("--scheduler", metavar="ADDRESS", help="let its workers do it; as tcp://host:8786")
    add("--scheduler-file", metavar="FILE", type=Path, help="the same: what the scheduler wrote")


def _folder(word: str) -> Path:
    from fastmel.corpus.sources import is_url

    if is_url(word):
        raise argparse.ArgumentTypeError(f"{word!r} is a URL; write to a folder and copy that")
    return Path(word)


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"{word!r} is not a positive whole number")
    return int(word)
