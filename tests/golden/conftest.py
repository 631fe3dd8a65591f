"""No tests: scripts, of which make.py needs the packages that the files here stand for."""

collect_ignore = ["make.py", "table.py"]
