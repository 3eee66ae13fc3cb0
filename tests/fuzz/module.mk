# The fuzzers of GGUF files and of model folders, always sanitized. `make fuzz` runs each for a minute;
# check-unit for a few seconds.
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1
FUZZERS := $(O)/asan/bin/gguf-fuzz $(O)/asan/bin/convert-fuzz
$(O)/asan/bin/gguf-fuzz: $(O)/asan/obj/tests/fuzz/gguf_fuzz.o
$(O)/asan/bin/convert-fuzz: $(O)/asan/obj/tests/fuzz/convert_fuzz.o
$(FUZZERS): $(call lib_objs,$(O)/asan) $(O)/asan/obj/models/embedded.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) $(VARIANT_FLAGS_asan) -o $@ $^ $(LDLIBS)

.PHONY: fuzz
fuzz: $(FUZZERS)
	$(Q)for fuzzer in $^; do timeout -k 10 $$(($(FUZZ_SECONDS) + 60)) $$fuzzer --seconds $(FUZZ_SECONDS) \
		--seed $(FUZZ_SEED) --min-files 10000; done
