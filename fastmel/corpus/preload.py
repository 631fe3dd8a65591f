"""What the server imports that processes start from: they find compiled code in their memory."""

import contextlib
import os

from fastmel.corpus.work import warm
from fastmel.engines.pool import set_num_threads
from fastmel.frontends.config import MelConfig
from fastmel.frontends.transform import transform_for

__all__ = ["CONFIG"]

#: variable of the environment with the front end's configuration
CONFIG = "FASTMEL_PRELOAD"

if CONFIG in os.environ:
    set_num_threads(1)  # a process that has threads cannot be forked
    with contextlib.suppress(Exception):  # who needs it will tell
        warm(transform_for(MelConfig.from_json(os.environ[CONFIG])))
