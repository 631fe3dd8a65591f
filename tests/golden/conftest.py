"""make.py is no test: it needs the packages that the files here stand for."""

collect_ignore = ["make.py"]
