#!/usr/bin/env bash
# An ssh server of its own on a free port, with fresh host and user keys, as the machine that holds
# the remote ("the droplet"): no password, no PAM, sftp on. Logs in as whoever starts it.
#
#     services/sshd.sh check|install|start FOLDER|stop FOLDER
#
# `start` prints HOST, PORT, USER, KEY (private key), SFTP_KEY (a second key that is let in for sftp
# only, no commands), KNOWN_HOSTS (the host's key, for [HOST]:PORT and localhost), CONFIG (for
# `ssh -F CONFIG droplet`; host keys checked), ROOT (an empty folder for remotes), LOG and PID_FILE.
# SSHD_ADDRESS in the environment: where it listens (default 127.0.0.1).
source "$(dirname "$0")/common.sh"

server() { PATH="$PATH:/usr/sbin" command -v sshd; }  # sshd insists on its absolute path

make_keys() {  # $1: folder
    local name
    for name in host user sftp; do
        ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$1/$name"
    done
    { cat "$1/user.pub"; echo "restrict,command=\"internal-sftp\" $(cat "$1/sftp.pub")"; } \
        > "$1/authorized_keys"
}

write_config() {  # $1: folder, $2: address, $3: port
    # StrictModes would refuse any folder below the world-writable /tmp.
    cat > "$1/sshd_config" <<END
ListenAddress $2
Port $3
HostKey $1/host
PidFile $1/sshd.pid
AuthorizedKeysFile $1/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers $(id -un)
AllowTcpForwarding yes
Subsystem sftp internal-sftp
END
    local key; key=$(cut -d' ' -f1,2 "$1/host.pub")
    printf '%s\n' "[$2]:$3 $key" "[localhost]:$3 $key" > "$1/known_hosts"
    cat > "$1/ssh_config" <<END
Host droplet $2 localhost
    HostName $2
    Port $3
    User $(id -un)
    IdentityFile $1/user
    IdentitiesOnly yes
    UserKnownHostsFile $1/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
END
}

start() {
    local folder address port
    mkdir -p "$1"; folder=$(cd "$1" && pwd); chmod 700 "$folder"
    address=${SSHD_ADDRESS:-127.0.0.1}; port=$(free_port)
    umask 077
    make_keys "$folder"
    write_config "$folder" "$address" "$port"
    mkdir -p "$folder/root"
    # Where the server as root parts with its privileges; the package's own start script makes it.
    [ "$(id -u)" != 0 ] || mkdir -p -m 755 /run/sshd
    "$(server)" -f "$folder/sshd_config" -E "$folder/sshd.log" </dev/null >/dev/null 2>&1 \
        || die "did not start: $(tail -n 3 "$folder/sshd.log")"
    wait_for 10 ssh -F "$folder/ssh_config" droplet true
    cat <<END
HOST=$address
PORT=$port
USER=$(id -un)
KEY=$folder/user
SFTP_KEY=$folder/sftp
KNOWN_HOSTS=$folder/known_hosts
CONFIG=$folder/ssh_config
ROOT=$folder/root
LOG=$folder/sshd.log
PID_FILE=$folder/sshd.pid
END
}

case "${1:-}" in
    check) need_programs sshd ssh ssh-keygen ;;
    install) apt_install openssh-server openssh-client rsync ;;
    start) start "${2:?a folder for the server\'s state}" ;;
    stop) stop_pids "${2:?the folder given to start}/sshd.pid" ;;
    *) die "use check, install, start FOLDER or stop FOLDER" ;;
esac
