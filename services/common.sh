# Shared by the service scripts; sourced, never run.
#
# Each script `services/NAME.sh` starts one real server for tests and benchmarks on this machine's
# loopback, as root or with sudo, and knows four words:
#   check            exit 0 when everything it needs is installed, else name what is missing
#   install          install it (apt-get)
#   start FOLDER     start it with all its state below FOLDER; prints KEY=value lines for its users
#   stop FOLDER      stop what start began, by process id
set -euo pipefail

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# need_programs NAME…: every name is on PATH or in the system's sbin folders.
need_programs() {
    local missing=()
    for name in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$name" >/dev/null || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] || die "not installed: ${missing[*]} (run: $0 install)"
}

apt_install() {
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# A free port of the loopback: the kernel's choice, released again for the server to take.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    local until=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || die "gave up waiting for: $*"
        sleep 0.1
    done
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# stop_pids FILE…: end the processes named in pid files, and wait until they are gone.
stop_pids() {
    local file pid
    for file in "$@"; do
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        as_root kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            as_root kill -0 "$pid" 2>/dev/null || { pid=; break; }  # gone: its number may be another's
            sleep 0.1
        done
        [ -z "$pid" ] || as_root kill -9 "$pid" 2>/dev/null || true
        rm -f "$file"
    done
}
