# The command-line programs. Each is one folder tools/NAME/ linked with the library.
TOOLS := sluice sluicectl sluice-emu
define tool_rules
$(O)/bin/$(1): $(patsubst %.cc,$(O)/obj/%.o,$(wildcard tools/$(1)/*.cc tools/$(1)/*/*.cc tools/common/*.cc)) $(O)/lib/libsluice.a
	$$(call say,LD,$$@)
	$(Q)mkdir -p $$(@D) && $(CXX) $(LDFLAGS) -o $$@ $$^ $(LDLIBS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rules,$(t))))
PROGRAMS += $(TOOLS:%=$(O)/bin/%)
