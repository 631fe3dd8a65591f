"""A whole corpus: every input is in the output, or in the list of failures with a reason."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmel.corpus.plan import Plan
    from fastmel.corpus.run import Summary

__all__ = ["extract", "finalize", "load_plan", "run_shard"]


def extract(
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]] | None,
    out: str | Path,
    *,
    frontend: str = "whisper",
    format: str = "npy",
    max_duration: float = 4 * 3600.0,
    partial: bool = False,
    limit: int | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    timeout: float | None = 300.0,
    memory: int | None = None,
    max_failures: float | None = None,
    overwrite: bool = False,
    listener: Callable[[dict[str, Any] | None], None] | None = None,
    **options: Any,
) -> "Summary":
    """Compute the features of a corpus.

    The same call goes on where one was interrupted, and does nothing if all is done. Programs that
    call it need the guard ``if __name__ == "__main__":``, for processes import them.

    Parameters
    ----------
    inputs : path, str or sequence of these, optional
        Files, folders, globs, manifests, URLs (see :func:`fastmel.corpus.sources.find`); None goes
        on with the plan in `out`.
    out : path
        The output folder.
    frontend : str
        One of :func:`fastmel.frontends.names`.
    format : {"npy", "wds", "parquet", "kaldi"}
        A file for each input, WebDataset shards, Parquet files, Kaldi archives.
    max_duration : float
        Items of more seconds fail as "too_long".
    partial : bool
        Take what is there of files that end too early, which else fail as "truncated".
    limit : int, optional
        Take the first items only.
    executor : concurrent.futures.Executor, optional
        What runs the shards, such as a Dask client's; processes of this machine by default.
    workers : int, optional
        Processes, by default one for each CPU that this process may use; or half the shards that
        `executor` is given at a time.
    timeout : float, optional
        Seconds that an item may take, twice; not with `executor`.
    memory : int, optional
        Bytes that a process may have, by default its share of what there is; not with `executor`.
    max_failures : float, optional
        Failed items, or below 1 their share of all, above which the run ends.
    overwrite : bool
        Remove what an earlier run wrote to `out`, and begin anew.
    listener : callable, optional
        Called with the report of each shard that was made, and with None now and then.
    **options
        Options of the front end and fields of :class:`fastmel.MelConfig`. The layout is
        "frames_first" and the dtype "float32" if nothing else is said.

    Returns
    -------
    Summary
        What was written, and what failed.

    Raises
    ------
    ParameterError
        If an argument is out of range, or `out` was planned with others.
    TooManyFailures
        If more than `max_failures` items failed.
    OSError
        If the output cannot be written, or another run is writing it.
    """
    from fastmel.corpus import plan as plans
    from fastmel.corpus import run
    from fastmel.corpus.sources import is_url
    from fastmel.exceptions import ParameterError

    if is_url(str(out)):
        raise ParameterError(f"out={out!r} is a URL; write to a folder and copy that")
    for name, value, kind, what in (
        ("workers", workers, Integral, "whole number"),
        ("timeout", timeout, Real, "number of seconds"),
        ("memory", memory, Integral, "whole number of bytes"),
    ):
        if value is not None and not (isinstance(value, kind) and value > 0):
            raise ParameterError(f"{name}={value!r} is not a positive {what}")
    if max_failures is not None and not (isinstance(max_failures, Real) and max_failures >= 0):
        raise ParameterError(f"max_failures={max_failures!r} is neither a number nor a share")
    folder = Path(out).absolute()  # the working directory may change meanwhile
    if inputs is None:
        plans.load_plan(folder)  # refuses before it makes the folder
        given = (frontend, format, max_duration, partial, limit, overwrite, options)
        if given != ("whisper", "npy", 4 * 3600.0, False, None, False, {}):
            raise ParameterError(
                f"without inputs, {folder} goes on with the options that it was planned with: give "
                "no others"
            )
    else:
        given_inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
        names = [fspath(one) for one in given_inputs]
        settings = run.check_settings(
            frontend, format, options, max_duration=max_duration, partial=partial, limit=limit
        )
    with run.locked(folder):
        if inputs is None:
            plan = plans.load_plan(folder)
        else:
            plan = run.plan_for(folder, settings, names, overwrite=overwrite)
        run.run(
            plan,
            plan.incomplete(),
            executor=executor,
            workers=workers,
            timeout=timeout,
            memory=memory,
            max_failures=max_failures,
            listener=listener or (lambda report: None),
        )
        return run.finalize(folder)


def finalize(folder: str | Path) -> "Summary":
    """Write the manifest, the list of failures and the summary of a complete run."""
    from fastmel.corpus.run import finalize

    return finalize(folder)


def load_plan(folder: str | Path) -> "Plan":
    """Return the plan of an output folder: its shards, and which are not made yet."""
    from fastmel.corpus.plan import load_plan

    return load_plan(folder)


def run_shard(folder: str | Path, index: int) -> dict[str, Any]:
    """Make one shard of a plan, unless it is there; returns a small report."""
    from fastmel.corpus.work import run_shard

    return run_shard(folder, index)
