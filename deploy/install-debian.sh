#!/bin/sh
# What the hub's tests and `make up` need of a Debian machine beyond Python: Java and Maven (Kafka), PostgreSQL,
# nginx (the gateway), Chromium (the pages' tests), docker-compose (which only reads our file: no engine is needed).
# Installs what is missing, as root or by sudo; otherwise says how.
set -eu

missing=""
need() { # need PACKAGE COMMAND-OR-FILE...
  package=$1
  shift
  for thing in "$@"; do
    case $thing in
      /*) for file in $thing; do if [ -e "$file" ]; then return 0; fi; done ;;
      *) if PATH="$PATH:/usr/sbin" command -v "$thing" > /dev/null 2>&1; then return 0; fi ;;
    esac
  done
  missing="$missing $package"
}

need openjdk-17-jre-headless java
need maven mvn
need postgresql "/usr/lib/postgresql/*/bin/initdb" initdb
need postgresql-client psql
need nginx-light nginx
need chromium chromium chromium-browser google-chrome
need docker-compose docker-compose
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=""
elif sudo -n true 2> /dev/null; then
  as_root="sudo"
fi
if ! command -v apt-get > /dev/null || [ -z "${as_root+known}" ]; then
  echo "missing:$missing"
  echo "install with: sudo apt-get install --no-install-recommends -y$missing"
  exit 0
fi

echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package must not start a server of its own beside ours.
install() {
  $as_root mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf
  $as_root apt-get update -q
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
if ! install > "$log" 2>&1; then
  tail -20 "$log" >&2
  echo "not installed:$missing (what needs them is skipped, with the reason)" >&2
fi
