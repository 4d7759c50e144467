# The RocksDB half of ./demo, which sources this file: the name and size of every file that this system's packages installed,
# as keys and values, written by a stock ldb that never stops, while others take snapshots and clones.
#
# Keys are put in their order, round after round, and each value ends with its round. So in every state between two puts the
# rounds fall along the keys, by one at most: whatever lost a put, or has one too early, shows.
# shellcheck shell=bash disable=SC2154

readonly ROCKS_ROUNDS=5

# What is missing, on one line; nothing if all is there.
rocksdb_missing() {
    local missing=()
    command -v ldb >/dev/null || missing+=(rocksdb-tools)
    [[ -e /usr/include/rocksdb/file_system.h ]] || missing+=(librocksdb-dev)
    command -v c++ >/dev/null || missing+=(g++)
    echo "${missing[*]}"
}

# Only the FileSystem is compiled; RocksDB is the one of the system.
rocksdb_build() {
    cargo build --release --locked --quiet -p daxcow-rocksdb-preload
    rocksdb_library=${daxcow%/*}/libdaxcow_rocksdb.so
}

stock_ldb() {
    ldb "$@"
}

pooled_ldb() {
    LD_PRELOAD=$rocksdb_library ldb "$@"
}

# installed ROUND: each file and its size, as `ldb load` reads them.
installed() {
    awk -v round="$1" '{ print $0, round }' "$directory/sizes"
}

rocksdb_input() {
    # In the order of their bytes, as RocksDB keeps them.
    cut -f 2 "$directory/files.tsv" | sort -u >"$directory/paths"
    { xargs -d '\n' stat -c $'%F\t%n\t%s' <"$directory/paths" 2>/dev/null || true; } |
        awk -F '\t' '/^regular/ && NF == 3 && !/ ==> | : / { print $2 " ==> " $3 }' >"$directory/sizes"
    rocksdb_count=$(wc -l <"$directory/sizes")
    ((rocksdb_count > 0)) || fail "no installed file was found"
}

# rocksdb_state LDB DATABASE: "sound ROUND PUTS", or what is wrong.
rocksdb_state() {
    "$1" --db="$2" scan 2>&1 | awk -v count="$rocksdb_count" '
        { round = $NF; if (NR == 1) first = last = round; if (round > last || round < first - 1) wrong = NR; last = round }
        round == first { puts++ }
        END {
            if (NR != count) print "found", NR, "of", count, "keys:", $0
            else if (wrong) print "the rounds are mixed at key", wrong
            else print "sound", first, puts
        }'
}

rocksdb_must_be_sound() {
    local state
    state=$(rocksdb_state pooled_ldb "$1")
    [[ $state == sound* ]] || fail "$1 is not consistent: $state"
}

# rocksdb_start_writer LIBRARY DATABASE: a stock ldb in the background, putting without end.
rocksdb_start_writer() {
    LD_PRELOAD=$1 ldb --db="$2" load < <(for ((round = 1; ; round++)); do installed "$round" || exit; done 2>/dev/null) \
        >"$directory/writer.log" 2>&1 &
    writer=$!
    sleep 0.5
    writer_must_live
}

rocksdb_copies_under_the_writer() {
    local round us state copies=() checkpoints=()
    rocksdb_sound_copies=0
    rocksdb_start_writer "" "$plain/files"
    for ((round = 1; round <= ROCKS_ROUNDS; round++)); do
        # Files go while they are copied.
        timed us cp -r "$plain/files" "$plain/files-copy" 2>/dev/null || true
        copies+=("$us")
        state=$(rocksdb_state stock_ldb "$plain/files-copy")
        [[ $state != sound* ]] || rocksdb_sound_copies=$((rocksdb_sound_copies + 1))
        rm -rf "$plain/files-copy"
    done
    rocksdb_copy_us=$(median "${copies[@]}")
    # Another process cannot take a checkpoint of a database that is open.
    if stock_ldb --db="$plain/files" checkpoint --checkpoint_dir="$plain/files-checkpoint" >/dev/null 2>&1; then
        fail "ldb took a checkpoint of a database that another process writes"
    fi
    writer_must_live
    stop_writer
    rm -rf "$plain/files-checkpoint"
    for ((round = 1; round <= ROCKS_ROUNDS; round++)); do
        timed us stock_ldb --db="$plain/files" checkpoint --checkpoint_dir="$plain/files-checkpoint" >/dev/null
        checkpoints+=("$us")
        rm -rf "$plain/files-checkpoint"
    done
    rocksdb_checkpoint_us=$(median "${checkpoints[@]}")
}

rocksdb_snapshots_under_the_writer() {
    local round us branch before after inside=() commands=() clones=()
    rocksdb_start_writer "$rocksdb_library" "$rocksdb_pool/files"
    before=$(rocksdb_state pooled_ldb "$rocksdb_pool/files")
    for ((round = 1; round <= ROCKS_ROUNDS; round++)); do
        timed us "$daxcow" snapshot create "$rocksdb_pool" "round$round" files --json >"$directory/snapshot.json"
        commands+=("$us")
        inside+=("$(sed -n 's/.*"microseconds": \([0-9]*\).*/\1/p' "$directory/snapshot.json")")
        branch=$rocksdb_pool/branch$round
        timed us "$daxcow" clone "$rocksdb_pool/.snapshots/round$round/files" "$branch"
        clones+=("$us")
        rocksdb_must_be_sound "$rocksdb_pool/.snapshots/round$round/files"
        # Beside the original, which goes on.
        pooled_ldb --db="$branch" deleterange / 0 >/dev/null
        [[ -z $(pooled_ldb --db="$branch" scan) ]] || fail "$branch still has files"
        rocksdb_must_be_sound "$rocksdb_pool/.snapshots/round$round/files"
    done
    after=$(rocksdb_state pooled_ldb "$rocksdb_pool/files")
    [[ $after == sound* && $after != "$before" ]] || fail "the writer: from $before to $after"
    writer_must_live
    row "snapshot beside a writer: $ROCKS_ROUNDS of $ROCKS_ROUNDS sound" "$(show "$(median "${inside[@]}")")" \
        "cp -r $(show "$rocksdb_copy_us"), $rocksdb_sound_copies of $ROCKS_ROUNDS sound"
    row "  as a command, with opening the pool" "$(show "$(median "${commands[@]}")")" \
        "ldb checkpoint $(show "$rocksdb_checkpoint_us"), when nobody writes"
    row "writable clone of a snapshot, as a command" "$(show "$(median "${clones[@]}")")" "cp -r $(show "$rocksdb_copy_us")"
}

# rocksdb_killed LDB LIBRARY DATABASE: the time of the first get after a writer was killed that had put every key once more.
rocksdb_killed() {
    local last try
    LD_PRELOAD=$2 ldb --db="$3" load < <(installed last 2>/dev/null; exec sleep 60 2>/dev/null) >"$directory/writer.log" 2>&1 &
    writer=$!
    last=$(sed -n '$s/ ==> .*//p' "$directory/sizes")
    for ((try = 0; try < 100; try++)); do
        [[ $("$1" --db="$3" get "$last" 2>/dev/null) != *last ]] || break
        sleep 0.2
    done
    stop_writer
    timed killed_us "$1" --db="$3" get "$last" >"$directory/answer"
    [[ $(<"$directory/answer") == *last ]] || fail "what the writer had put is gone: $(<"$directory/answer")"
}

rocksdb_kill_the_writer() {
    local killed_us ours
    stop_writer
    rocksdb_must_be_sound "$rocksdb_pool/files"
    rocksdb_killed pooled_ldb "$rocksdb_library" "$rocksdb_pool/files"
    ours=$killed_us
    rocksdb_must_be_sound "$rocksdb_pool/files"
    rocksdb_killed stock_ldb "" "$plain/files"
    row "kill -9 the writer; next process, first get" "$(show "$ours")" "$(show "$killed_us")"
}

rocksdb_half() {
    local missing ours theirs
    missing=$(rocksdb_missing)
    if [[ -n $missing ]]; then
        echo "RocksDB: left out, since this system has no $missing (apt-get install $missing)"
        return
    fi
    rocksdb_build
    rocksdb_input
    rocksdb_pool=$directory/rocks.pool
    "$daxcow" create "$rocksdb_pool" --size "$POOL_SIZE" --sparse >/dev/null
    timed ours pooled_ldb --db="$rocksdb_pool/files" load --create_if_missing < <(installed 0)
    timed theirs stock_ldb --db="$plain/files" load --create_if_missing < <(installed 0)
    rocksdb_must_be_sound "$rocksdb_pool/files"
    echo "RocksDB: names and sizes of $rocksdb_count installed files"
    echo
    row "" "WITH DAXCOW" "WITHOUT"
    row "load with the stock ldb" "$(show "$ours")" "$(show "$theirs")"
    rocksdb_copies_under_the_writer
    rocksdb_snapshots_under_the_writer
    rocksdb_kill_the_writer
    echo
    (cd "$directory" && "$daxcow" check rocks.pool)
}
