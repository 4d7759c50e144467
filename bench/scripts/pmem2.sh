#!/usr/bin/env bash
# PMDK's libpmem2 beside daxcow: durable copies of 64 B to 2 MiB.
usage="usage: pmem2.sh [--rounds N] [--dir DIR] [--out DIR] [--quick]

Builds scripts/pmem2.c against libpmem2 (Debian: libpmem2-dev) and runs \`daxcow-bench file\` with it as one more side of the durable
overwrites, told by PMEM2_FORCE_GRANULARITY=CACHE_LINE to flush as on pmem also where there is none."
source "$(dirname "$0")/common.sh"
parse_arguments "$@"
((${#rest[@]} == 0)) || fail "unknown argument ${rest[0]}; $usage"
need gcc gcc
build daxcow-bench
gcc -O2 -o "$scratch/libpmem2" "$bench/scripts/pmem2.c" -lpmem2 || fail "pmem2.c does not compile (apt-get install libpmem2-dev)"
arguments=(--dir "$dir" --out "$out" --rounds "$rounds" --beside "$scratch/libpmem2" --beside-version "$(version_of libpmem2-dev)")
((quick)) && arguments+=(--quick)
PMEM2_FORCE_GRANULARITY=CACHE_LINE "$programs/daxcow-bench" file "${arguments[@]}"
