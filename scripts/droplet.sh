#!/usr/bin/env bash
# Make a rented machine ready, in three steps. `earthsignals droplet setup HOST` sends this file over
# ssh for each of them; on the machine itself they can be run by hand.
#
#   droplet.sh packages
#       git, make and Python 3.11 by the system's package manager, where they are missing
#   droplet.sh sources FOLDER BRANCH COMMIT [ORIGIN]
#       FOLDER becomes a clone at COMMIT; exit code 3: COMMIT must be pushed here first
#   droplet.sh build FOLDER TORCH [TORCH_INDEX]
#       the environment, the build of torch for the GPU (TORCH: auto, cuda, rocm or cpu), the doctor
#
# Every step may be repeated: what is there already is left alone. In the environment:
# DROPLET_VENV (an existing environment instead of the clone's .venv), DROPLET_PRICE (USD an hour, for
# settings.yaml), DROPLET_NAME and DROPLET_EMAIL (whose commits these are).
set -euo pipefail

say() { echo "· $*"; }
die() { echo "droplet.sh: $*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
# A folder given as ~/x or x lies in the home folder.
place() { case "$1" in "~/"*) echo "$HOME/${1#\~/}" ;; /*) echo "$1" ;; *) echo "$HOME/$1" ;; esac; }

has_python() { python3.11 -c 'import ensurepip, venv' 2>/dev/null; }

packages() {
    local missing=()
    command -v git >/dev/null || missing+=(git)
    command -v make >/dev/null || missing+=(make)
    has_python || missing+=(python3.11 python3.11-venv)
    if [ ${#missing[@]} = 0 ]; then say "git, make and Python 3.11 are here"; return; fi
    command -v apt-get >/dev/null || die "not installed: ${missing[*]}, and there is no apt-get here: install them"
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" ca-certificates >/dev/null \
        || die "this system's packages lack some of: ${missing[*]}; take an image with Python 3.11 (Debian 12," \
            "Ubuntu 22.04), or install Python 3.11 by hand, and run again"
    has_python || die "Python 3.11 with venv is still missing: install it by hand and run again"
}

sources() {
    local folder branch=$2 commit=$3 origin=${4:-}
    folder=$(place "$1")
    export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"
    if [ ! -e "$folder/.git" ]; then
        [ -z "$(ls -A "$folder" 2>/dev/null)" ] || die "$folder is there and no git clone: name another with --folder"
        mkdir -p "$folder"
        git -C "$folder" init -q
        # The name of the first branch; newer gits know `init -b`.
        git -C "$folder" symbolic-ref HEAD "refs/heads/$branch"
    fi
    cd "$folder"
    if [ -n "$origin" ]; then
        git remote get-url origin >/dev/null 2>&1 || git remote add origin "$origin"
        git cat-file -e "$commit^{commit}" 2>/dev/null || git fetch -q origin 2>/dev/null || true
    fi
    git cat-file -e "$commit^{commit}" 2>/dev/null || exit 3
    git config user.name >/dev/null || [ -z "${DROPLET_NAME:-}" ] || git config user.name "$DROPLET_NAME"
    git config user.email >/dev/null || [ -z "${DROPLET_EMAIL:-}" ] || git config user.email "$DROPLET_EMAIL"
    if ! git rev-parse -q --verify HEAD >/dev/null; then
        git reset -q --hard "$commit"
    elif git merge-base --is-ancestor "$commit" HEAD; then
        :  # this machine has committed since; nothing older is put over it
    else
        git merge -q --ff-only "$commit" >/dev/null 2>&1 || die "$folder has commits or changes of its own that" \
            "stand in the way of ${commit:0:12}: look at \`git status\` there, commit and pull them, and run again"
    fi
    if [ -n "$origin" ] && ! git config "branch.$branch.remote" >/dev/null; then
        # `git pull` and `git push` know where to; set by hand, for the branch may not be at the origin yet.
        git config "branch.$branch.remote" origin
        git config "branch.$branch.merge" "refs/heads/$branch"
    fi
    say "$folder is at $(git rev-parse --short HEAD) on $(git symbolic-ref --short HEAD)"
}

# What kind of GPU this machine has, by its driver's tool, else by what sits on the bus.
gpu() {
    local bus
    if nvidia-smi -L 2>/dev/null | grep -q GPU; then echo cuda; return; fi
    if rocm-smi --showid 2>/dev/null | grep -q 'GPU\['; then echo rocm; return; fi
    bus=$(lspci 2>/dev/null | grep -iE 'vga|3d controller|display|processing accelerator' || true)
    case "$bus" in
        *NVIDIA*) echo cuda ;;
        *AMD/ATI*Instinct*|*"Processing accelerators"*AMD*) echo rocm ;;
        *) echo cpu ;;
    esac
}

# Which build of torch this environment has: cuda, rocm or cpu.
torch_build() {
    "$1" -c 'import torch; print("rocm" if torch.version.hip else "cuda" if torch.version.cuda else "cpu")'
}

build() {
    local folder wanted=$2 index=${3:-} environment python have version
    folder=$(place "$1"); cd "$folder" || die "$folder is not here: run the step \`sources\` first"
    if [ "$wanted" = auto ]; then wanted=$(gpu); say "GPU: $wanted"; fi
    if [ -n "${DROPLET_VENV:-}" ]; then
        environment=$DROPLET_VENV
        [ -x "$environment/bin/python" ] || die "$environment is no Python environment"
    else
        environment=$folder/.venv
        say "make setup (2 to 3 minutes, the first time)"
        make setup
    fi
    python=$environment/bin/python
    have=$(torch_build "$python")
    if [ "$have" != "$wanted" ] && [ "$wanted" != cpu ]; then
        [ -n "$index" ] || die "torch here is its $have build, but this machine needs $wanted: run again with" \
            "--torch-index ADDRESS, the index that pytorch.org's selector shows for your $wanted version"
        version=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock)
        say "$version for $wanted"
        "$python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$version" --index-url "$index"
        "$python" -m pip install --quiet --disable-pip-version-check "$version" --extra-index-url "$index"
        have=$(torch_build "$python")
        [ "$have" = "$wanted" ] || die "the index gave the $have build of torch, expected $wanted: check --torch-index"
    fi
    say "torch: $have build"
    if [ -n "${DROPLET_PRICE:-}" ] && [ -e settings.yaml ]; then
        say "settings.yaml is here and stays as it is: --price $DROPLET_PRICE is not written into it; it says" \
            "$(grep -s '^price_per_hour_usd:' settings.yaml || echo 'nothing of a price')"
    elif [ -n "${DROPLET_PRICE:-}" ]; then
        echo "price_per_hour_usd: $DROPLET_PRICE" > settings.yaml
        say "settings.yaml: runs will carry their cost at $DROPLET_PRICE USD an hour"
    fi
    PATH="$environment/bin:$PATH" PYTHONPATH="$folder/src" "$python" -m earthsignals.cli.main doctor \
        || die "earthsignals doctor found what must be mended first (✗ above)"
    say "ready: cd $folder && source $environment/bin/activate"
}

case "${1:-}" in
    packages) packages ;;
    sources) sources "${2:?a folder}" "${3:?a branch}" "${4:?a commit}" "${5:-}" ;;
    build) build "${2:?a folder}" "${3:?auto, cuda, rocm or cpu}" "${4:-}" ;;
    gpu) gpu ;;
    *) die "use packages, sources FOLDER BRANCH COMMIT [ORIGIN], build FOLDER TORCH [TORCH_INDEX], or gpu" ;;
esac
