# shellcheck shell=bash
# Fetches the packages of the section `unpacked` of scripts/packages and unpacks them into the checkout, never installing
# them: Sendmail and Postfix exclude each other. To be sourced by bash:
#
#   source scripts/lib/unpack.sh
#   cm_unpack                     prints the directory that holds the unpacked files
#
# Needs no network once the directory is there; it is renewed when the list of packages changes.

cm_unpack_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

cm_unpack() {
    local packages directory lock
    packages=$(awk '/^#/ { heading = $2; next } NF && heading == "unpacked" { print $1 }' \
        "$cm_unpack_root/scripts/packages")
    directory=$cm_unpack_root/build-unpacked
    lock=$cm_unpack_root/build-unpacked.lock
    # Tests run beside each other: the first one fetches, the others wait for it.
    (
        flock 9
        if [[ ! -e $directory/packages || $(<"$directory/packages") != "$packages" ]]; then
            cm_unpack_all "$directory" "$packages"
        fi
    ) 9>"$lock" || return 1
    printf '%s\n' "$directory"
}

# A subshell of its own, with a directory that goes whatever happens; the result appears in one step.
cm_unpack_all() (
    local directory=$1 packages=$2 work file
    work=$(mktemp -d "$directory.XXXXXX") || exit 1
    # shellcheck disable=SC2064 # the name is wanted as it is now
    trap "rm -rf '$work'" EXIT
    mkdir "$work/debs" "$work/root" && chmod 755 "$work/root"
    cd "$work/debs" || exit 1
    # shellcheck disable=SC2086 # a list of words
    if ! apt-get -o APT::Sandbox::User=root download $packages >"$work/log" 2>&1 &&
        ! { apt-get update && apt-get -o APT::Sandbox::User=root download $packages; } >"$work/log" 2>&1; then
        tail -n 5 "$work/log" >&2
        echo "These packages could not be fetched (they are unpacked, never installed):" $packages >&2
        exit 1
    fi
    for file in *.deb; do
        dpkg -x "$file" "$work/root" || exit 1
    done
    # Set-id programs would ignore the library path, and nothing here needs the privilege.
    find "$work/root" -type f -perm /6000 -exec chmod a-s {} + || exit 1
    printf '%s\n' "$packages" >"$work/root/packages" || exit 1
    rm -rf "$directory" && mv "$work/root" "$directory"
)
