# What developers type. `just ci` is what CI runs.

default:
    @just --list

# Everything that CI checks.
ci:
    bash .ci/run

# Format, lints and layout: the fast part.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo xtask tidy

test:
    cargo test --workspace

# Regenerate what is generated (docs/configuration.md, docs/refusals.md).
generate:
    cargo xtask generate

# Each fuzz target for so many seconds.
fuzz seconds="30":
    bash fuzz/smoke.sh {{seconds}}

# All figures, side by side with Postfix where it is installed.
bench *args:
    bash bench/run {{args}}

# kill -9 under load, fifty rounds.
crash rounds="50":
    POSTHOUSE_CRASH_ROUNDS={{rounds}} cargo test --release -p posthouse --test e2e -- crash --nocapture
