from __future__ import annotations

import os

# Read when grpc is first imported: a hub that a test stops is not worth a line.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

pytest_plugins = ["tests.support.keeping", "tests.support.kafka_run", "tests.support.postgresql"]
