#!/usr/bin/env bash
# An S3 server of its own on a free port: `rclone serve s3` over a folder, with random keys. It checks
# signatures, so a wrong secret is refused. rclone is a dependency of this project (.venv/bin).
#
#     services/s3.sh check|install|start FOLDER|stop FOLDER
#
# `start` prints ENDPOINT, ACCESS_KEY_ID, SECRET_ACCESS_KEY, BUCKET, FOLDER (the files behind the
# bucket: FOLDER/<key>), LOG and PID_FILE.
# S3_ADDRESS in the environment: where it listens (default 127.0.0.1).
source "$(dirname "$0")/common.sh"

PATH="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin:$PATH"

random_word() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

ended() { ! kill -0 "$(cat "$1/s3.pid")" 2>/dev/null; }

answers_or_ended() {  # $1: folder, $2: address, $3: port
    ended "$1" || (exec 3<>"/dev/tcp/$2/$3") 2>/dev/null
}

start() {
    local folder address port id secret bucket=earthsignals
    mkdir -p "$1"; folder=$(cd "$1" && pwd); chmod 700 "$folder"
    address=${S3_ADDRESS:-127.0.0.1}; port=$(free_port)
    id=$(random_word 10); secret=$(random_word 20)
    umask 077
    mkdir -p "$folder/objects/$bucket"
    # The keys go by the environment: arguments can be read by every user of the machine.
    # Its cache of folders is kept short, so that tests may damage the files behind its back and see it served.
    # rclone reads a list there, hence the inner quotes.
    RCLONE_AUTH_KEY="\"$id,$secret\"" RCLONE_CONFIG=/dev/null RCLONE_CACHE_DIR="$folder/cache" \
        setsid rclone serve s3 --addr "$address:$port" --log-file "$folder/s3.log" \
        --dir-cache-time 50ms "$folder/objects" </dev/null >/dev/null 2>&1 &
    echo $! > "$folder/s3.pid"
    wait_for 20 answers_or_ended "$folder" "$address" "$port"
    ! ended "$folder" || die "did not start: $(tail -n 3 "$folder/s3.log")"
    cat <<END
ENDPOINT=http://$address:$port
ACCESS_KEY_ID=$id
SECRET_ACCESS_KEY=$secret
BUCKET=$bucket
FOLDER=$folder/objects/$bucket
LOG=$folder/s3.log
PID_FILE=$folder/s3.pid
END
}

case "${1:-}" in
    check) need_programs rclone setsid ;;
    install) die "rclone comes with this project: run make setup" ;;
    start) start "${2:?a folder for the server\'s state}" ;;
    stop) stop_pids "${2:?the folder given to start}/s3.pid" ;;
    *) die "use check, install, start FOLDER or stop FOLDER" ;;
esac
