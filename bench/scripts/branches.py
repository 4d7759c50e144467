"""Branches and snapshots of one SQLite database, in a forkdb store and in a daxcow pool, both from this Python by SQL.

    branches.py EXTENSION POOL STORE ROUNDS ROWS REPEATS

Prints lines of case, side and microseconds, with tabs between. EXTENSION is libdaxcow_sqlite.so.
"""

import random
import sqlite3
import statistics
import sys
import time

import forkdb

extension, pool, store, rounds, rows, repeats = sys.argv[1:]
rounds, rows, repeats = int(rounds), int(rows), int(repeats)


def loaded(connection):
    """The connection, with the daxcow extension loaded."""
    connection.enable_load_extension(True)
    connection.load_extension(extension)
    connection.enable_load_extension(False)
    return connection


loaded(sqlite3.connect(":memory:"))
host = forkdb.connect()
host.execute("SELECT forkdb_init(?)", (store,))


class Daxcow:
    name = "daxcow"

    def __init__(self):
        self.main = sqlite3.connect(f"file:{pool}/main.db?vfs=daxcow", uri=True, isolation_level=None)

    def branch(self, name):
        self.main.execute("SELECT daxcow_clone(?)", (name + ".db",)).fetchone()

    def snapshot(self, name):
        self.main.execute("SELECT daxcow_snapshot(?)", (name,)).fetchone()


class Forkdb:
    name = "forkdb"

    def __init__(self):
        self.main = forkdb.open_branch(host, store, isolation_level=None)

    def branch(self, name):
        host.execute("SELECT forkdb_fork(?, 'main', ?)", (store, name)).fetchone()

    def snapshot(self, name):
        host.execute("SELECT forkdb_snapshot(?, 'main', ?)", (store, name)).fetchone()


sides = [Daxcow(), Forkdb()]
for side in sides:
    side.main.execute("PRAGMA synchronous=FULL")
    side.main.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
    side.main.execute(
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ?) "
        "INSERT INTO t SELECT id, randomblob(1000) FROM n",
        (rows,),
    )


def micros(act):
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1e6


def update(side, spots):
    side.main.execute("UPDATE t SET v = randomblob(1000) WHERE id = ?", (spots.randint(1, rows),))


size = f"{rows} rows of 1 kB"
for number in range(rounds):
    for side in sides[number % 2 :] + sides[: number % 2]:
        spots = random.Random(number)
        times = {"branch": [], "first UPDATE after a branch": [], "UPDATE after that": [], "snapshot": []}
        for repeat in range(repeats):
            name = f"{number}-{repeat}"
            times["branch"].append(micros(lambda: side.branch("b" + name)))
            times["first UPDATE after a branch"].append(micros(lambda: update(side, spots)))
            times["UPDATE after that"].append(micros(lambda: update(side, spots)))
            times["snapshot"].append(micros(lambda: side.snapshot("s" + name)))
        for case, found in times.items():
            print(f"{case}, {size}\t{side.name}\t{statistics.median(found):.3f}", flush=True)
