"""Measure the front ends of known models, and write the figures into README.md.

Run from an environment with the ``bench`` extra and as many of the rivals as there are (see
bench_frontends.py), on a machine that does nothing else:

    python benches/table_frontends.py

Takes two minutes. Rivals that are not installed are left out.
"""

from importlib.metadata import PackageNotFoundError, version

from table import README, digest, environment, measure, time_text

BEGIN = "<!-- speed of front ends, written by benches/table_frontends.py -->\n"
END = "<!-- end of speed of front ends -->"

RIVALS = ("asrfront", "transformers", "torch", "torchaudio", "kaldi-native-fbank")

#: bench -> what its work is called, given the part of its name in brackets
WORK = {
    "bench_whisper": "`whisper`, 30 s",
    "bench_kaldi": "`kaldi`, 30 s",
    "bench_hifigan": "`hifigan`, 10 s",
    "bench_stream": "`{0}`, 30 s in chunks of {1} ms",
    "bench_list_with_two_threads": "`{0}`, a list of 64 signals of 1 to 15 s, two threads",
}


def versions():
    for package in RIVALS:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def rows(entries):
    """Write the table's lines; the same work against another rival leaves its name out."""
    last = None
    for entry in entries:
        bench, _, case = entry["bench"].removesuffix("]").partition("[")
        work = WORK[bench].format(*case.split("-"))
        ours = time_text(entry["median"])
        if pushes := entry.get("pushes"):
            ours += f", {time_text(entry['median'] / pushes)} a push"
        for name, rival in entry["rivals"].items():
            shown = "| |" if work == last else f"| {work} |"
            theirs, ratio = time_text(rival["median"]), f"{rival['ratio']:.3g}x"
            yield f"{shown} {ours} | {name} | {theirs} | {ratio} |"
        last = work


def main():
    report = measure("bench_frontends.py")
    where = environment(report)
    text = "\n".join(
        [
            f"{where['machine']}; {', '.join([where['versions'], *versions()])}.",
            "",
            "| front end, work | fastmel | against | takes | ratio |",
            "|---|---|---|---|---|",
            *rows(digest(report)),
            "",
        ]
    )
    before, rest = README.read_text().split(BEGIN)
    README.write_text(before + BEGIN + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
