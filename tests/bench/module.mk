# Beside stock llama.cpp: two programs with the same commands, one over its libraries and one over
# ours; tests/e2e/test_peer.py compares what they compute, `make bench` how fast.
# Stock llama.cpp comes prebuilt from npm into a folder of $(O); nothing is written into the tree.
STOCK := $(O)/e2e/peer
$(STOCK)/.installed: tests/e2e/peer/package.json tests/e2e/peer/package-lock.json | $(O)/.need-e2e
	$(call say,NPM,$(STOCK))
	$(Q)mkdir -p $(@D) && cp $^ $(@D)/
	$(Q)cd $(@D) && { npm ci --loglevel=error --no-audit --no-fund --ignore-scripts >npm.log 2>&1 || \
		{ cat npm.log; exit 1; }; }
	$(Q)touch $@

$(O)/bin/llama-peer: $(O)/obj/tests/bench/llama_peer.o
$(O)/bin/sluice-peer: $(O)/obj/tests/bench/sluice_peer.o $(O)/lib/libsluice.a
$(O)/bin/machine-limits: $(O)/obj/tests/bench/machine_limits.o
$(O)/bin/board-bench: $(O)/obj/tests/bench/board_bench.o $(O)/lib/libsluice.a
$(O)/bin/quantize-bench: $(O)/obj/tests/bench/quantize_bench.o $(O)/lib/libsluice.a
$(O)/bin/llama-peer $(O)/bin/sluice-peer $(O)/bin/machine-limits $(O)/bin/board-bench $(O)/bin/quantize-bench:
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

PEERS := $(O)/bin/llama-peer $(O)/bin/sluice-peer $(O)/bin/machine-limits $(O)/bin/board-bench $(O)/bin/quantize-bench \
	$(STOCK)/.installed

# SMALL=1: a quick run of everything over a tiny model, which leaves docs/ alone.
SMALL ?=
bench: $(PROGRAMS) $(PEERS) $(O)/kernel/sluice.ko vm-kernel | $(O)/.need-build $(O)/.need-e2e $(O)/.need-vm
	$(Q)tests/bench/run $(if $(SMALL),--small) $(abspath $(O))
