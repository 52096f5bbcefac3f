"""What tests of queues need: a pytest plugin, a hand-turned clock, a store that fails on demand, a provider.

`pytest -p aiq.testing` loads the plugin. It is named here, not imported, so that the rest of this package, the
provider above all, can be used where pytest is not installed.
"""

from aiq.testing.clock import Clock
from aiq.testing.faulty import CancelAt, Delay, Faulty, LoseReply, Refuse

__all__ = ["CancelAt", "Clock", "Delay", "Faulty", "LoseReply", "Refuse"]

pytest_plugins = ["aiq.testing.plugin"]
