#!/usr/bin/env bash
# RocksDB's own db_bench, through the preload library beside its posix FileSystem, on one file system.
usage="usage: db_bench.sh [--rounds N] [--num N] [--reads N] [--threads 'N ...'] [--only 'WORKLOAD ...'] [--dir DIR] [--out DIR] [--quick]

Runs Debian's db_bench (package rocksdb-tools) on databases in a daxcow pool (LD_PRELOAD=libdaxcow_rocksdb.so) and on
databases of RocksDB's posix FileSystem, both in DIR (/dev/shm), workload by workload in turn, the first one changing
from round to round; prints operations a second as a table and writes JSON and plots to the output directory."
source "$(dirname "$0")/common.sh"
num=500000
reads=
threads='1 2'
only=
parse_arguments "$@"
set -- "${rest[@]}"
while (($#)); do
    case $1 in
    --reads) reads=${2:?}; shift 2 ;;
    --num) num=${2:?}; shift 2 ;;
    --threads) threads=${2:?}; shift 2 ;;
    --only) only=${2:?}; shift 2 ;;
    *) fail "unknown argument $1; $usage" ;;
    esac
done
((quick)) && num=50000
[[ -n $reads ]] || reads=$num
need rocksdb-tools db_bench
build daxcow-bench daxcow-cli daxcow-rocksdb-preload

# Room for what compactions hold twice, as many times over as threads write.
size_mib=$((num * 116 * 8 / 1000000 + 512))
"$programs/daxcow" create "$scratch/bench.pool" --size "${size_mib}M" >/dev/null
mkdir "$scratch/posix"
common=(--num="$num" --value_size=100 --compression_type=none --seed=1 --histogram=0)

# Runs db_bench for a side: side, database, and the arguments of db_bench.
db_bench_of() {
    local side=$1 database=$2
    shift 2
    if [[ $side == daxcow ]]; then
        LD_PRELOAD="$programs/libdaxcow_rocksdb.so" db_bench --db="$scratch/bench.pool/$database" "${common[@]}" "$@"
    else
        db_bench --db="$scratch/posix/$database" "${common[@]}" "$@"
    fi 2>"$scratch/stderr" || { cat "$scratch/stderr" >&2; fail "db_bench failed for $side: $*"; }
}

# One workload on both sides: round, threads, name, database, benchmark, further arguments.
workload() {
    local round=$1 count=$2 name=$3 database=$4 benchmark=$5 side line ops
    shift 5
    [[ -z $only || " $only " == *" $name "* ]] || return 0
    for side in $(balanced "$round" daxcow posix); do
        line=$(db_bench_of "$side" "$database" --threads="$count" --benchmarks="$benchmark" "$@" | grep "^${benchmark} ") ||
            fail "db_bench printed no line for $benchmark"
        ops=$(sed -E 's/.* ([0-9]+) ops\/sec.*/\1/' <<<"$line")
        say "round $((round + 1))/$rounds, $count thread(s), $name, $side: $ops ops/s"
        record "$name, threads: $count" "$side" "$ops"
    done
}

for ((round = 0; round < rounds; round++)); do
    for count in $threads; do
        workload "$round" "$count" fillseq written fillseq
        workload "$round" "$count" fillsync synced fillsync
        workload "$round" "$count" fillrandom written fillrandom
        # What is read was written in random order and compacted, on both sides.
        for side in daxcow posix; do
            db_bench_of "$side" read --benchmarks=fillrandom,compact >/dev/null
        done
        workload "$round" "$count" readseq read readseq --use_existing_db=1
        workload "$round" "$count" readrandom read readrandom --use_existing_db=1 --reads="$reads"
        workload "$round" "$count" readrandom+mmap_read read readrandom --use_existing_db=1 --reads="$reads" --mmap_read=1
        workload "$round" "$count" overwrite read overwrite --use_existing_db=1
        workload "$round" "$count" readwhilewriting read readwhilewriting --use_existing_db=1
        # Both sides write as much beside the readers: 5 MB a second.
        workload "$round" "$count" readwhilewriting+limit read readwhilewriting --use_existing_db=1 \
            --benchmark_write_rate_limit=5000000
    done
done

report --name db_bench --title "db_bench in $dir" --unit "operations/s" --better higher --reference daxcow \
    --library "rocksdb-tools $(version_of rocksdb-tools)" \
    --note "num=$num for each thread, $reads reads in readrandom, values of 100 bytes, no compression, block cache and all else as db_bench has it" \
    --note "readwhilewriting: only reads are counted, the writer makes no pause and one side's may write more; +limit: the writer is held to 5 MB/s" \
    --note "fillsync: every write is synced; on tmpfs posix's sync does nothing on the medium, daxcow's stores are flushed and fenced as on pmem"
