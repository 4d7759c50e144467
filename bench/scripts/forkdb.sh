#!/usr/bin/env bash
# The PyPI package forkdb beside daxcow: branches and snapshots of a database, by SQL from one Python.
usage="usage: forkdb.sh [--rounds N] [--dir DIR] [--out DIR] [--quick]

Installs forkdb (PyPI) into a directory of its own, loads it and libdaxcow_sqlite.so into one python3 (PYTHON names another; its sqlite3
must load extensions), and times branches, snapshots and the first UPDATE after a branch, in turn, in DIR (/dev/shm)."
source "$(dirname "$0")/common.sh"
parse_arguments "$@"
((${#rest[@]} == 0)) || fail "unknown argument ${rest[0]}; $usage"
sizes=(1000 30000 300000) repeats=300
# A store of forkdb 0.1.0 has 1024 branches; a fork takes two, a snapshot one.
((repeats * rounds <= 330)) || repeats=$((330 / rounds))
((quick)) && sizes=(1000 30000) repeats=50
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import sqlite3; sqlite3.connect(":memory:").enable_load_extension(True)' ||
    fail "the sqlite3 module of $python loads no extensions; PYTHON=... names another"
build daxcow-bench daxcow-cli daxcow-sqlite
"$python" -m pip --version >/dev/null 2>&1 || need python3-pip pip
if "$python" -m pip --version >/dev/null 2>&1; then pip=("$python" -m pip); else pip=(pip); fi
"${pip[@]}" install --quiet --root-user-action=ignore --target "$scratch/packages" forkdb || fail "forkdb could not be installed"
version=$(PYTHONPATH="$scratch/packages" "$python" -c 'import forkdb; print(forkdb.__version__)')

for rows in "${sizes[@]}"; do
    # What the updates after each branch copy is kept by all branches.
    "$programs/daxcow" create "$scratch/bench.pool" --size $((rows * 2 / 1000 + rounds * repeats / 10 + 128))M >/dev/null
    say "$rows rows"
    PYTHONPATH="$scratch/packages" "$python" "$bench/scripts/branches.py" "$programs/libdaxcow_sqlite.so" "$scratch/bench.pool" \
        "$scratch/store.fk" "$rounds" "$rows" "$repeats" >>"$measured"
    rm -rf "$scratch/bench.pool" "$scratch"/store.fk*
done
report --name forkdb --title "Branches of an SQLite database in $dir, from Python" --unit us --better lower --reference daxcow \
    --library "forkdb $version" --library "python $("$python" -c 'import platform; print(platform.python_version())')" \
    --note "medians of $repeats in each round; Python's own part of each call, some 1 us, is in all figures" \
    --note "synchronous=FULL; on tmpfs forkdb's syncs do nothing on the medium; daxcow's stores are flushed and fenced as on pmem"
