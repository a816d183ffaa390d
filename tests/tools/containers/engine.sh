# shellcheck shell=bash disable=SC2154 # $work and $cache are run's
# A Docker engine with a socket and a data folder of its own, and the plug-ins of its client.

install_engine() {
    [ "$(id -u)" = 0 ] || { echo 'this is not root' >&2; return 1; }
    ! pgrep -x dockerd >/dev/null || { echo 'another engine is running, whose networks this would disturb' >&2; return 1; }
    .ci/install_missing docker.io:dockerd mmdebstrap:mmdebstrap iptables:iptables || return
    .ci/install_missing docker-cli:docker || return # newer Debians have the client apart
    [ -e "$cache/cli-plugins/docker-buildx" ] || download_plugins
}

# Compose and buildx of Debian trixie: unpacked, not installed, so that any suite will do.
download_plugins() {
    local apt=$work/apt
    mkdir -p "$apt/sources" "$apt/lists/partial" "$cache/cli-plugins"
    # shellcheck source=/dev/null
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if grep -qs debian "$file"; then
            sed "s/\b$(. /etc/os-release && echo "$VERSION_CODENAME")\b/trixie/g" "$file" >"$apt/sources/${file##*/}"
        fi
    done
    local options=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources"
        -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update -qq || return
    (cd "$apt" && apt-get "${options[@]}" download -qq docker-compose docker-buildx) || return
    for package in "$apt"/*.deb; do dpkg-deb --extract "$package" "$apt/unpacked" || return; done
    cp "$apt"/unpacked/usr/libexec/docker/cli-plugins/* "$cache/cli-plugins/"
}

engine_start() {
    export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/client
    mkdir -p "$DOCKER_CONFIG"
    ln -s "$cache/cli-plugins" "$DOCKER_CONFIG/cli-plugins"
    { iptables-save -t filter && iptables-save -t nat; } >"$work/iptables"
    dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" \
        --pidfile "$work/engine.pid" --default-ulimit nofile=16384:16384 >"$work/engine.log" 2>&1 &
    engine=$!
    for _ in $(seq 400); do
        docker info >/dev/null 2>&1 && return
        kill -0 "$engine" 2>/dev/null || return
        sleep 0.3
    done
    return 1
}

engine_stop() {
    [ -n "${engine:-}" ] || return 0
    docker ps --quiet | xargs --no-run-if-empty docker kill >/dev/null 2>&1 || true
    docker compose --profile test down --volumes --timeout 1 >/dev/null 2>&1 || true
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    iptables-restore <"$work/iptables" || true
    ip link delete docker0 2>/dev/null || true
}
