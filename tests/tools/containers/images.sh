# shellcheck shell=bash disable=SC2154 # $work and $cache are run's
# Base images from Debian's packages, under the names that the Dockerfile and compose.yaml use, for
# machines that don't reach a registry of images.

base_image() {
    sed -En "s/^(FROM|    image:) ($1:[^ ]+).*/\2/p" Dockerfile compose.yaml | head -n 1
}

debian() {
    local name=$1 packages=$2
    if [ ! -e "$cache/$name.tar" ]; then
        mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io --include="$packages" \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
            --dpkgopt='path-exclude=/usr/share/man/*' trixie "$cache/$name.part.tar"
        mv "$cache/$name.part.tar" "$cache/$name.tar"
    fi
    docker import "$cache/$name.tar" "debian-$name" >/dev/null
}

stand_in_for_base_images() {
    debian python ca-certificates,netbase,python3,python3-venv,tzdata &
    debian services haproxy,redis-server
    wait "$!"
    cp -r tests/tools/containers/standins "$work/standins"
    cp -L /etc/ssl/certs/ca-certificates.crt "$work/standins/"
    local name
    for name in python postgres redis haproxy; do
        docker build --quiet --target "$name" --tag "$(base_image "$name")" "$work/standins" >/dev/null
    done
}
