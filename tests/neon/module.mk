# check-neon: the library and the program cross-built for arm64, run by QEMU's user mode: the kernels against
# the reference, the embedded model's logits and its story against this machine's. PCRE2 of that
# architecture is fetched once and not installed; fmt is taken as headers.
NEON := $(O)/neon
NEON_CROSS := aarch64-linux-gnu-
NEON_SRCS := $(call lib_srcs,aarch64)
FULL_SUITES += neon

# Headers of this machine's packages come behind the cross compiler's own: they are the same for both.
NEON_FLAGS := -DFMT_HEADER_ONLY -idirafter /usr/include

$(NEON)/obj/%.o: %.cc | $(O)/.need-build $(O)/.need-neon
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D) && $(NEON_CROSS)g++ $(CPPFLAGS) $(CXXFLAGS) $(NEON_FLAGS) $(EXTRA_FLAGS) -MMD -MP -c $< -o $@
$(NEON)/obj/%.o: %.c | $(O)/.need-neon
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(NEON_CROSS)gcc $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(NEON)/obj/%.o: %.S | $(O)/.need-neon
	$(call say,AS,$@)
	$(Q)mkdir -p $(@D) && $(NEON_CROSS)gcc $(CPPFLAGS) -MMD -MP -c $< -o $@
$(NEON)/obj/models/embedded.o: models/tales-7m-f16.gguf

$(NEON)/debian/libpcre2-8.a: tests/neon/fetch | $(O)/.need-neon
	$(Q)tests/neon/fetch $@

NEON_OBJS := $(NEON_SRCS:%.cc=$(NEON)/obj/%.o) $(LIB_C_SRCS:%.c=$(NEON)/obj/%.o) $(NEON)/obj/models/embedded.o
$(NEON)/bin/sluice: $(patsubst %.cc,$(NEON)/obj/%.o,$(wildcard tools/sluice/*.cc tools/sluice/*/*.cc tools/common/*.cc))
$(NEON)/bin/logits: $(NEON)/obj/tests/model/logits.o
$(NEON)/bin/sluice $(NEON)/bin/logits: $(NEON_OBJS) $(NEON)/debian/libpcre2-8.a
# The unit tests of the kernels as they are, with a stand-in for Criterion.
NEON_TESTS := $(NEON)/obj/tests/unit/kernels_test.o $(NEON)/obj/tests/unit/fast_products_test.o
$(NEON_TESTS) $(NEON)/obj/tests/neon/kernels.o: EXTRA_FLAGS := -Itests/neon
$(NEON)/bin/kernels: $(NEON)/obj/tests/neon/kernels.o $(NEON_TESTS) \
	$(filter $(NEON)/obj/lib/ops/kernels/% $(NEON)/obj/lib/quant/% $(NEON)/obj/lib/core/cpu.o,$(NEON_OBJS))
NEON_PROGRAMS := $(NEON)/bin/sluice $(NEON)/bin/logits $(NEON)/bin/kernels
$(NEON_PROGRAMS):
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(NEON_CROSS)g++ -static -pthread -Wl,--no-warnings -o $@ $(filter %.o,$^) $(filter %.a,$^)

.PHONY: check-neon
check-neon: $(NEON_PROGRAMS) $(O)/bin/sluice $(O)/bin/logits
	$(Q)tests/neon/run --build $(O)
