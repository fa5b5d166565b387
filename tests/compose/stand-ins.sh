#!/usr/bin/env bash
# Makes images under the names that compose.yaml and Dockerfile use, from Debian packages and the installed
# Bun, for machines that reach no registry. Needs root, apt-get, and what REQUIRED names; keeps what it made.
# Usage: stand-ins.sh DIRECTORY
set -euo pipefail

directory=$1
project=$(cd "$(dirname "$0")/../.." && pwd)
REQUIRED="podman buildah debootstrap runc netavark aardvark-dns catatonit podman-compose iptables iproute2"

if ! command -v podman-compose buildah debootstrap runc >/dev/null; then
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $REQUIRED >/dev/null
fi

mkdir -p "$directory"
# crun refuses the cgroups of nested machines, and overlay does not stack on overlay.
cat >"$directory/storage.conf" <<END
[storage]
driver = "vfs"
runroot = "$directory/run"
graphroot = "$directory/graph"
END
cat >"$directory/containers.conf" <<END
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
END
export CONTAINERS_STORAGE_CONF="$directory/storage.conf" CONTAINERS_CONF="$directory/containers.conf"

has() { podman image exists "$1"; }

# image NAME: how compose.yaml names it, tag included.
image() {
  sed -n "s|^ *image: \(.*$1:.*\)$|\1|p" "$project/compose.yaml" | head -n 1
}

base=docker.io/library/debian:bookworm-slim
if ! has "$base"; then
  if [ ! -e "$directory/debootstrap.done" ]; then
    mirror=$(grep -rhoE '(https?|file)://[^ ]+debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
      grep -v snapshot | head -n 1 || true)
    rm -rf "$directory/root"
    debootstrap --variant=minbase bookworm "$directory/root" "${mirror%% *}" >"$directory/debootstrap.log"
    touch "$directory/debootstrap.done"
  fi
  tar -C "$directory/root" -c . | podman import -q - "$base"
fi

# build NAME CONTEXT: from a Containerfile on standard input.
build() {
  buildah bud -q --isolation=chroot --format=docker --layers=false -t "$1" -f - "$2"
}

bun=docker.io/oven/bun:1.4.5
if ! has "$bun"; then
  context=$(mktemp -d "$directory/bun.XXXXXX")
  cp -L "$project/node_modules/bun/bin/bun.exe" "$context/bun"
  # With its cache filled, the build's install step needs no registry.
  mkdir "$context/install"
  cp "$project/package.json" "$project/bun.lock" "$context/install"
  (cd "$context/install" && BUN_INSTALL_CACHE_DIR="$context/cache" "$context/bun" install \
    --frozen-lockfile --production --ignore-scripts --silent)
  rm -rf "$context/install"
  build "$bun" "$context" <<END
FROM $base
COPY bun /usr/local/bin/bun
COPY cache /root/.bun/install/cache
WORKDIR /home/bun/app
END
  rm -rf "$context"
fi

postgres=$(image library/postgres)
if ! has "$postgres"; then
  context=$(mktemp -d "$directory/postgres.XXXXXX")
  cat >"$context/entrypoint" <<'END'
#!/bin/bash
# As much of the official image's entry script as compose.yaml relies on.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
if [ "${1:-postgres}" != postgres ]; then exec "$@"; fi
export PGDATA=${PGDATA:-/var/lib/postgresql/data}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  chmod 700 "$PGDATA"
  "$bin/initdb" -A scram-sha-256 -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" >/dev/null
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  "$bin/pg_ctl" -w -o "-c listen_addresses=''" start >/dev/null
  PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") "$bin/createdb" -h /var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
  "$bin/pg_ctl" -w stop >/dev/null
fi
exec "$bin/postgres" -c listen_addresses='*'
END
  chmod 755 "$context/entrypoint"
  build "$postgres" "$context" <<END
FROM $base
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null && \
  rm -rf /var/lib/postgresql/*/main /var/lib/apt/lists/* && \
  install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data
COPY entrypoint /usr/local/bin/docker-entrypoint.sh
ENV PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
STOPSIGNAL SIGINT
END
  rm -rf "$context"
fi

prometheus=$(image prom/prometheus)
if ! has "$prometheus"; then
  context=$(mktemp -d "$directory/prometheus.XXXXXX")
  build "$prometheus" "$context" <<END
FROM $base
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus wget >/dev/null && \
  rm -rf /var/lib/apt/lists/*  && mkdir -p /prometheus && chown nobody /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
  rm -rf "$context"
fi
podman images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
