# The GGUF fuzzer, always sanitized. `make fuzz` runs it for a minute; check-unit for a few seconds.
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1
$(O)/asan/bin/gguf-fuzz: $(O)/asan/obj/tests/fuzz/gguf_fuzz.o $(call lib_objs,$(O)/asan) $(O)/asan/obj/models/embedded.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) $(VARIANT_FLAGS_asan) -o $@ $^ $(LDLIBS)

.PHONY: fuzz
fuzz: $(O)/asan/bin/gguf-fuzz
	$(Q)timeout -k 10 $$(($(FUZZ_SECONDS) + 60)) $< --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --min-files 10000
