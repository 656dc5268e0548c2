#!/usr/bin/env bash
# Apache Kafka itself (KRaft, one or three combined nodes) as plain processes.
#
#   kafka.sh libs              fetch the jars named in pom.xml, if they are not there yet
#   kafka.sh start [1|3]       start (again), wait until every broker answers, print the bootstrap addresses
#   kafka.sh kill9 ID          kill one broker as a crash would
#   kafka.sh restart ID        start a killed or running broker again on its own log, wait until it answers
#   kafka.sh stop [now]        stop all; `now` kills, for a cluster nobody will start again
#
# KAFKA_RUN         state directory (default: .kafka beside this file); stop and start keep the log
# KAFKA_PORT        first port (default 19092); node N takes KAFKA_PORT + 10 (N - 1) and the two ports above it
# KAFKA_PROXY_PORT  where proxies stand, likewise 10 apart: node N then also listens on its third port and sends
#                   clients that come there to the proxy, while all others stay direct
# Clusters with their own KAFKA_RUN and KAFKA_PORT run side by side.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=${KAFKA_RUN:-$here/.kafka}
base=${KAFKA_PORT:-$(cat "$run/port" 2>/dev/null || echo 19092)}
patience=${KAFKA_PATIENCE:-120} # seconds until a broker must answer

