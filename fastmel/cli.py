"""The ``fastmel`` command: words in, calls, files and exit codes out.

Exit codes: 0 all went well, 1 some input or output failed (each with a line on standard error),
2 the command line asks for something impossible (nothing was done), 130 interrupted.
"""

import argparse
import importlib.util
import inspect
import io
import json
import os
import platform
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO

import fastmel
from fastmel.corpus import cli as corpus

__all__ = ["main"]

#: what ``fastmel warmup`` compiles for: the frame lengths in common use
_COMMON_N_FFT = (400, 512, 1024, 2048, 4096)

_NO_MATPLOTLIB = "pictures need matplotlib: pip install 'fastmel[display]'"


class _Refused(Exception):
    """The command line asks for something impossible; the message says what and why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``fastmel``; those of the process if not given.

    Returns
    -------
    int
        The exit code.
    """
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names that are not text
    args = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: _complain(f"warning: {message}")
        try:
            code = int(args.run(args))
            print(end="", flush=True)  # to fail here, not at exit
            return code
        except _Refused as refusal:
            _complain(f"error: {refusal}")
            return 2
        except BrokenPipeError:  # the reader of our output, as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as error:
            _complain(f"error: {f'{error.filename}: ' if error.filename else ''}{_reason(error)}")
            return 1
        except KeyboardInterrupt:
            _complain("interrupted")
            return 130


def _open_closed_streams() -> None:
    """Open the standard streams that are closed: other files would get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stderr is None:  # and what is said would go to standard output
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _complain(text: str) -> None:
    print(f"fastmel: {text}", file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    """Tell in one line what went wrong, without the name of the file."""
    text = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()) or type(error).__name__


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place if the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _timed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    start = perf_counter()
    result = call(*args, **kwargs)
    return result, perf_counter() - start


# fastmel mel


def _mel(args: argparse.Namespace) -> int:
    import numpy as np
    import soundfile

    out: Path = args.output
    files = _by_name(args.files)
    if out.suffix == ".npy" and len(files) > 1:
        raise _Refused(f"{out} can hold one input; give a directory or a .npz for {len(files)}")
    is_folder = out.suffix not in (".npy", ".npz")
    if is_folder and out.exists() and not out.is_dir():
        raise _Refused(f"{out} is not a directory, and its name ends neither in .npy nor in .npz")
    if args.plot and not importlib.util.find_spec("matplotlib"):
        raise _Refused(_NO_MATPLOTLIB)
    rate, transform = _transforms(args)

    folder = out if is_folder else out.parent
    folder.mkdir(parents=True, exist_ok=True)
    archive: dict[str, Any] = {}
    failed = 0
    for name, source in files.items():
        try:
            (y, sr), reading = _timed(_load, source, rate)
            mel, computing = _timed(transform(sr), y)
        except (OSError, ValueError, MemoryError, soundfile.SoundFileError) as error:
            failed += 1
            _complain(f"{source}: {_reason(error)}")
            continue
        array = out if out.suffix == ".npy" else folder / f"{name}.npy"
        if out.suffix == ".npz":
            archive[name] = mel
        else:
            with _replacing(array) as file:
                np.save(file, mel)
        if args.plot and not mel.size:
            failed += 1
            _complain(f"{source}: no picture was made: the signal is shorter than a frame")
        elif args.plot:
            from fastmel.display import save_mel

            with _replacing(array.with_suffix(".png")) as file:
                save_mel(file, mel, transform(sr).config, title=name)
        if not args.quiet:
            seconds, taken = fastmel.get_duration(y=y, sr=sr), reading + computing
            print(
                f"{source}  {mel.shape}  {seconds:.2f} s of audio in {taken:.3f} s "
                f"({1e3 * computing:.2f} ms without reading), {seconds / taken:.0f}x real time",
                flush=True,
            )
    if archive:
        with _replacing(out) as file, zipfile.ZipFile(file, "w") as entries:
            for name, mel in archive.items():
                with entries.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, mel)
    return 1 if failed else 0


def _by_name(files: list[str]) -> dict[str, str]:
    """Name each input's output after the input; refuse two inputs that would get one name."""
    named: dict[str, str] = {}
    for file in files:
        name = "stdin" if file == "-" else Path(file).stem
        if name in named:
            raise _Refused(f"{named[name]} and {file} would both be written as {name!r}")
        named[name] = file
    return named


