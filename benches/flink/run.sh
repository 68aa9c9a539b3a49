#!/usr/bin/env bash
# benches/flink/run.sh WORKLOAD [ARGS]: builds when sources changed, runs one workload, prints one JSON line.
#   WORKLOAD: wordcount | nexmark QUERY | keyed | recovery | latency | startup    (see README.md)
# Environment: BENCH_DIR (scratch, default /tmp/flink-bench), BENCH_HEAP (default 6g), BENCH_GC (default
# UseParallelGC), BENCH_JAVA_OPTS (more JVM options).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${BENCH_DIR:-/tmp/flink-bench}
mkdir -p "$work"
exec 9>"$work/.build.lock"
flock 9
stamp="$work/target/.built"
if [ ! -f "$stamp" ] || [ -n "$(find "$here/src" "$here/pom.xml" -newer "$stamp" -print -quit)" ]; then
  (cd "$here" && mvn -q -B -Dbench.build="$work/target" package >"$work/build.log" 2>&1) || { cat "$work/build.log" >&2; exit 1; }
  touch "$stamp"
fi
flock -u 9
exec 9>&-

workload=${1:?usage: run.sh WORKLOAD [ARGS]}
cp="$work/target/classes:$(ls "$work"/target/lib/*.jar | tr '\n' ':')"
if [ "$workload" = wordcount ] && ! printf '%s\n' "$@" | grep -q '^--input='; then
  n=${WORDS:-50000000}
  dir="$work/words-$n"
  if [ ! -f "$dir.done" ]; then
    rm -rf "$dir"
    java -cp "$cp" bench.GenWords "$dir" "$n" 4
    touch "$dir.done"
  fi
  set -- "$@" "--input=$dir" "--words=$n"
fi
scratch=$(mktemp -d "$work/run.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
opens=()
for p in java.base/java.lang java.base/java.util java.base/java.net java.base/java.io java.base/java.nio \
         java.base/sun.nio.ch java.base/java.lang.reflect java.base/java.text java.base/java.time \
         java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/java.util.concurrent.locks; do
  opens+=("--add-opens=$p=ALL-UNNAMED")
done
heap=${BENCH_HEAP:-6g}
t0=$(date +%s%N)
java "-XX:+${BENCH_GC:-UseParallelGC}" "-Xms$heap" "-Xmx$heap" -XX:MaxDirectMemorySize=4g -XX:MetaspaceSize=256m "${opens[@]}" \
  -Dorg.slf4j.simpleLogger.defaultLogLevel="${BENCH_LOG:-error}" \
  -Dbench.t0="$t0" -Dbench.tmp="$scratch" ${BENCH_JAVA_OPTS:-} -cp "$cp" bench.Bench "$@"
