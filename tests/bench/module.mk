# Beside stock llama.cpp: programs with the same commands, one over its libraries and one over
# ours; tests/e2e/test_peer.py compares what they compute, `make bench` how fast.
# Stock llama.cpp comes prebuilt from npm into a folder of $(O); nothing is written into the tree.
STOCK := $(O)/e2e/peer
$(STOCK)/.installed: tests/e2e/peer/package.json tests/e2e/peer/package-lock.json | $(O)/.need-e2e
	$(call say,NPM,$(STOCK))
	$(Q)mkdir -p $(@D) && cp $^ $(@D)/
	$(Q)cd $(@D) && { npm ci --loglevel=error --no-audit --no-fund --ignore-scripts >npm.log 2>&1 || \
		{ cat npm.log; exit 1; }; }
	$(Q)touch $@

BENCH_PROGRAMS := $(addprefix $(O)/bin/,llama-peer sluice-peer machine-limits board-bench quantize-bench tensor-errors)
$(O)/bin/llama-peer: $(O)/obj/tests/bench/llama_peer.o
$(O)/bin/sluice-peer: $(O)/obj/tests/bench/sluice_peer.o $(O)/lib/libsluice.a
$(O)/bin/machine-limits: $(O)/obj/tests/bench/machine_limits.o $(O)/lib/libsluice.a
$(O)/bin/board-bench: $(O)/obj/tests/bench/board_bench.o $(O)/lib/libsluice.a
$(O)/bin/quantize-bench: $(O)/obj/tests/bench/quantize_bench.o $(O)/lib/libsluice.a
$(O)/bin/tensor-errors: $(O)/obj/tests/bench/tensor_errors.o $(O)/lib/libsluice.a
$(BENCH_PROGRAMS):
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

PEERS := $(BENCH_PROGRAMS) $(STOCK)/.installed

# What docs/quantization.md and `sluice quantize --help` say of each mix, and stock of the same files.
FULL_SUITES += costs
check-costs: $(O)/bin/sluice $(PEERS)
	$(Q)tests/bench/quantize_costs --check $(abspath $(O))

# IK=FOLDER: a checkout of ik_llama.cpp that somebody has built in its folder `build` takes part too.
IK ?=
ifneq ($(IK),)
IK_LIBRARIES := $(IK)/build/src/libllama.so $(IK)/build/ggml/src/libggml.so
$(foreach library,$(IK_LIBRARIES),$(if $(wildcard $(library)),,$(error IK=$(IK): no $(library): expected a checkout \
	of ik_llama.cpp with shared libraries built in its folder `build`)))
$(O)/obj/tests/bench/ik_peer.o: EXTRA_FLAGS := -isystem $(IK)/include -isystem $(IK)/ggml/include
$(O)/bin/ik-peer: $(O)/obj/tests/bench/ik_peer.o $(IK_LIBRARIES)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(addprefix -Wl$(comma)-rpath$(comma),$(dir $(abspath $(IK_LIBRARIES)))) $(LDLIBS)
PEERS += $(O)/bin/ik-peer
# Its libraries for lesser processors, where they have been built in folders beside `build`.
IK_BUILDS := $(foreach isa,avx2 avxvnni,$(if $(wildcard $(IK)/build-$(isa)/src/libllama.so),--ik-build $(isa) $(abspath $(IK)/build-$(isa))))
IK_OPTIONS = $(IK_BUILDS) --ik-peer $(abspath $(O))/bin/ik-peer --ik-version "$$(git -C $(IK) rev-parse --short HEAD)"
endif
comma := ,

# SMALL=1: a quick run of everything over a tiny model, which leaves docs/ alone. ONLY="PART...": those
# parts of tests/bench/parts.py anew, the others as an earlier run found them.
SMALL ?=
ONLY ?=
bench: $(PROGRAMS) $(PEERS) $(O)/kernel/sluice.ko vm-kernel | $(O)/.need-build $(O)/.need-e2e $(O)/.need-vm
	$(Q)tests/bench/run $(abspath $(O)) $(if $(SMALL),--small) $(IK_OPTIONS) $(if $(ONLY),--only $(ONLY))
