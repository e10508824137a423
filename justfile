# The verbs that the desk and CI share. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

default:
    @just --list

# Everything CI runs, in its order.
ci: fmt-check test lint doc no-alloc cross firmware simulate month fleet rivals fuzz

# What must hold before a release. Takes hours.
release: ci (simulate "1000000" "200000") (month "--devices 100 --days 90") (fuzz "1800") binary-size

# The test command of the README.
test:
    cargo test --workspace --locked

fmt:
    cargo fmt --all
    cd benches/rivals && cargo fmt
    cd fuzz && cargo fmt
    cd examples/firmware && cargo fmt

fmt-check:
    cargo fmt --all --check
    cd benches/rivals && cargo fmt --check
    cd fuzz && cargo fmt --check
    cd examples/firmware && cargo fmt --check

lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy -p crdt-core --no-default-features --locked -- -D warnings
    cargo clippy -p crdt-core --features _weaken --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

# The core and the line alone, so that no other crate's features can hide a slip: no heap, no standard library.
no-alloc:
    rustup target add thumbv6m-none-eabi thumbv7m-none-eabi
    cargo build -p crdt-core --no-default-features --target thumbv6m-none-eabi --locked
    cargo build -p crdt-core --no-default-features --target thumbv7m-none-eabi --locked
    cargo build -p crdt-core --features alloc --target thumbv7m-none-eabi --locked
    cargo build -p transport-serial --target thumbv6m-none-eabi --locked
    cargo build -p transport-serial --target thumbv7m-none-eabi --locked

# The binaries as they are shipped: stripped and linked as a whole. Prints their sizes in bytes.
dist:
    cargo build --profile dist --locked -p runtime-linux --bin edge -p runtime-cloud --bin aggregator
    @cd "${CARGO_TARGET_DIR:-target}/dist" && stat --printf '%n %s bytes\n' edge aggregator

# The edge runtime for 32-bit ARM Linux. Wants Debian's gcc-arm-linux-gnueabihf (for ring's C and assembly).
cross:
    rustup target add armv7-unknown-linux-gnueabihf
    CC_armv7_unknown_linux_gnueabihf=arm-linux-gnueabihf-gcc \
    CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER=arm-linux-gnueabihf-gcc \
    cargo build -p runtime-linux --bin edge --target armv7-unknown-linux-gnueabihf --locked

# A Cortex-M3 program in QEMU and its gateway, over a serial line. Wants Debian's qemu-system-arm, and the target
# thumbv7m-none-eabi of rustup; says so where they are missing, and installs nothing.
firmware *options:
    #!/usr/bin/env bash
    set -euo pipefail
    command -v qemu-system-arm >/dev/null || {
      echo "qemu-system-arm is missing: apt install --no-install-recommends qemu-system-arm" >&2; exit 3; }
    rustc --print target-libdir --target thumbv7m-none-eabi | xargs test -d || {
      echo "the target is missing: rustup target add thumbv7m-none-eabi" >&2; exit 3; }
    built="${CARGO_TARGET_DIR:-$PWD/target}/firmware"
    (cd examples/firmware && cargo clippy --release --locked --target thumbv7m-none-eabi --target-dir "$built" -- -D warnings \
      && cargo build --release --locked --target thumbv7m-none-eabi --target-dir "$built")
    cargo run --release --locked -p examples --bin firmware_host -- "$built/thumbv7m-none-eabi/release/firmware" {{options}}

# Random histories and fleets on the real core, in virtual time. `runs` and `hours` are how many.
simulate runs="100000" hours="20000":
    cargo run --release --locked -p sim --bin histories -- --runs {{runs}}
    cargo run --release --locked -p sim --bin fleet_hours -- --device-hours {{hours}}

# A month of a fleet in virtual time: bytes by cause, receipts, seconds of radio. Fails where not all are equal in the end.
month *options="--devices 20 --days 30":
    cargo run --release --locked -p sim --bin month -- {{options}}

# The main job of the README, once, as processes over real UDP.
fleet:
    cargo run --release --locked -p examples --bin fleet -- --json

# The rivals, in the workspace of their own: lints, tests, and their figures beside ours.
rivals:
    cd benches/rivals && cargo clippy --release --all-targets --locked -- -D warnings
    cd benches/rivals && cargo test --release --locked
    cd benches/rivals && cargo run --release --locked --bin document -- --skip binary_size
    cd benches/rivals && cargo run --release --locked --bin link

# What linking each document adds to a program, ours and the rivals'.
binary-size:
    rustup target add thumbv7m-none-eabi
    cd benches/rivals && cargo run --release --locked --bin document -- --workload binary_size

# Each fuzz target for some seconds, from the seeds in the tree and what earlier runs have found. Wants nightly and
# `cargo install cargo-fuzz`.
fuzz seconds="60":
    for target in frames document session_pair records types line; do \
      mkdir -p "fuzz/corpus/$target"; \
      cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time={{seconds}} -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0; \
    done
