#!/usr/bin/env bash
# The formatter owns the layout of all C in milter/ and tests/; the rules are in .clang-format at the top.
#
#   check-format.sh ROOT
#
# Exit 0 if every file is as clang-format writes it, 1 if not (clang-format -i FILE mends it), 2 if it could not look.
set -euo pipefail

root=${1:?usage: check-format.sh ROOT}
cd "$root"
if [[ ! -r .clang-format ]] || ! command -v clang-format >/dev/null; then
    echo "clang-format or .clang-format is missing" >&2
    exit 2
fi
mapfile -d '' files < <(find milter tests -type f \( -name '*.c' -o -name '*.h' \) -print0 | sort -z)
if ((${#files[@]} == 0)); then
    echo "$root: no sources there" >&2
    exit 2
fi

status=0
for file in "${files[@]}"; do
    if ! clang-format --style=file "$file" | cmp -s - "$file"; then
        line=$(clang-format --style=file "$file" | cmp - "$file" 2>/dev/null | sed -n 's/.*line \([0-9]*\)$/\1/p') || true
        echo "$file:${line:-1}: not as clang-format writes it; run: clang-format -i $file"
        status=1
    fi
done
echo "${#files[@]} files"
exit $status
