# make demo: dumps a small JVM into a local directory. make test: runs everything.
# Both install what is missing, on Debian with Rust by rustup.

ARCH := $(shell uname -m)
TARGET := $(ARCH)-unknown-linux-musl
CARGO ?= cargo

.PHONY: bench krew endurance fuzz demo test check suite release rust-target isal jvms clean

demo: rust-target
	$(CARGO) build --release --target $(TARGET)
	tests/demo.sh target/$(TARGET)/release/jmap-dump-tool

test: check release suite

check: rust-target
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --target $(TARGET) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --target $(TARGET)

# The suite starts many JVMs: more threads than cores make it slower, not faster.
suite: rust-target jvms isal
	$(CARGO) test --target $(TARGET) -- --test-threads 2
	$(CARGO) test --target $(TARGET) --features isal --lib -- gzip pipeline

release:
	tests/bed/cross.sh
	rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
	# Both at once: each is linked on one processor.
	$(CARGO) build --release --features isal --target x86_64-unknown-linux-musl --target aarch64-unknown-linux-musl
	for arch in x86_64 aarch64; do \
	    install -D target/$$arch-unknown-linux-musl/release/jmap-dump-tool dist/jmap-dump-tool-$$arch-linux-musl; \
	done
	install deploy/kubectl-jmap_dump dist/
	mkdir -p dist/share
	for file in jmap-dump-tool.bash _jmap-dump-tool jmap-dump-tool.fish jmap-dump-tool.1; do \
	    cp "$$(ls -t target/$(TARGET)/release/build/jmap-dump-tool-*/out/$$file | head -n 1)" dist/share/ || exit; \
	done
	cd dist && sha256sum jmap-dump-tool-* >SHA256SUMS

# The manifest for Krew, of the plugin's archive in dist/. KREW_URI is where that can be downloaded.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
KREW_URI ?=
krew:
	deploy/krew/manifest.sh dist/kubectl-jmap_dump-$(VERSION).tar.gz $(VERSION) $(KREW_URI) >dist/jmap-dump.yaml || \
	    (rm dist/jmap-dump.yaml && false)

# Coverage-guided fuzzing of the parsers, so many seconds for each of the four.
FUZZ_SECONDS ?= 60
fuzz:
	tests/fuzz/run.sh $(FUZZ_SECONDS)

# Against peers, then the stages by themselves. BENCH chooses: make bench BENCH=--quick. Results: target/bench.
BENCH ?=
bench: release jvms
	tests/bench/install.sh
	$(CARGO) bench --target $(TARGET) --bench peers -- $(BENCH)
	$(CARGO) bench --target $(TARGET) --bench stages
	$(CARGO) bench --target $(TARGET) --features isal --bench stages
	$(CARGO) bench --target $(TARGET) --bench redaction

# What the suite does in seconds, at full length: a store that is down for ten minutes, thirty and twenty moments at
# which something is killed or cut, four errors of each call, a dump of a gigabyte; and 100 kills of all processes of a --no-disk run for each of
# JDK 17, 21 and 25. For each JDK that prints "JDK 25: 100 double kills, 0 frozen, N while the JVM had a pipe open".
# Takes about forty minutes.
LONG := $(CARGO) test --target $(TARGET) --test suite -- --test-threads 1
endurance: rust-target jvms
	JMAP_DUMP_TEST_OUTAGE=600 $(LONG) watch::everything_arrives
	JMAP_DUMP_TEST_MOMENTS=30 $(LONG) watch::a_watcher_ guard:: no_disk::a_run_that_is_killed harm::a_call_that_fails
	JMAP_DUMP_TEST_MOMENTS=100 $(LONG) --nocapture double_kill::
	JMAP_DUMP_TEST_MEGABYTES=1024 JMAP_DUMP_TEST_MOMENTS=20 $(LONG) resume::an_upload fetch::a_fetch_that_is_cut

rust-target:
	tests/bed/cc.sh
	rustup target add $(TARGET)

isal:
	tests/bed/cross.sh

jvms:
	tests/bed/install.sh

clean:
	$(CARGO) clean
	rm -rf dist
