#!/usr/bin/env bash
# clang-tidy (the checks of .clang-tidy at the top) and cppcheck over the C of milter/. Both must stay silent. Comments
# cannot switch cppcheck off; clang-tidy is switched off on one line with NOLINT(check) and the reason beside it.
#
#   check-tidy.sh ROOT BUILD          BUILD holds compile_commands.json
#
# Exit 0 without a finding, 1 with some, 2 if it could not look. CM_JOBS: how many at a time (2).
set -euo pipefail

root=$(cd "${1:?usage: check-tidy.sh ROOT BUILD}" && pwd)
build=$(cd "${2:?usage: check-tidy.sh ROOT BUILD}" && pwd)
jobs=${CM_JOBS:-2}
for tool in clang-tidy cppcheck; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing" >&2
        exit 2
    fi
done
# Only what the build compiles: a file that no target names has no flags.
mapfile -t files < <(sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" |
    grep "^$root/milter/.*\.c\$" | sort -u)
if ((${#files[@]} == 0)); then
    echo "$build/compile_commands.json names no source of $root/milter" >&2
    exit 2
fi

status=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The build's own warnings are the build's business, and gcc's flags are not all known to clang.
printf '%s\0' "${files[@]}" |
    xargs -0 -P "$jobs" -n 4 clang-tidy -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option \
        --extra-arg=-Wno-ignored-optimization-argument >"$scratch/tidy" 2>"$scratch/tidy.err" || status=1
sed "s|$root/||" "$scratch/tidy"
if ((status != 0)) && [[ ! -s $scratch/tidy ]]; then
    cat "$scratch/tidy.err" >&2
fi

includes=()
for directory in "$root"/milter/*/include; do
    includes+=(-I "$directory")
done
if ! cppcheck --quiet --error-exitcode=1 -j "$jobs" --std=c11 --language=c --enable=warning,performance,portability \
    --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches -D_GNU_SOURCE -DCM_VERSION='""' \
    --template='{file}:{line}: {severity}: {message} [cppcheck {id}]' "${includes[@]}" "${files[@]}" \
    >"$scratch/cppcheck" 2>&1; then
    status=1
fi
sed "s|$root/||" "$scratch/cppcheck"
echo "${#files[@]} files"
exit $status