def _transforms(args: argparse.Namespace) -> tuple[float | None, Callable[[float], Any]]:
    """Return the rate to read files at (None: each file's own) and the transform for a rate.

    Refuses options that cannot work.
    """
    try:
        if args.threads is not None:
            fastmel.set_num_threads(args.threads)
        if args.engine == "cuda":
            from fastmel.engines import cuda

            cuda.check()
        options = _options(args)
        if args.frontend is not None:
            if options.get("sr", 0) is None:
                raise _Refused("--sr native leaves no rate for --frontend; give HZ or leave it out")
            fastmel.frontends.preset(args.frontend, **options)  # refuses "name" and "engine", too
            frontend = fastmel.frontend(args.frontend, engine=args.engine, **options)
            return frontend.sample_rate, lambda sr: frontend
        rate = options.pop("sr", 22050)
        options = {"log": "db", **options}
        transform = cache(lambda sr: fastmel.MelSpectrogram(sr=sr, engine=args.engine, **options))
        if rate is None:
            fastmel.MelConfig(**options)
        else:
            transform(rate)
    except (TypeError, ValueError) as error:
        raise _Refused(_reason(error)) from None
    return rate, transform


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Gather the options that were given, those of -O too; the rest have no place in `args`."""
    options = {name: value for name, value in vars(args).items() if name in _CONFIG_OPTIONS}
    if options.get("log") == "none":
        options["log"] = None
    defaults = _own_options(args.frontend) if args.frontend else {}
    for key, word in args.option:
        if key in options:
            raise _Refused(f"{key} is given twice")
        default = defaults.get(key)
        options[key] = word if isinstance(default, str) else _value(word)
        if isinstance(default, (int, float)) and not isinstance(options[key], (int, float)):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise _Refused(f"{key}={word} is not {kind}")
    return options


def _own_options(name: str) -> dict[str, Any]:
    """Return the options that a front end has beside the fields of MelConfig, by their defaults."""
    from fastmel.frontends import preset, presets

    preset(name)  # says what there is if this is not
    parameters = inspect.signature(getattr(presets, name.replace("-", "_"))).parameters
    return {key: parameter.default for key, parameter in parameters.items()}


def _value(word: str) -> Any:
    """Read a value as JSON or as Python writes it, several between commas; or else as a word."""
    if word.lower() in ("none", ""):
        return None
    for text in word.lower(), f"[{word}]":
        with suppress(ValueError):
            return json.loads(text)
    return word


def _load(source: str, sr: float | None) -> Any:
    """Return samples and sampling rate of a file, or of standard input for ``-``."""
    if source == "-":
        return fastmel.load(sys.stdin.buffer.read(), sr=sr)
    # Opened here, because the system knows more reasons for a refusal than libsndfile has words.
    with open(source, "rb") as file:
        return fastmel.load(file, sr=sr)


# fastmel frontends


def _frontends(args: argparse.Namespace) -> int:
    from fastmel.frontends import describe, names, preset

    configs = {name: preset(name) for name in names()}
    if args.json:
        print(json.dumps({name: config.to_dict() for name, config in configs.items()}, indent=1))
        return 0
    lines = [("NAME", "RATE", "FFT/HOP", "FEATURES", "LOG", "MODEL")]
    for name, config in configs.items():
        axes = (str(config.n_features), str(config.n_frames or "T"))
        lines.append(
            (
                name,
                f"{config.sr:g}",
                f"{config.n_fft}/{config.hop_length}",
                ", ".join(axes if config.layout == "mels_first" else axes[::-1]),
                config.log or "-",
                describe(name),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    # cut at the terminal's edge, but whole for a file or a pipe
    n_columns = shutil.get_terminal_size(fallback=(sum(widths) + 2 * len(widths), 0)).columns
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        text = text.rstrip()
        print(text if len(text) <= n_columns else f"{text[: n_columns - 1]}…")
    return 0


# fastmel demo


def _demo(args: argparse.Namespace) -> int:
    import numpy as np
    import soundfile

    from fastmel.demo import clip

    sr = 22050
    folder: Path = args.output
    folder.mkdir(parents=True, exist_ok=True)
    wav, npy, png = (folder / f"clip.{suffix}" for suffix in ("wav", "npy", "png"))

    with _replacing(wav) as file:
        soundfile.write(file, clip(sr), sr, format="WAV")
    y, _ = fastmel.load(wav, sr=sr)
    transform = fastmel.MelSpectrogram(sr=sr, log="db")
    _, first = _timed(transform, y)
    log_mel, second = _timed(transform, y)
    with _replacing(npy) as file:
        np.save(file, log_mel)

    seconds = fastmel.get_duration(y=y, sr=sr)
    print(f"clip     {wav}: {seconds:.1f} s of notes, voice and noise at {sr} Hz")
    print(f"log-mel  {npy}: {log_mel.shape} {log_mel.dtype}, dB")
    if importlib.util.find_spec("matplotlib"):
        from fastmel.display import save_mel

        with _replacing(png) as file:
            save_mel(file, log_mel, transform.config, title="fastmel demo")
        print(f"picture  {png}")
    else:
        _complain(f"no picture was made: {_NO_MATPLOTLIB}")
    for which, time in ("first call, kernels compiled or loaded", first), ("second call", second):
        print(f"time     {1e3 * time:.2f} ms, {seconds / time:.0f}x real time ({which})")
    return 0


# fastmel info


def _info(args: argparse.Namespace) -> int:
    facts = _facts()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        for name, fact in facts.items():
            print(f"{name:<15} {fact}")
    return 0


def _facts() -> dict[str, Any]:
    """Gather what a report of a wrong result or a slow machine should name."""
    import soundfile

    from fastmel.kernels.jit import cache_directory, cpu_name, simd_width

    packages = ("numpy", "scipy", "numba", "llvmlite", "soundfile", "soxr")
    directory = cache_directory()
    try:
        matplotlib = version("matplotlib")
    except PackageNotFoundError:
        matplotlib = None
    return {
        "fastmel": fastmel.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{package: version(package) for package in packages},
        "libsndfile": soundfile.__libsndfile_version__,
        "matplotlib": matplotlib,
        "cpu": cpu_name(),
        "simd_width": simd_width(),
        "threads": fastmel.get_num_threads(),
        "gpu": _gpu(),
        "cache": directory and str(directory),
        "cache_writable": directory is not None and os.access(directory, os.W_OK),
    }


def _gpu() -> str:
    """Say which GPU there is, or why there is none."""
    try:
        from fastmel.engines import cuda
    except fastmel.ParameterError as error:
        return f"none: {error}"
    return cuda.describe()


# fastmel warmup


def _warmup(args: argparse.Namespace) -> int:
    import numpy as np

    from fastmel.kernels.jit import cache_directory

    if cache_directory() is None:
        _complain("nothing can be kept: the cache is off, or FASTMEL_CACHE_DIR cannot be written")
        return 1
    silence = np.zeros(22050, dtype=np.float32)

    def run_frontends() -> None:
        for name in fastmel.frontends.names():
            frontend = fastmel.frontend(name)
            frontend(silence)
            frontend.stream(running=True, n_frames=None).push(silence)

    def run(n_fft: int) -> str:
        transform = fastmel.MelSpectrogram(n_fft=n_fft, n_mels=1)
        transform(silence)
        fastmel.istft(fastmel.stft(silence, n_fft=n_fft))
        return str(transform.engine)

    _, seconds = _timed(fastmel.power_to_db, silence)
    print(f"decibels     {seconds:6.2f} s", flush=True)
    for n_fft in sorted({*_COMMON_N_FFT, *args.n_fft}):
        engine, seconds = _timed(run, n_fft)
        print(f"n_fft {n_fft:>5}  {seconds:6.2f} s  ({engine} engine)", flush=True)
    _, seconds = _timed(run_frontends)
    print(f"front ends   {seconds:6.2f} s", flush=True)
    return 0


# the words


#: the options of ``fastmel mel`` that MelConfig has under the same name
_CONFIG_OPTIONS = (
    *("sr", "n_fft", "hop_length", "win_length", "window", "center", "pad_mode", "power"),
    *("n_mels", "fmin", "fmax", "htk", "norm", "log", "ref", "top_db"),
)


def _rate(word: str) -> int | None:
    """Read a sampling rate: a whole number of Hz, or "native" as None."""
    if word == "native":
        return None
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"{word!r} is neither a positive number nor 'native'")
    return int(word)


def _frame_length(word: str) -> int:
    """Read a frame length that has an inverse: a whole number of samples, more than one."""
    if not word.isdecimal() or int(word) < 2:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number of at least 2")
    return int(word)


def _window(word: str) -> str | tuple[str | float, ...]:
    """Read a window: a name, or a name and its parameters, as in "kaiser,14"."""
    name, *parameters = word.split(",")
    try:
        return (name, *map(float, parameters)) if parameters else name
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r}: a number must follow each comma") from None


def _number_or(*words: str) -> Callable[[str], str | float | None]:
    """Make a reader of either a number or one of the words; the word "none" is read as None."""

    def read(word: str) -> str | float | None:
        if word in words:
            return None if word == "none" else word
        try:
            return float(word)
        except ValueError:
            expected = ", ".join(map(repr, words))
            raise argparse.ArgumentTypeError(
                f"{word!r} is neither a number nor {expected}"
            ) from None

    return read


def _assignment(word: str) -> tuple[str, str]:
    """Read KEY=VALUE; a key may be written with hyphens."""
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{word!r} is not KEY=VALUE")
    return key.replace("-", "_"), value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastmel",
        description="Mel spectrograms: librosa's numbers, many times faster.",
        epilog="Each command explains itself: fastmel mel --help",
    )
    parser.add_argument("--version", action="version", version=f"fastmel {fastmel.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    mel = commands.add_parser(
        "mel",
        help="write the mel spectrograms of audio files",
        description=_MEL_DESCRIPTION,
        epilog=_MEL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mel.set_defaults(run=_mel)
    _add_mel_arguments(mel)

    frontends = commands.add_parser(
        "frontends",
        help="list the front ends of known models",
        description="List the front ends of known models, which `fastmel mel --frontend NAME` "
        "computes: sampling rate in Hz, length of the FFT and step in samples, axes of the result "
        "(T: frames), logarithm, model.",
    )
    frontends.set_defaults(run=_frontends)
    frontends.add_argument(
        "--json", action="store_true", help="print every field of each configuration"
    )

    demo = commands.add_parser(
        "demo",
        help="make a clip, its log-mel and a picture of it",
        description="Make a clip of notes, voice and noise (clip.wav), compute its log-mel in dB "
        "(clip.npy), draw it (clip.png), and say how long the first and the second call took.",
    )
    demo.set_defaults(run=_demo)
    demo.add_argument(
        *("-o", "--output"),
        metavar="DIR",
        type=Path,
        default=Path("fastmel-demo"),
        help="where the three files go; made if missing (default: %(default)s)",
    )

    info = commands.add_parser(
        "info",
        help="print versions, processor, threads, GPU and cache",
        description="Print what a report of a wrong or slow result should name.",
    )
    info.set_defaults(run=_info)
    info.add_argument("--json", action="store_true", help="print one JSON object")

    warmup = commands.add_parser(
        "warmup",
        help="compile the kernels now, so that no later run waits for it",
        description="Compile the kernels for the common frame lengths and the front ends of known "
        "models and keep them in the cache, as a step of building a Docker image does: about half "
        "a minute. Fails if the cache cannot be written.",
        epilog="The cache is in FASTMEL_CACHE_DIR, or in the user's cache directory.",
    )
    warmup.set_defaults(run=_warmup)
    warmup.add_argument(
        "--n-fft",
        metavar="N",
        type=_frame_length,
        nargs="+",
        default=[],
        help=f"frame lengths to add to {', '.join(map(str, _COMMON_N_FFT))}",
    )
    corpus.add_commands(commands)
    return parser


_MEL_DESCRIPTION = """\
Write the mel spectrogram of each audio file as a NumPy array (n_mels, n_frames), float32, or
with --frontend the features that a model takes.

