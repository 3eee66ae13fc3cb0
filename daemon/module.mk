# sluiced, the daemon.
# spdlog comes compiled, and formats with the system's fmt. Asio's and Beast's function bodies are
# compiled once, in asio.cc.
DAEMON_FLAGS := -DSPDLOG_SHARED_LIB -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL \
	-DBOOST_ASIO_SEPARATE_COMPILATION -DBOOST_BEAST_SEPARATE_COMPILATION -DBOOST_ASIO_NO_DEPRECATED
$(O)/obj/daemon/%.o: EXTRA_FLAGS := $(DAEMON_FLAGS)
# With the sanitizers' code in between, GCC no longer sees that Boost's variables are set.
$(O)/asan/obj/daemon/%.o: EXTRA_FLAGS := $(DAEMON_FLAGS) -Wno-maybe-uninitialized
DAEMON_LDLIBS := -lspdlog -lsystemd

DAEMON_SRCS := $(sort $(wildcard daemon/*.cc))
DAEMON_OBJS := $(DAEMON_SRCS:%.cc=$(O)/obj/%.o)
# What unit tests link: everything but main(); $(call daemon_testable_objs,$(O)/asan) is the sanitized build.
daemon_testable_objs = $(filter-out %/main.o,$(DAEMON_SRCS:%.cc=$(1)/obj/%.o))
DAEMON_TESTABLE_OBJS := $(call daemon_testable_objs,$(O))

$(O)/bin/sluiced: $(DAEMON_OBJS) $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(DAEMON_LDLIBS)
PROGRAMS += $(O)/bin/sluiced

PORT ?= 8080
serve: $(O)/bin/sluiced
	$(Q)exec $(O)/bin/sluiced --host 127.0.0.1 --port $(PORT)
