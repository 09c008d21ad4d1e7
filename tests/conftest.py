from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Read when grpc is first imported: a hub that a test stops is not worth a line.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

# How long an example takes says how busy the machine is, and nothing of the hub.
settings.register_profile("hub", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hub")

pytest_plugins = ["tests.support.keeping", "tests.support.kafka_run", "tests.support.postgresql"]