java=(java -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Djava.awt.headless=true
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$here/libs/*")

libs() {
  ( flock 9
    cmp -s "$here/pom.xml" "$here/libs/.pom" && exit
    rm -rf "$here/libs" "$here/libs.new"
    timeout "${KAFKA_FETCH_PATIENCE:-300}" mvn -q -B -f "$here/pom.xml" -Dlibs="$here/libs.new" package >&2
    cp "$here/pom.xml" "$here/libs.new/.pom"
    mv "$here/libs.new" "$here/libs"
  ) 9<"$here/pom.xml"
}

port() { echo $((base + 10 * ($1 - 1) + ${2:-0})); } # port ID [0 broker | 1 controller | 2 behind the proxy]
uuid() { head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '='; }
nodes() { (cd "$run" 2>/dev/null && ls -d [0-9]* 2>/dev/null) || true; }
pid() { cat "$run/$1/pid" 2>/dev/null; }
alive() { grep -qzF "$run/$1/server.properties" "/proc/$(pid "$1")/cmdline" 2>/dev/null; }
gone() { # gone PID: not before its last thread has let go of the ports
  [ ! -e "/proc/$1" ] || { [ "$(ls "/proc/$1/task" 2>/dev/null | wc -l)" -le 1 ] && grep -qs '^State:.*Z' "/proc/$1/status"; }
}
signal() { if alive "$2"; then kill "-$1" "$(pid "$2")"; fi; }
bootstrap() { local id list=""; for id in $(nodes); do list+="${list:+,}127.0.0.1:$(port "$id")"; done; echo "$list"; }

configure() { # configure ID NODES
  local id=$1 nodes=$2 replicas=1 insync=1 quorum="" proxied="" advertised="" map="" j
  if [ "$nodes" -ge 3 ]; then replicas=3 insync=2; fi
  for j in $(seq "$nodes"); do quorum+="${quorum:+,}127.0.0.1:$(port "$j" 1)"; done
  if [ -n "${KAFKA_PROXY_PORT:-}" ]; then
    proxied=",PROXIED://127.0.0.1:$(port "$id" 2)"
    advertised=",PROXIED://127.0.0.1:$((KAFKA_PROXY_PORT + 10 * (id - 1)))"
    map=",PROXIED:PLAINTEXT"
  fi
  mkdir -p "$run/$id"
  cat > "$run/$id/server.properties" <<P
process.roles=broker,controller
node.id=$id
listeners=PLAINTEXT://127.0.0.1:$(port "$id"),CONTROLLER://127.0.0.1:$(port "$id" 1)$proxied
advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$id"),CONTROLLER://127.0.0.1:$(port "$id" 1)$advertised
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT$map
controller.quorum.bootstrap.servers=$quorum
log.dirs=$run/$id/data
num.partitions=6
default.replication.factor=$replicas
min.insync.replicas=$insync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$insync
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$insync
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
P
}

format() { # format ID NODES CLUSTER INITIAL-CONTROLLERS; a node that has a log keeps it
  [ -e "$run/$1/data/meta.properties" ] && return
  local mode=(--standalone)
  if [ "$2" -gt 1 ]; then mode=(--initial-controllers "$4"); fi
  "${java[@]}" kafka.tools.StorageTool format -t "$3" "${mode[@]}" -c "$run/$1/server.properties" \
    > "$run/$1/format.log" 2>&1 || { cat "$run/$1/format.log" >&2; return 1; }
}

boot() { # boot ID: in a session of its own, so that Ctrl-C at a terminal is the caller's to handle
  rm -f "$run/$1/pid"
  setsid sh -c 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec "$@"' "$run/$1/pid" \
    "${java[@]}" kafka.Kafka "$run/$1/server.properties" >> "$run/$1/log" 2>&1 < /dev/null 9<&- &
}

kill9() { # kill9 ID: and wait until it is gone; a number that has passed on to another process is left alone
  local pid; pid=$(pid "$1") || return 0
  signal KILL "$1"
  until gone "$pid" || { ! alive "$1" && grep -qs . "/proc/$pid/cmdline"; }; do sleep 0.02; done
  rm -f "$run/$1/pid"
}

brokers() { # brokers ID: how many brokers node ID names when asked for metadata (request key 3, version 1, no topics)
  exec 3<>"/dev/tcp/127.0.0.1/$(port "$1")" || return
  printf '\0\0\0\016\0\003\0\001\0\0\0\001\377\377\0\0\0\0' >&3
  timeout 2 head -c 12 <&3 | od -An -tu1 | awk '{ n = n $0 } END { split(n, b, " "); print b[11] * 256 + b[12] }'
}

await() { # await ID COUNT: until node ID answers and knows of COUNT brokers
  local end=$((SECONDS + patience)) known
  while [ "$SECONDS" -lt "$end" ]; do
    known=$(brokers "$1" 2>/dev/null) && [ "${known:-0}" -ge "$2" ] && return
    sleep 0.1
    if [ -e "$run/$1/pid" ] && ! alive "$1"; then # twice, since a process shows no name while it changes it
      sleep 0.1
      alive "$1" || break
    fi
  done
  echo "kafka.sh: node $1 does not answer; end of $run/$1/log:" >&2
  tail -30 "$run/$1/log" >&2
  return 1
}

case ${1:-} in
  libs) libs ;;
  start)
    libs
    mkdir -p "$run"
    count=${2:-$(nodes | wc -l)}; [ "$count" -ge 1 ] || count=1
    echo "$base" > "$run/port"
    cluster=$(uuid) initial=""
    for id in $(seq "$count"); do initial+="${initial:+,}$id@127.0.0.1:$(port "$id" 1):$(uuid)"; done
    for id in $(seq "$count"); do configure "$id" "$count"; done
    for id in $(seq "$count"); do format "$id" "$count" "$cluster" "$initial"; done
    for id in $(seq "$count"); do alive "$id" || boot "$id"; done
    for id in $(seq "$count"); do await "$id" "$count"; done
    bootstrap ;;
  kill9) kill9 "$2" ;;
  restart) kill9 "$2"; boot "$2"; await "$2" 1 ;;
  stop)
    if [ "${2:-}" != now ]; then
      for id in $(nodes); do signal TERM "$id"; done
      end=$((SECONDS + 20))
      for id in $(nodes); do while alive "$id" && [ "$SECONDS" -lt "$end" ]; do sleep 0.05; done; done
    fi
    for id in $(nodes); do kill9 "$id"; done ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
