from persistence.memory import MemoryCheckpointStore as BaseStore
from actors.core.tables import TableChange

class Reader:
    def __init__(self, position, epoch, changes): self.position, self.epoch, self.changes = position, epoch, changes
    def __iter__(self): return iter(self.changes)

class MemoryCheckpointStore(BaseStore):
    def read_pieces(self, rows_max):
        c = self.load()
        changes = [TableChange(self._tables[n], cols, {}) for n, cols in c.tables.items() if len(next(iter(cols.values())))]
        return Reader(c.position, c.epoch, changes)
    def replace(self, position, epoch, pieces):
        pieces = list(pieces)
        self._shelf.rows.clear(); self._shelf.position = 0; self._shelf.epoch = 0
        self.write(position, epoch, pieces)
