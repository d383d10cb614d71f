#!/usr/bin/env bash
# A PostgreSQL server of its own on this machine's loopback, for tests of the team's MLflow server.
#
#   services/postgres.sh check|install|start FOLDER|stop FOLDER
#
# `start` makes a fresh cluster with one database and one role that owns it, both named mlflow, and a
# random password (scram-sha-256, TCP on 127.0.0.1 alone). It prints HOST, PORT, DATABASE, USER,
# PASSWORD and URI. `stop` ends it and removes the cluster.
source "$(dirname "$0")/common.sh"

# Debian keeps PostgreSQL's programs out of PATH, one folder for each version.
BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
PATH="$PATH${BIN:+:$BIN}"

check() { need_programs initdb pg_ctl psql python3; }

install() {
    # Debian's package starts a server of its own when it is installed; nobody asked for that one.
    local no_cluster=/etc/postgresql-common/createcluster.d/earthsignals.conf
    as_root mkdir -p "$(dirname "$no_cluster")"
    echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
    apt_install postgresql
}

# PostgreSQL refuses to run as root.
as_owner() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

random() { python3 -c 'import secrets; print(secrets.token_urlsafe(24))'; }

start() {
    local folder=$1 home port password
    check
    umask 077
    mkdir -p "$folder"
    [ ! -e "$folder/home" ] || die "$folder already holds a server: run $0 stop $folder"
    home=$(cd "$folder" && pwd)/postgres
    if [ "$(id -u)" = 0 ]; then
        # The user postgres cannot enter a folder of root's: the cluster lies where it can.
        home=$(mktemp -d /tmp/earthsignals-postgres.XXXXXX)
        chown postgres "$home"
    fi
    echo "$home" >"$folder/home"
    port=$(free_port)
    password=$(random)
    make_cluster "$home" "$port"
    as_owner pg_ctl -D "$home/data" -l "$home/server.log" -w -t 60 start </dev/null >/dev/null 2>&1 \
        || die "PostgreSQL did not start: $(tail -n 3 "$home/server.log")"
    make_database "$home" "$port" "$password"
    cat <<FACTS
HOST=127.0.0.1
PORT=$port
DATABASE=mlflow
USER=mlflow
PASSWORD=$password
URI=postgresql://mlflow:$password@127.0.0.1:$port/mlflow
FACTS
}

# make_cluster HOME PORT: the superuser's password stays in a file that only its owner reads.
make_cluster() {
    random | as_owner tee "$1/password" >/dev/null
    as_owner initdb -D "$1/data" -U postgres --pwfile "$1/password" --auth scram-sha-256 \
        --encoding UTF8 --locale C.UTF-8 --no-sync </dev/null >"$1/initdb.log" 2>&1 \
        || die "initdb failed: $(tail -n 3 "$1/initdb.log")"
    # Test data need not survive a power cut, so nothing waits for the disk.
    as_owner tee -a "$1/data/postgresql.conf" >/dev/null <<CONFIG
port = $2
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
CONFIG
}

# make_database HOME PORT PASSWORD: by environment and stdin, for arguments can be read by everyone.
make_database() {
    PGPASSWORD=$(as_owner cat "$1/password") psql -q -h 127.0.0.1 -p "$2" -U postgres \
        -v ON_ERROR_STOP=1 postgres <<SQL
create role mlflow login password '$3';
create database mlflow owner mlflow;
SQL
}

stop() {
    local home
    [ -s "$1/home" ] || return 0
    home=$(cat "$1/home")
    # Clients that are still connected are cut off.
    as_owner pg_ctl -D "$home/data" -m fast -w -t 60 stop </dev/null >/dev/null 2>&1 || true
    rm -rf "$home" "$1/home"
}

case "${1:-}" in
    check) check ;;
    install) install ;;
    start) start "${2:?folder}" ;;
    stop) stop "${2:?folder}" ;;
    *) die "say check, install, start FOLDER or stop FOLDER" ;;
esac
