# shellcheck shell=bash
# Installs Debian packages without taking anything away. To be sourced by bash:
#
#   source scripts/lib/install.sh
#   cm_install                            all packages of scripts/packages, but those of the section `unpacked`
#   cm_install build postfix python3      the section `build` and two packages more
#
# Nothing is downloaded when everything is there, so an installed machine needs no network. No package is ever removed
# and no service is started: what a script needs of Postfix and Redis it starts itself, privately.

cm_packages_file=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/packages

# The packages of one section of the file; for `all` of all sections but `unpacked`, whose packages exclude others.
cm_section_packages() {
    awk -v wanted="$1" '
        /^#/ { heading = $2; next }
        NF && (wanted == "all" ? heading != "unpacked" : heading == wanted) { print $1 }
    ' "$cm_packages_file"
}

# Section names become their packages; other words are packages themselves.
cm_expand_packages() {
    local word packages
    for word in "$@"; do
        packages=$(cm_section_packages "$word")
        printf '%s\n' "${packages:-$word}"
    done | sort -u
}

cm_missing_packages() {
    local package
    for package in "$@"; do
        if [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) != 'ii '* ]]; then
            printf '%s\n' "$package"
        fi
    done
}

cm_install() {
    local wanted missing
    mapfile -t wanted < <(cm_expand_packages "${@:-all}")
    mapfile -t missing < <(cm_missing_packages "${wanted[@]}")
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    if ((EUID != 0)); then
        echo "These packages are missing, and only root can install them: ${missing[*]}" >&2
        return 1
    fi
    echo "Installing: ${missing[*]}"
    # A subshell, so that its trap and settings are not the caller's.
    (cm_install_missing "${missing[@]}")
}

cm_install_missing() {
    local log policy=/usr/sbin/policy-rc.d
    log=$(mktemp)
    # shellcheck disable=SC2064 # the name is wanted as it is now
    trap "rm -f '$log'" EXIT
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get update >"$log" 2>&1; then
        cat "$log" >&2
        echo "apt-get update failed; these packages are missing: $*" >&2
        return 1
    fi
    # A package that is newly installed must not start a mail server or a database of the system.
    if [[ ! -e $policy ]]; then
        # shellcheck disable=SC2064
        trap "rm -f '$log' '$policy'" EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    if [[ " $* " == *' postfix '* ]]; then
        echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    fi
    if ! apt-get install -y --no-remove --no-install-recommends "$@" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        if grep -q 'remove is disabled' "$log"; then
            echo "Installing these would remove packages of yours (another mail server?), so nothing was done." >&2
            echo "Use a machine or container without: $(cm_would_remove "$@")" >&2
        else
            echo "The installation failed; these packages are missing: $*" >&2
        fi
        return 1
    fi
}

cm_would_remove() {
    apt-get install --simulate --no-install-recommends "$@" 2>/dev/null | awk '/^Remv/ { printf "%s ", $2 }'
}
