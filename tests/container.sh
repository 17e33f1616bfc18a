#!/usr/bin/env bash
# The Dockerfile where no Docker engine runs: as root, with Debian's buildah and debootstrap.
#   tests/container.sh build [cpu|gpu]    builds the target and prints its sizes
#   tests/container.sh run [command...]   runs the built image's command, or another, in it
#   tests/container.sh clean              deletes CONTAINER_CACHE, with what is mounted in it
# CONTAINER_CACHE (/var/tmp/classifier-container) keeps the base, the layers and, in image/, the
# last build's manifest, configuration and layers.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${CONTAINER_CACHE:-/var/tmp/classifier-container}
base=localhost/debian-python
image=localhost/classifier
container=classifier
export BUILDAH_ISOLATION=chroot

# buildah chooses overlay mounts where they work; its vfs driver takes four times as long.
in_store() { buildah --root "$cache/storage" --runroot "$cache/run" "$@"; }

# Debian with what the Dockerfile uses of python:3.12-slim: `python`, and a pip that installs.
make_base() {
    local root
    in_store from --name base scratch
    root=$(in_store mount base)
    debootstrap --variant=minbase --include=ca-certificates,python3-pip,python3-venv \
        trixie "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
    ln -s python3 "$root/usr/bin/python"
    rm -r "$root"/usr/lib/python3*/EXTERNALLY-MANAGED "$root"/var/cache/apt/archives/*.deb
    in_store commit --rm base "$base"
}

# This machine's settings for pip and uv, for the build alone: mounted, they reach no layer.
build() {
    local authorities=/etc/ssl/certs/ca-certificates.crt
    local mounts=(--volume "${SSL_CERT_FILE:-$authorities}:$authorities:ro")
    if [[ -e /etc/pip.conf ]]; then mounts+=(--volume /etc/pip.conf:/etc/pip.conf:ro); fi
    mkdir -p "$cache"
    echo 'system-certs = true' >"$cache/uv.toml"
    mounts+=(--volume "$cache/uv.toml:/etc/uv/uv.toml:ro")

    # Containers of the last build, finished or not.
    in_store rm --all >/dev/null
    in_store inspect --type image "$base" >/dev/null 2>&1 || make_base >&2
    in_store build --layers --format docker --target "$1" --tag "$image" \
        --build-arg BASE_IMAGE="$base" "${mounts[@]}" . >&2
    rm -rf "$cache/image"
    in_store push --quiet --disable-compression "$image" "dir:$cache/image"
    in_store from --name "$container" "$image" >/dev/null
    print_sizes "$1"
}

print_sizes() {
    local layers layer above=0 bytes
    readarray -t layers < <(of_image '{{range .OCIv1.RootFS.DiffIDs}}{{println .Encoded}}{{end}}')
    for layer in "${layers[@]}"; do
        if [[ -z $layer ]]; then continue; fi
        bytes=$(stat --format %s "$cache/image/$layer")
        if [[ $layer == "${layers[0]}" ]]; then
            echo "base: $((bytes >> 20)) MiB"
        else
            echo "layer ${layer:0:12}: $((bytes >> 20)) MiB"
            above=$((above + bytes))
        fi
    done
    echo "$1, layers above the base: $((above >> 20)) MiB"
    echo "image: $cache/image"
}

of_image() { in_store inspect --type image --format "$1" "$image"; }

# As `docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges`, with
# the image's user, environment, folder and command; PORT is this shell's where it is set. Without
# a container runtime, processes, network, devices and limits are the machine's own, and there is
# no seccomp filter: this shows that the service needs no more rights, not that it is shut in.
run() {
    local environment command=("$@") folder user root
    readarray -t environment < <(of_image '{{range .OCIv1.Config.Env}}{{println .}}{{end}}')
    if (($# == 0)); then
        readarray -t command < <(of_image '{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}')
    fi
    folder=$(of_image '{{.OCIv1.Config.WorkingDir}}')
    user=$(of_image '{{.OCIv1.Config.User}}')
    root=$(in_store mount "$container")
    # Each step becomes the next, so that a signal for this process reaches the command.
    # shellcheck disable=SC2016
    exec unshare --mount bash -euc '
        root=$1; shift
        mount --bind "$root" "$root"
        mount --options remount,bind,ro "$root"
        mount --types tmpfs tmpfs "$root/tmp"
        for kernel in dev proc sys; do mount --rbind "/$kernel" "$root/$kernel"; done
        exec chroot "$root" setpriv "$@"
    ' bash "$root" --reuid "${user%:*}" --regid "${user#*:}" --clear-groups \
        --no-new-privs --bounding-set=-all \
        env --ignore-environment --chdir "$folder" \
        "${environment[@]}" ${PORT:+"PORT=$PORT"} "${command[@]}"
}

clean() {
    in_store rm --all >/dev/null
    if mountpoint --quiet "$cache/storage/overlay"; then umount "$cache/storage/overlay"; fi
    rm -r "$cache"
}

case "${1-} ${2-}" in
    "build " | "build cpu" | "build gpu") build "${2:-cpu}" ;;
    "run "*) run "${@:2}" ;;
    "clean ") clean ;;
    *) sed --quiet '2,/^set/{/^#/p}' tests/container.sh; exit 2 ;;
esac
