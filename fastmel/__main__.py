"""``python -m fastmel`` is the ``fastmel`` command."""

from fastmel.cli import main

raise SystemExit(main())
