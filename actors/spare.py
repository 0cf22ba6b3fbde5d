"""What each worker of a local Ray loads before it takes work; a spare, all that a shard needs.

See cluster/life/spare_workers.py.

Ray imports this module by its name, in each worker, before the worker takes work. So all is done by importing it. A
worker that waits ends with its node, too: it looks only every half minute whether that is still there.
"""

from __future__ import annotations

from actors.garbage import seldom

seldom()  # of what is imported nothing is garbage; looking for it takes a fifth of a start

from cluster.life import spare_workers  # noqa: E402
from cluster.life.code_on_disk import loaded  # noqa: E402
from cluster.life.heartbeat import end_with_parent  # noqa: E402

end_with_parent()
loaded()  # what is loaded from now on is of this moment, or newer
if spare_workers.are_wanted():
    from actors.shard_actor import prepare

    prepare()
