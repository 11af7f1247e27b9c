#!/usr/bin/env bash
# Words that must not be in the tree: marks of unfinished work (make it an issue, or finish it), and paths of the machine
# that something happened to be built on.
#
#   check-words.sh ROOT
#
# Exit 0 without a finding, 1 with some, 2 if there was nothing to look at.
set -euo pipefail

cd "${1:?usage: check-words.sh ROOT}"

# Written in two pieces, so that this file does not find itself.
unfinished="TO""DO|FIX""ME|XX""X|HA""CK|for n""ow|WI""P"
machine="/wo""rk/|/tmp/bu""ild|/ho""me/[a-z]"

mapfile -d '' files < <(find . \( -name .git -o -name __pycache__ -o -path './build*' \) -prune -o -type f -print0 | sort -z)
if ((${#files[@]} == 0)); then
    echo "$PWD: no files there" >&2
    exit 2
fi

status=0
if grep -nIwE "$unfinished" "${files[@]}" | sed 's|^\./||;s|$|    <- unfinished: finish it, or open an issue|'; then
    status=1
fi
if grep -nIE "(^|[^A-Za-z0-9.}])($machine)" "${files[@]}" |
    sed 's|^\./||;s|$|    <- a path of one machine: derive it, or take it as an argument|'; then
    status=1
fi
echo "${#files[@]} files"
exit $status
