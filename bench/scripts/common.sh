# What the scripts share: arguments, scratch space that goes away, the programs they need, and the report.
# Sourced, not run. A script sets `usage`, then calls `parse_arguments "$@"`.

set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
project=$(dirname "$bench")
rounds=
dir=/dev/shm
out=target/bench
quick=0
programs=

fail() { echo "$0: $*" >&2; exit 1; }
say() { echo "$*" >&2; }

# --rounds N, --dir DIR, --out DIR, --programs DIR, --quick and --help; whatever else is left in `rest`.
parse_arguments() {
    command_line="bench/scripts/$(basename "$0")${*:+ $*}"
    rest=()
    while (($#)); do
        case $1 in
        --rounds) rounds=${2:?--rounds needs a number}; shift 2 ;;
        --dir) dir=${2:?--dir needs a directory}; shift 2 ;;
        --out) out=${2:?--out needs a directory}; shift 2 ;;
        --programs) programs=${2:?--programs needs a directory}; shift 2 ;;
        --quick) quick=1; shift ;;
        -h | --help) echo "$usage"; exit 0 ;;
        *) rest+=("$1"); shift ;;
        esac
    done
    [[ -n $rounds ]] || rounds=$((quick ? 2 : 3))
    [[ -d $dir ]] || fail "$dir is not a directory"
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
    scratch=$(mktemp -d "$dir/daxcow-bench.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    measured="$scratch/measured.tsv"
}

# Fails unless the programs can be run; $1 names the Debian package they come from.
need() {
    local package=$1 program
    shift
    for program; do
        command -v "$program" >/dev/null || fail "$program is missing: apt-get install $package"
    done
}

# Builds packages of this project, each with its own features only, and sets `programs` to where they are, unless they are given.
build() {
    local package
    if [[ -n $programs ]]; then
        [[ -x $programs/daxcow-bench ]] || fail "$programs has no daxcow-bench"
        programs=$(cd "$programs" && pwd)
        return
    fi
    for package; do
        (cd "$project" && cargo build --quiet --release -p "$package")
    done
    programs="${CARGO_TARGET_DIR:-$project/target}/release"
}

# The version of an installed Debian package.
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo unknown; }

# The sides in the order of round $1: each comes after each other one equally often (as in bench/src/turns.rs).
balanced() {
    local round=$1 shift_by backwards=0 count at place index
    shift
    count=$# shift_by=$round
    if ((count % 2)); then shift_by=$((round / 2)) backwards=$((round % 2)); fi
    for ((at = 0; at < count; at++)); do
        place=$((backwards ? count - 1 - at : at))
        index=$(((place % 2 ? place / 2 + 1 : count - place / 2) + shift_by))
        index=$((index % count + 1))
        echo "${!index}"
    done
}

# One measurement: case, side, value.
record() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$measured"; }

# Table, JSON and plots of what was recorded; arguments as for `daxcow-bench import`.
report() {
    "$programs/daxcow-bench" import --out "$out" --medium "$dir" --flush "on: pools as they are made, every store that must be durable is flushed and fenced" --command "$command_line" "$@" "$measured"
}
