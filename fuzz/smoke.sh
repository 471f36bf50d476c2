#!/usr/bin/env bash
# Each fuzz target for so many seconds (default 15), on the stable toolchain. Needs g++ and cargo-fuzz, which it installs.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-15}
tools=${POSTHOUSE_CI_TOOLS:-/tmp/posthouse-ci-tools}
export RUSTC_BOOTSTRAP=1 PATH="$tools/bin:$PATH"
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --debug --root "$tools" cargo-fuzz@0.13.2
for target in $(cargo fuzz list); do
  echo "--- fuzz $target, $seconds s"
  cargo fuzz run --sanitizer none "$target" -- -max_total_time="$seconds" -rss_limit_mb=1024 -print_final_stats=1 2>&1 | grep -E 'stat::number_of_executed_units|ERROR|panicked|Test unit|error' || true
  test "${PIPESTATUS[0]}" = 0
done
