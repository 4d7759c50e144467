#!/usr/bin/env python3
"""What a snapshot of a large SQLite database in a pool costs, beside cp and VACUUM INTO on the same file system.

    sqlite-vfs/examples/snapshot.py [DIRECTORY [SIZE-IN-MIB]]

Needs release builds of daxcow-cli and daxcow-sqlite-preload; SQLite is the one that Python is linked to, as it is. In
DIRECTORY (/dev/shm) a pool gets a database of SIZE-IN-MIB (1024), scattered by 20,000 updates of random rows while a
snapshot holds the old pages. Then 50 times: daxcow_snapshot(), the first updates after it, daxcow_drop_snapshot().
Everything it made is removed.
"""

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCATTERED_UPDATES = 20_000
ROUNDS = 50
ROW_BYTES = 1290  # three rows to a page of 4 KiB

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "release"
PRELOAD = TARGET / "libdaxcow_sqlite_preload.so"
DAXCOW = TARGET / "daxcow"


def timed(times, act):
    """Runs `act` and adds the microseconds that it took to `times`."""
    started = time.perf_counter_ns()
    answer = act()
    times.append((time.perf_counter_ns() - started) / 1000)
    return answer


def row(what, times):
    """Prints one line of the table."""
    times.sort()
    print(f"| {what} | {len(times)} | {times[0]:.0f} | {times[len(times) // 2]:.0f} | {times[-1]:.0f} |", flush=True)


def fill(db, rows):
    """A table of `rows` rows, and then updates of random ones while a snapshot shares every page."""
    db.execute("PRAGMA page_size=4096")
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, v BLOB)")
    db.execute(
        f"""WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)
            INSERT INTO t SELECT i, 0, randomblob({ROW_BYTES}) FROM c""",
        (rows,),
    )
    db.execute("SELECT daxcow_snapshot('scatter')").fetchall()
    for _ in range(SCATTERED_UPDATES):
        update(db, rows)
    db.execute("SELECT daxcow_drop_snapshot('scatter')").fetchall()


def update(db, rows):
    """Changes one row, as a transaction of its own."""
    db.execute("UPDATE t SET n = n + 1 WHERE id = ?", (random.randrange(rows) + 1,))


def measure(db, rows):
    """Snapshots, what is written after them, and their removal."""
    made, again, first, later, dropped = [], [], [], [], []
    for _ in range(ROUNDS):
        timed(made, lambda: db.execute("SELECT daxcow_snapshot('a')").fetchall())
        timed(again, lambda: db.execute("SELECT daxcow_snapshot('b')").fetchall())
        timed(first, lambda: update(db, rows))
        for _ in range(20):
            timed(later, lambda: update(db, rows))
        for name in "ab":
            timed(dropped, lambda: db.execute("SELECT daxcow_drop_snapshot(?)", (name,)).fetchall())
    row("daxcow_snapshot(), updates before it", made)
    row("daxcow_snapshot(), nothing written since the last", again)
    row("first UPDATE of one row after it", first)
    row("the 20 random UPDATEs after that", later)
    row("daxcow_drop_snapshot()", dropped)


def main():
    if os.environ.get("LD_PRELOAD") != str(PRELOAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_PRELOAD": str(PRELOAD)})
    parent = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"
    mib = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="daxcow-snapshot-", dir=parent) as directory:
        pool, plain, copy = (Path(directory, name) for name in ("measure.pool", "plain.db", "copy.db"))
        subprocess.run([DAXCOW, "create", pool, "--size", f"{mib + mib // 8 + 256}M"], check=True, stdout=subprocess.DEVNULL)
        rows = mib * 256 * 3
        db = sqlite3.connect(pool / "big.db", isolation_level=None)
        fill(db, rows)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        print(f"{pages * 4096 >> 20} MiB, {SCATTERED_UPDATES} scattered updates, SQLite {sqlite3.sqlite_version}")
        print("| us | times | min | median | max |\n|---|---|---|---|---|")
        measure(db, rows)
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        db.close()

        subprocess.run([DAXCOW, "cp", pool / "big.db", plain], check=True, capture_output=True)
        bare = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        copies, vacuums = [], []
        db = sqlite3.connect(plain, isolation_level=None)
        for _ in range(3):
            timed(copies, lambda: subprocess.run(["cp", plain, copy], check=True, env=bare))
            copy.unlink()
            timed(vacuums, lambda: db.execute("VACUUM INTO ?", (str(copy),)))
            copy.unlink()
        db.close()
        row("cp of the same database as a plain file", copies)
        row("VACUUM INTO of the plain file", vacuums)


if __name__ == "__main__":
    main()