Files are mixed down to one channel and resampled to --sr, or to the model's rate. One that cannot
be read or used is named on standard error, and the others are still written. Outputs that exist
are replaced, each in one step: a reader never sees half a file. Defaults are librosa's, but in dB,
or the model's.
"""

_MEL_EXAMPLES = """\
examples:
  fastmel mel speech.wav -o speech.npy
  fastmel mel *.flac -o features --plot
  fastmel mel a.wav b.wav -o both.npz --sr 16000 --n-fft 400 --hop-length 160 --n-mels 80
  fastmel mel *.wav -o features --frontend whisper --n-mels 128 -O padding=30s
  ffmpeg -v error -i film.mkv -f wav - | fastmel mel - -o film.npy

exit codes: 0 all written, 1 some failed, 2 nothing done: bad command line, 130 interrupted
"""


def _add_mel_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="audio file, or - for standard input")
    add(
        *("-o", "--output"),
        metavar="OUT",
        type=Path,
        required=True,
        help="NAME.npy for one input; NAME.npz for one archive, keyed by the inputs' names "
        "without suffix; anything else is a directory for one .npy each",
    )
    add("--plot", action="store_true", help="also write a PNG of each, beside the arrays")
    add("--quiet", action="store_true", help="print nothing but failures")
    add("--threads", type=int, metavar="N", help="threads to compute with (default: all cores)")
    add(
        "--engine",
        choices=("auto", "fused", "scipy", "reference", "cuda"),
        default="auto",
        help="what computes; cuda: an NVIDIA GPU (default: %(default)s)",
    )

    model = parser.add_argument_group("known models")
    add = model.add_argument
    add(
        "--frontend",
        metavar="NAME",
        help="the features of a known model (`fastmel frontends` lists them), whose values take "
        "the place of the defaults below",
    )
    add(
        *("-O", "--option"),
        metavar="KEY=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="an option of that front end (-O padding=30s), or any field of fastmel.MelConfig "
        "(-O preemphasis=0.97); as often as needed",
    )

    # what is not given is left to MelConfig, or to the front end
    signal = parser.add_argument_group("frames and spectrum", argument_default=argparse.SUPPRESS)
    add = signal.add_argument
    add(
        "--sr",
        type=_rate,
        metavar="HZ",
        help='resample to this rate, or "native": keep each file\'s own (default: 22050)',
    )
    add("--n-fft", type=int, metavar="N", help="frame length (default: 2048)")
    add(
        "--hop-length",
        type=int,
        metavar="N",
        help="samples from one frame to the next (default: 512)",
    )
    add("--win-length", type=int, metavar="N", help="window length (default: that of the frame)")
    add(
        "--window",
        type=_window,
        metavar="NAME[,X...]",
        help='SciPy\'s name of the window, as "hamming" or "kaiser,14" (default: hann)',
    )
    add(
        "--no-center",
        dest="center",
        action="store_false",
        help="start the first frame, not centre it, at the first sample",
    )
    add(
        "--pad-mode",
        metavar="MODE",
        help="how the ends are extended: constant (zeros), reflect, edge, symmetric, linear_ramp "
        "or empty (default: constant)",
    )
    add(
        "--power",
        type=float,
        metavar="P",
        help="exponent of the magnitudes: 1 amplitude, 2 power (default: 2)",
    )

    bands = parser.add_argument_group("mel bands and logarithm", argument_default=argparse.SUPPRESS)
    add = bands.add_argument
    add("--n-mels", type=int, metavar="N", help="bands (default: 128)")
    add("--fmin", type=float, metavar="HZ", help="lowest (default: 0)")
    add("--fmax", type=float, metavar="HZ", help="highest (default: half the sampling rate)")
    add("--htk", action="store_true", help="HTK's mel scale instead of Slaney's")
    add(
        "--norm",
        type=_number_or("slaney", "none"),
        metavar="NORM",
        help="scale of the bands: slaney, none, or the p of an L^p norm (default: slaney)",
    )
    add(
        "--log",
        choices=("none", "db", "ln", "log10"),
        help="logarithm of the result (default: db)",
    )
    add(
        "--ref",
        type=_number_or("max"),
        metavar="VALUE",
        help="what becomes 0 after the logarithm: a number, or max for each file's largest value "
        "(default: 1)",
    )
    add("--top-db", type=float, metavar="DB", help="cut dB values this far below the maximum")
