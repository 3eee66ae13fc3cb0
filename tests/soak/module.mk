# make soak: a thousand random faults of an emulated board while it tells stories; some minutes.
$(O)/bin/soak: $(O)/obj/tests/soak/soak.o $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

FAULTS ?= 1000
.PHONY: soak
soak: $(O)/bin/soak
	$(Q)$(O)/bin/soak $(FAULTS)
