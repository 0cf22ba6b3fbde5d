"""What a worker of Ray loads while it waits to become a shard: see cluster/life/spare_workers.py.

Ray imports this module by its name, in each worker, before the worker takes work. So all is done by importing it. A
worker that waits ends with its node, too: it looks only every half minute whether that is still there.
"""

from __future__ import annotations

from cluster.life import spare_workers
from cluster.life.code_on_disk import loaded
from cluster.life.heartbeat import end_with_parent

end_with_parent()
loaded()  # what is loaded from now on is of this moment, or newer
if spare_workers.are_wanted():
    from actors.shard_actor import prepare

    prepare()
