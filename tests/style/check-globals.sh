#!/usr/bin/env bash
# Names that the linker sees. A plain global name of ours takes the place of a library's own without a word (libconfig,
# libmilter and others export such names), so:
#   - every external symbol of our libraries begins with cm_;
#   - a program offers nothing to the dynamic linker, but for the functions named below;
#   - none of our external symbols, of library or program, is exported by a library that the program is linked with.
#
#   check-globals.sh PROGRAM... -- LIBRARY.a... -- OBJECT.o...
#
# The objects are those of the programs' own sources. Exit 0 without a finding, 1 with some, 2 if it could not look.
set -euo pipefail
export LC_ALL=C

# Functions that a program defines on purpose in libc's place; milter/consent-milter/interpose.c says why.
interposed='accept close read sigwait'
# Marks of the linker's own; which of them it exports depends on the libraries.
linker_marks='__bss_start _edata _end _init _fini'

programs=()
libraries=()
objects=()
part=0
for argument in "$@"; do
    if [[ $argument == -- ]]; then
        part=$((part + 1))
    elif ((part == 0)); then
        programs+=("$argument")
    elif ((part == 1)); then
        libraries+=("$argument")
    else
        objects+=("$argument")
    fi
done
if ((${#programs[@]} == 0 || ${#libraries[@]} == 0 || ${#objects[@]} == 0)); then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi
for file in "${programs[@]}" "${libraries[@]}" "${objects[@]}"; do
    if [[ ! -e $file ]]; then
        echo "$file: not there; build it first" >&2
        exit 2
    fi
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
findings=$scratch/findings
: >"$findings"

# Symbols that a sanitizer or the compiler adds to our objects.
not_ours='^(__(asan|odr_asan|ubsan|tsan|sanitizer|sancov|start|stop|llvm|gcov)|_?asan|___asan|DW\.ref)'

for library in "${libraries[@]}"; do
    nm -A --extern-only --defined-only "$library" 2>/dev/null | awk 'NF > 1 { print $1, $NF }' | sed 's/:[0-9a-f]* / /' |
        while read -r where symbol; do
            if [[ ! $symbol =~ $not_ours ]]; then
                echo "$symbol" >>"$scratch/ours"
                if [[ $symbol != cm_* ]]; then
                    echo "$where: $symbol is external; make it static, or give it a name that begins with cm_"
                fi
            fi
        done >>"$findings"
done
if [[ ! -s $scratch/ours ]]; then
    echo "no symbols found in ${libraries[*]}" >&2
    exit 2
fi

nm --extern-only --defined-only "${objects[@]}" 2>/dev/null |
    awk 'NF == 3 { print $3 }' | grep -Ev "$not_ours" | sort -u >"$scratch/programs_own"
if ! grep -qx main "$scratch/programs_own"; then
    echo "no main in ${objects[*]}: these are not the objects of the programs" >&2
    exit 2
fi
sort -u "$scratch/ours" "$scratch/programs_own" >"$scratch/all_ours"
grep -vxE "main|cm_.*|${interposed// /|}" "$scratch/programs_own" |
    sed 's|$|: external in a program; make it static, or give it a name that begins with cm_|' >>"$findings" || true

for program in "${programs[@]}"; do
    name=$(basename "$program")
    # What the program offers. Names with a version are copies of a shared library's data (stderr@GLIBC), which the
    # linker makes. A sanitizer's runtime exports its own; those are not ours and count only if they bear our names.
    nm -D --defined-only "$program" 2>/dev/null | awk '{ print $NF }' | grep -v '@' | sort -u >"$scratch/exported" || true
    if grep -qE '^__(asan|tsan)_init$' "$scratch/exported"; then
        comm -12 "$scratch/exported" "$scratch/all_ours" >"$scratch/exported_ours"
    else
        grep -Ev "$not_ours" "$scratch/exported" >"$scratch/exported_ours" || true # gcc marks its sanitized programs
    fi
    # A sanitizer intercepts functions such as accept as well: the interposed names are allowed either way.
    grep -vxE "${interposed// /|}|${linker_marks// /|}" "$scratch/exported_ours" |
        sed "s|^|$name: exports |;s|\$|; hide it (CMAKE_C_VISIBILITY_PRESET), no other code may bind to it|" >>"$findings" || true

    ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u >"$scratch/shared"
    if [[ ! -s $scratch/shared ]]; then
        echo "$program: ldd names no library" >&2
        exit 2
    fi
    while read -r shared; do
        nm -D --defined-only "$shared" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u |
            comm -12 - "$scratch/all_ours" | grep -vxE "main|${interposed// /|}" |
            sed "s|^|$name: |;s|\$| is also a name of $(basename "$shared"); rename ours|" >>"$findings" || true
    done <"$scratch/shared"
done

sort -u "$findings"
echo "${#programs[@]} programs, ${#libraries[@]} libraries, $(sort -u "$findings" | wc -l) findings"
[[ ! -s $findings ]]
