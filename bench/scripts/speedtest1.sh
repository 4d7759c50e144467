#!/usr/bin/env bash
# SQLite's own speedtest1, through the preload library beside the unix VFS, on one file system.
usage="usage: speedtest1.sh [--rounds N] [--size N] [--testset NAME] [--source speedtest1.c] [--dir DIR] [--out DIR] [--quick]

Fetches Debian's source package of sqlite3 (or takes --source), builds speedtest1 against the system's libsqlite3.so, and runs it on
databases in a daxcow pool (LD_PRELOAD=libdaxcow_sqlite_preload.so) and on databases of the unix VFS, both in DIR (/dev/shm), in
turn, with synchronous=FULL; prints seconds as a table and writes JSON and plots to the output directory."
source "$(dirname "$0")/common.sh"
size=100
testset=main
source_file=
parse_arguments "$@"
set -- "${rest[@]}"
while (($#)); do
    case $1 in
    --size) size=${2:?}; shift 2 ;;
    --testset) testset=${2:?}; shift 2 ;;
    --source) source_file=${2:?}; shift 2 ;;
    *) fail "unknown argument $1; $usage" ;;
    esac
done
((quick)) && size=10
need gcc gcc
build daxcow-bench daxcow-cli daxcow-sqlite-preload

# Debian's source package, from the mirrors that the system's packages come from; nothing of the system changes.
fetch_source() {
    need dpkg-dev dpkg-source
    local apt="$scratch/apt" entries
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
    for entries in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [[ -f $entries ]] && grep -q 'debian\.org' "$entries" || continue
        sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$entries" >"$apt/parts/$(basename "$entries")"
    done
    local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts"
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    (cd "$apt" && apt-get "${options[@]}" source --download-only sqlite3 && dpkg-source -x ./*.dsc source) >"$scratch/fetch.log" 2>&1 ||
        { cat "$scratch/fetch.log" >&2; fail "Debian's source package of sqlite3 could not be fetched; give --source"; }
    source_file="$apt/source/test/speedtest1.c"
}
[[ -n $source_file ]] || fetch_source
gcc -O2 -o "$scratch/speedtest1" "$source_file" -lsqlite3 || fail "speedtest1 does not compile (apt-get install libsqlite3-dev)"

"$programs/daxcow" create "$scratch/bench.pool" --size $((size * 4 + 256))M >/dev/null

# Runs speedtest1 for a side: side, name of the database; sets `wall` and `cpu`, seconds.
run_side() {
    local side=$1 name="$2.db" database options=() preload=
    case $side in
    daxcow*) database="$scratch/bench.pool/$name" preload="$programs/libdaxcow_sqlite_preload.so" ;;
    memdb) database="file:/$name?vfs=memdb" ;;
    *) database="$scratch/$name" ;;
    esac
    case $side in
    *memory) options=(--journal memory) ;;
    *WAL) options=(--journal wal) ;;
    *'WAL, mmap') options=(--journal wal --mmap 268435456) ;;
    *exclusive) options=(--exclusive) ;;
    esac
    local TIMEFORMAT='%U %S'
    {
        time LD_PRELOAD=$preload "$scratch/speedtest1" --testset "$testset" --size "$size" "${options[@]}" "$database" \
            >"$scratch/output" 2>"$scratch/errors"
    } 2>"$scratch/times" || { cat "$scratch/errors" >&2; fail "speedtest1 failed for $side"; }
    wall=$(sed -nE 's/^ +TOTAL\.* +([0-9.]+)s.*/\1/p' "$scratch/output")
    [[ -n $wall ]] || fail "speedtest1 printed no total for $side"
    cpu=$(awk '{ print $1 + $2 }' "$scratch/times")
    if [[ $side == daxcow* ]]; then
        "$programs/daxcow" rm "$database"
    else
        rm -f "$scratch/$name"*
    fi
}

sides=('daxcow delete' 'daxcow WAL' 'daxcow exclusive' 'unix delete' 'unix memory' 'unix WAL' 'unix WAL, mmap' memdb)
for ((round = 0; round < rounds; round++)); do
    while read -r side; do
        run_side "$side" "round-$round"
        say "round $((round + 1))/$rounds, $side: $wall s, $cpu s of the processor"
        record "testset $testset, size $size" "$side" "$wall"
        record "the same, time of the processor" "$side" "$cpu"
    done < <(balanced "$round" "${sides[@]}")
done

report --name speedtest1 --title "speedtest1 in $dir" --unit s --better lower --reference 'daxcow delete' "${sides[@]/#/--side=}" \
    --library "libsqlite3-0 $(version_of libsqlite3-0)" \
    --note "one process, synchronous=FULL; memdb keeps the database on the heap: the ceiling" \
    --note "on tmpfs the unix VFS's syncs do nothing on the medium; daxcow's stores are flushed and fenced as on pmem"
