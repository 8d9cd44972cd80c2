# A private PostgreSQL cluster: own folder, own port, own user, TLS. Sourced, never run.
# shellcheck shell=bash
#
# The server refuses to run as root, so root lends it the account `postgres`, or `nobody` where there is none.
# Durability is off: the cluster lives for one run. wal_level=logical lets tests read the log of changes.

postgres_dir=

as_postgres() {
    if ((EUID != 0)); then
        "$@"
    elif id postgres >/dev/null 2>&1; then
        runuser -u postgres -- "$@"
    else
        runuser -u nobody -- "$@"
    fi
}

# A CA and a server certificate signed by it: a client that checks names must be able to succeed.
postgres_certificates() {
    local dir=$1 quiet=$1/openssl.log
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Lakewright tests CA" \
        -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>>"$quiet"
    openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" \
        -keyout "$dir/server.key" -out "$dir/server.csr" 2>>"$quiet"
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
        -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n') \
        -out "$dir/server.crt" 2>>"$quiet"
    chmod 600 "$dir/server.key"
    rm "$dir/ca.key" "$dir/server.csr"
}

postgres_init() {
    local bin=$1 dir=$2 password=$3
    printf '%s' "$password" >"$dir/password"
    if ((EUID == 0)); then
        chown -R "$(as_postgres id -un)" "$dir"
    fi
    as_postgres "$bin/initdb" --pgdata "$dir/data" --username lakewright --pwfile "$dir/password" --encoding UTF8 \
        --locale C.UTF-8 --auth-local trust --auth-host scram-sha-256 --no-sync >"$dir/initdb.log" 2>&1 ||
        return 1
    rm "$dir/password"
    as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
max_connections = 300
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = logical
max_wal_size = 4GB
ssl = on
ssl_cert_file = '$dir/server.crt'
ssl_key_file = '$dir/server.key'
log_timezone = 'UTC'
timezone = 'UTC'
CONF
}

# postgres_start DIR: a cluster in DIR, or a note and status 1. A taken port is tried again with another.
postgres_start() {
    postgres_dir=$1
    local bin password attempt port
    bin=$(postgres_bin) || return 1
    mkdir -p "$postgres_dir"
    password=$(openssl rand -hex 12)
    postgres_certificates "$postgres_dir" && postgres_init "$bin" "$postgres_dir" "$password" || {
        show_log "$postgres_dir/openssl.log"
        show_log "$postgres_dir/initdb.log"
        return 1
    }
    for attempt in 1 2 3; do
        read -r port < <(python3 "$services/free_ports.py" 1)
        note "starting PostgreSQL on 127.0.0.1:$port (attempt $attempt, at most 60 s)"
        if as_postgres "$bin/pg_ctl" --pgdata "$postgres_dir/data" --log "$postgres_dir/server.log" \
            --options "-p $port" --timeout 60 --wait start >/dev/null; then
            as_postgres "$bin/psql" -qX -h "$postgres_dir" -p "$port" -U lakewright -d postgres \
                -c 'CREATE DATABASE lakewright' >&2 || return 1
            export LAKEWRIGHT_TEST_POSTGRES="postgres://lakewright:$password@127.0.0.1:$port/lakewright"
            export LAKEWRIGHT_TEST_POSTGRES_CA="$postgres_dir/ca.crt"
            return 0
        fi
        show_log "$postgres_dir/server.log"
    done
    return 1
}

postgres_stop() {
    [[ -n $postgres_dir && -f $postgres_dir/data/postmaster.pid ]] || return 0
    as_postgres "$(postgres_bin)/pg_ctl" --pgdata "$postgres_dir/data" --mode immediate --wait stop >/dev/null || true
}
