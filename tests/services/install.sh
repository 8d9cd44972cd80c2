# Brings what the services need onto the machine: Debian packages and a Python environment. Sourced, never run.
# shellcheck shell=bash

test_home=${LAKEWRIGHT_TEST_HOME:-$HOME/.cache/lakewright-tests}
venv=$test_home/venv

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

apt_updated=
apt_install() {
    command -v apt-get >/dev/null || return 1
    if [[ -z $apt_updated ]]; then
        as_root apt-get update -qq >&2 || note "apt-get update failed: going on with the package lists there are"
        apt_updated=1
    fi
    note "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# The folder of the newest PostgreSQL server, whether it is on the PATH or where Debian hides it.
postgres_bin() {
    local folder
    for folder in $(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -rV); do
        [[ -x $folder/initdb && -x $folder/postgres ]] && echo "$folder" && return 0
    done
    folder=$(command -v initdb) && dirname "$(readlink -f "$folder")"
}

install_postgres() {
    postgres_bin >/dev/null || apt_install postgresql || true
    postgres_bin >/dev/null || lack PostgreSQL "no \`initdb\` found, and \`apt-get install postgresql\` did not bring it"
    command -v openssl >/dev/null || apt_install openssl || true
    command -v openssl >/dev/null || lack openssl "needed to sign the certificate of the test server"
}

# A dependency compiles C: a compiler, make and Perl.
install_compiler() {
    command -v cc >/dev/null && command -v make >/dev/null && perl -MFindBin -e 1 2>/dev/null && return 0
    apt_install build-essential perl || lack "a C compiler" "\`cc\`, \`make\` and \`perl\` are needed to build"
}

make_venv() {
    rm -rf "$venv"
    command -v python3 >/dev/null && python3 -m venv "$venv" >&2 && return 0
    note "\`python3 -m venv\` does not work here: trying the packages of the system"
    rm -rf "$venv"
    apt_install python3 python3-venv && /usr/bin/python3 -m venv "$venv" >&2
}

# A third client of SQL Server, and what Microsoft's driver is linked with.
install_tds_clients() {
    local needed=(freetds-bin libltdl7 libgssapi-krb5-2)
    command -v tsql >/dev/null && ldconfig -p | grep -q 'libltdl\.so\.7' && ldconfig -p | grep -q libgssapi_krb5 && return 0
    apt_install "${needed[@]}" || lack "clients of SQL Server" "\`apt-get install ${needed[*]}\` did not bring them"
}

# The environment is made once and again when requirements.txt changes; two runs at a time wait for each other.
install_python() {
    mkdir -p "$test_home"
    local wanted=$services/requirements.txt lock
    exec {lock}>"$test_home/venv.lock"
    flock "$lock"
    if ! cmp -s "$wanted" "$venv/installed.txt"; then
        note "making the Python environment in $venv"
        if make_venv && "$venv/bin/python" -m pip install --quiet --requirement "$wanted" >&2; then
            cp "$wanted" "$venv/installed.txt"
        else
            lack "Python packages" "could not install $wanted: no object store, no REST catalog, no other readers"
        fi
    fi
    exec {lock}>&-
}

install_all() {
    say "installing what the tests need"
    install_compiler
    install_postgres
    install_tds_clients
    install_python
    require_nothing_missing
}
