# The command-line programs. Each is one folder tools/NAME/ linked with the library.
TOOLS := sluice sluicectl sluice-emu
# sluicectl conform compares a board with the interpreter.
TOOL_SRCS_sluicectl := $(wildcard tests/interpreter/*.cc)
define tool_rules
$(O)/bin/$(1): $(patsubst %.cc,$(O)/obj/%.o,$(wildcard tools/$(1)/*.cc tools/$(1)/*/*.cc tools/common/*.cc) $(TOOL_SRCS_$(1))) $(O)/lib/libsluice.a
	$$(call say,LD,$$@)
	$(Q)mkdir -p $$(@D) && $(CXX) $(LDFLAGS) -o $$@ $$^ $(LDLIBS)
endef
$(foreach t,$(TOOLS),$(eval $(call tool_rules,$(t))))
PROGRAMS += $(TOOLS:%=$(O)/bin/%)
