"""What the server imports that processes start from: they find compiled code in their memory."""

import contextlib
import os
import signal
import warnings

from fastmel.corpus.work import warm
from fastmel.engines.pool import set_num_threads
from fastmel.frontends.config import MelConfig
from fastmel.frontends.transform import transform_for

__all__ = ["CONFIG"]

#: variable of the environment with the front end's configuration
CONFIG = "FASTMEL_PRELOAD"

if CONFIG in os.environ:
    set_num_threads(1)  # a process that has threads cannot be forked
    # who needs it will tell of errors, and who asked for it of warnings
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
        warm(transform_for(MelConfig.from_json(os.environ[CONFIG])))
    # Ctrl-C was blocked so far. What came of it is dropped; the server is about to ignore more.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, before)
