# sluiced, the daemon.
DAEMON_OBJS := $(patsubst %.cc,$(O)/obj/%.o,$(wildcard daemon/*.cc))
$(O)/bin/sluiced: $(DAEMON_OBJS) $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lsystemd
PROGRAMS += $(O)/bin/sluiced

PORT ?= 8080
serve: $(O)/bin/sluiced
	$(Q)$(O)/bin/sluiced --host 127.0.0.1 --port $(PORT)
