#!/usr/bin/env bash
# SLURM on this machine for tests: munged, slurmctld and slurmd of their own, on free loopback ports.
#
#   services/slurm.sh start FOLDER    prints SLURM_CONF=…; export it, then sbatch, srun, squeue,
#                                     scancel and scontrol talk to this SLURM and to no other
#   services/slurm.sh stop FOLDER     cancels what still runs, then ends the daemons
#
# Partitions: `cpu` (one node, 2 CPUs), `gpu` (the same node; it says it has 2 GPUs, which nothing
# looks for, so that --gres can be asked for), `pair` (two nodes, both of them this machine).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export PATH="$PATH:/usr/sbin:/sbin"

PROGRAMS=(munged slurmctld slurmd sbatch srun squeue scancel scontrol)

configuration() {
    local folder=$1 first=$2 real_memory
    real_memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    # cred_expire: a requeued job waits until its old credential has lapsed (default: two minutes).
    cat <<-EOT
		ClusterName=earthsignals
		SlurmctldHost=$first(127.0.0.1)
		SlurmctldPort=$(free_port)
		SlurmUser=root
		AuthType=auth/munge
		AuthInfo=socket=$folder/munge.socket,cred_expire=5
		CredType=cred/munge
		SlurmctldPidFile=$folder/slurmctld.pid
		SlurmctldLogFile=$folder/slurmctld.log
		StateSaveLocation=$folder/state
		SlurmdPidFile=$folder/slurmd-%n.pid
		SlurmdLogFile=$folder/slurmd-%n.log
		SlurmdSpoolDir=$folder/spool-%n
		# One machine without systemd or control groups: processes are known by their group.
		ProctrackType=proctrack/pgid
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		MpiDefault=none
		SwitchType=switch/none
		SchedulerType=sched/backfill
		SchedulerParameters=sched_interval=2,bf_interval=2
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		ReturnToService=2
		KillWait=10
		# Nodes of a test may claim more than the machine has.
		SlurmdParameters=config_overrides
		GresTypes=gpu
		NodeName=DEFAULT CPUs=2 RealMemory=$real_memory
		NodeName=$first NodeAddr=127.0.0.1 Port=$(free_port) Gres=gpu:2 State=UNKNOWN
		NodeName=$first-second NodeAddr=127.0.0.2 Port=$(free_port) State=UNKNOWN
		PartitionName=cpu Nodes=$first Default=YES MaxTime=INFINITE State=UP
		PartitionName=gpu Nodes=$first MaxTime=INFINITE State=UP
		PartitionName=pair Nodes=$first,$first-second MaxTime=INFINITE State=UP
	EOT
}

# Every node has registered and is ready for jobs.
nodes_ready() { [ "$(sinfo --noheader --Node --format '%N %t' | sort -u | grep -c ' idle$')" = 2 ]; }
queue_empty() { [ -z "$(squeue --noheader --format %i)" ]; }

start() {
    local folder node first
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    [ ${#folder} -lt 90 ] || die "$folder is too long a name: a socket below it may have 107 characters"
    # Tasks of a job find each other by the name of its first node, so it must be one that resolves.
    first=$(hostname -s)
    getent hosts "$first" >/dev/null || die "this machine's name, $first, is not in /etc/hosts"
    mkdir -p "$folder/state"
    (umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
    [ "$(id -u)" = 0 ] || as_root chown root "$folder/munge.key"
    # --force: the folder may lie below one that others can write, such as /tmp.
    as_root munged --force --key-file "$folder/munge.key" --socket "$folder/munge.socket" \
        --pid-file "$folder/munged.pid" --log-file "$folder/munged.log" --seed-file "$folder/munge.seed" \
        </dev/null >"$folder/start.log" 2>&1 || die "munged: $(tail -3 "$folder/start.log")"
    configuration "$folder" "$first" >"$folder/slurm.conf"
    # Two harmless devices stand for two GPUs.
    echo "NodeName=$first Name=gpu File=/dev/zero,/dev/full" >"$folder/gres.conf"
    export SLURM_CONF=$folder/slurm.conf
    as_root env SLURM_CONF="$SLURM_CONF" setsid slurmctld -c </dev/null >>"$folder/start.log" 2>&1 \
        || die "slurmctld: $(tail -3 "$folder/start.log")"
    for node in "$first" "$first-second"; do
        as_root env SLURM_CONF="$SLURM_CONF" setsid slurmd -N "$node" </dev/null \
            >>"$folder/start.log" 2>&1 || die "slurmd: $(tail -3 "$folder/start.log")"
    done
    wait_for 60 nodes_ready
    echo "SLURM_CONF=$SLURM_CONF"
}

stop() {
    local folder
    folder=$(cd "$1" 2>/dev/null && pwd) || return 0
    if [ -s "$folder/slurmctld.pid" ]; then
        export SLURM_CONF=$folder/slurm.conf
        as_root env SLURM_CONF="$SLURM_CONF" timeout 20 scancel --user "$(id -un)" --full || true
        for _ in $(seq 150); do queue_empty 2>/dev/null && break; sleep 0.1; done
    fi
    stop_pids "$folder"/slurmd-*.pid "$folder/slurmctld.pid" "$folder/munged.pid"
    [ "$(id -u)" = 0 ] || as_root chown -R "$(id -u)" "$folder"
}

case "${1:-} ${2:-}" in
    "check ") need_programs "${PROGRAMS[@]}" ;;
    "install ") apt_install slurm-wlm munge ;;
    "start "?*) start "$2" ;;
    "stop "?*) stop "$2" ;;
    *) die "usage: $0 check | install | start FOLDER | stop FOLDER" ;;
esac
