#!/usr/bin/env bash
# A local S3 store on the loopback, for trying `superdarn.source: s3` and `earthsignals superdarn mirror`:
#
#     deploy/storage.sh start|stop [FOLDER]
#
# `make storage` and `make storage-stop` call it with the folder .storage. The server is `rclone serve s3`
# (services/s3.sh); its keys are made at each start. They are written to FOLDER/exports.sh alone, readable by
# its owner, to be sourced by a shell. Files put into FOLDER/objects/superdarn are objects of the bucket superdarn.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=${2:-$here/../.storage}

running() {  # a process id alone may be another's by now
    local endpoint
    [ -s "$folder/s3.pid" ] && [ -s "$folder/exports.sh" ] && kill -0 "$(cat "$folder/s3.pid")" 2>/dev/null || return 1
    endpoint=$(sed -n 's,^export AWS_ENDPOINT_URL=http://,,p' "$folder/exports.sh")
    (exec 3<>"/dev/tcp/${endpoint%:*}/${endpoint#*:}") 2>/dev/null
}

start() {
    local told ENDPOINT ACCESS_KEY_ID SECRET_ACCESS_KEY
    umask 077
    mkdir -p "$folder/objects/superdarn"
    folder=$(cd "$folder" && pwd)
    echo '*' > "$folder/.gitignore"  # the keys and the objects are nobody else's
    if running; then
        echo "The store is running already."
    else
        told=$("$here/../services/s3.sh" start "$folder")
        ENDPOINT=$(sed -n 's/^ENDPOINT=//p' <<<"$told")
        ACCESS_KEY_ID=$(sed -n 's/^ACCESS_KEY_ID=//p' <<<"$told")
        SECRET_ACCESS_KEY=$(sed -n 's/^SECRET_ACCESS_KEY=//p' <<<"$told")
        cat > "$folder/exports.sh" <<END
export AWS_ENDPOINT_URL=$ENDPOINT
export AWS_ACCESS_KEY_ID=$ACCESS_KEY_ID
export AWS_SECRET_ACCESS_KEY=$SECRET_ACCESS_KEY
END
        echo "An S3 store is running on this machine's loopback; \`make storage-stop\` ends it."
    fi
    cat <<END

Files below    $folder/objects/superdarn
are objects of the bucket superdarn. In the shell that is to use it:

    source $folder/exports.sh

which sets these, or type them:

$(cat "$folder/exports.sh")
END
}

case "${1:-}" in
    start) start ;;
    stop)
        running || { rm -f "$folder/s3.pid" "$folder/exports.sh"; echo "No store is running."; exit 0; }
        "$here/../services/s3.sh" stop "$folder"
        rm -f "$folder/exports.sh"
        echo "The store has ended; its objects stay in $folder/objects."
        ;;
    *) echo "$(basename "$0"): use start or stop" >&2; exit 1 ;;
esac
