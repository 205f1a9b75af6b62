# make demo: dumps a small JVM into a local directory. make test: runs everything.
# Both install what is missing, on Debian with Rust by rustup.

ARCH := $(shell uname -m)
TARGET := $(ARCH)-unknown-linux-musl
CARGO ?= cargo

.PHONY: bench bench-page endurance fuzz demo test check format lint suite test-build test-most test-release isal-build release \
    dist reproduce deny rust-target tools jvms clean
# cargo shares the processors out by itself.
.NOTPARALLEL:

demo: rust-target
	$(CARGO) build --release --target $(TARGET)
	tests/demo.sh target/$(TARGET)/release/jmap-dump-tool

# All of what follows: lints and release build beside the suite. FILTER chooses tests: make test FILTER=binary::
FILTER ?=
test:
	tests/all.sh

check: format lint

format:
	$(CARGO) fmt --check

lint: rust-target
	$(CARGO) clippy --all-targets --target $(TARGET) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --target $(TARGET)

suite: tools jvms test-most test-release

# The suite starts many JVMs: more threads than cores make it slower, not faster.
TESTS := $(CARGO) test --target $(TARGET)
THREADS := --test-threads 2
# What runs the release build; without one it is skipped.
OF_RELEASE := binary:: release:: harm::ps_among_five_hundred_processes_is_quick

test-build:
	$(TESTS) --no-run

test-most:
	$(TESTS) -- $(THREADS) $(addprefix --skip ,$(OF_RELEASE)) $(FILTER)

test-release:
	$(TESTS) --test suite -- $(THREADS) $(OF_RELEASE)
	$(TESTS) --features isal --lib -- gzip spooled

isal-build:
	$(TESTS) --features isal --lib --no-run

release: tools
	CARGO="$(CARGO)" release/build.sh

# Archives, bills of materials, image, Krew's manifest and sums, of the release build. KREW_URI is where the plugin's
# archive can be downloaded.
KREW_URI ?=
export KREW_URI
dist: release
	CARGO="$(CARGO)" release/dist.sh

# Once more in another directory: the same bytes.
reproduce: dist
	CARGO="$(CARGO)" release/reproduce.sh

# Licences, sources and bans of all dependencies, by deny.toml. make deny DENY=advisories asks for a network.
DENY ?= licenses bans sources
deny:
	CARGO="$(CARGO)" release/cargo_tool.sh cargo-deny 0.20.2
	$(CARGO) deny --all-features check $(DENY)

# Coverage-guided fuzzing of the parsers, so many seconds for each of the four.
FUZZ_SECONDS ?= 60
fuzz:
	tests/fuzz/run.sh $(FUZZ_SECONDS)

# Against peers, then the stages by themselves. BENCH chooses: make bench BENCH=--quick. Results: target/bench. Some
# heaps are too large for a small machine and are skipped: a dump of 10 GiB wants 17 GiB of memory and 15 GiB of disk.
BENCH ?=
bench: release jvms
	tests/bench/install.sh
	$(CARGO) bench --target $(TARGET) --bench peers -- $(BENCH)
	$(CARGO) bench --target $(TARGET) --bench stages
	$(CARGO) bench --target $(TARGET) --features isal --bench stages
	$(CARGO) bench --target $(TARGET) --bench redaction
	$(CARGO) bench --target $(TARGET) --bench random_access

# Makes the results the documentation's. Heaps that were measured by themselves, with --report large, come behind the others.
bench-page:
	cat target/bench/bench.md >docs/bench.md
	sed -n '/^### /,$$p' $(wildcard target/bench/large.md) </dev/null | sed '1s/^/\n/; $$s/$$/\n/' >>docs/bench.md
	cat target/bench/random_access.md $(wildcard tests/bench/profile.md) >>docs/bench.md
	cp target/bench/bench.svg docs/bench.svg

# What the suite does in seconds, at full length: a store that is down for ten minutes, thirty and twenty moments at
# which something is killed or cut, four errors of each call, a dump of a gigabyte; and 100 kills of all processes of a --no-disk run for each of
# JDK 17, 21 and 25. For each JDK that prints "JDK 25: 100 double kills, 0 frozen, N while the JVM had a pipe open".
# Twenty JVMs of 2 GiB that leak, beside a watcher: each line "LEAK N: …" tells what was stored. Twelve healthy JVMs, watched
# for an hour in time-lapse: each line "HEALTHY …" tells what the watcher cost. Takes about eighty minutes.
LONG := $(CARGO) test --target $(TARGET) --test suite -- --test-threads 1
endurance: rust-target jvms
	JMAP_DUMP_TEST_OUTAGE=600 $(LONG) watch::everything_arrives
	JMAP_DUMP_TEST_MOMENTS=30 $(LONG) watch::killed_watcher guard:: no_disk::killed_run harm::a_call_that_fails
	JMAP_DUMP_TEST_MOMENTS=100 $(LONG) --nocapture double_kill::
	JMAP_DUMP_TEST_LEAKS=20 $(LONG) --nocapture leaks::
	JMAP_DUMP_TEST_HEALTHY=600 $(LONG) --nocapture healthy::
	JMAP_DUMP_TEST_MEGABYTES=1024 JMAP_DUMP_TEST_MOMENTS=20 $(LONG) resume::an_upload fetch::a_fetch_that_is_cut

rust-target:
	tests/bed/cc.sh
	rustup target add $(TARGET)

# For both release builds and all tests. Without buildah there is no image, and without the others no test of it.
tools:
	tests/bed/cross.sh
	tests/bed/packages.sh buildah skopeo umoci || echo "SKIP image: apt-get install buildah skopeo umoci failed" >&2
	rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl

jvms:
	tests/bed/install.sh

clean:
	$(CARGO) clean
	rm -rf dist
