# Unit tests: Criterion binaries of the test files and the library's objects (not the archive, from
# which tests would vanish), plain and sanitized; tests/unit/run runs them and adds up.
UNIT_SRCS := $(sort $(wildcard tests/unit/*_test.cc)) tests/unit/amx_emulator.cc
# What the tools are made of, without their main().
UNIT_TOOL_SRCS := $(filter-out %/main.cc,$(sort $(wildcard tools/sluicectl/*.cc tools/sluicectl/*/*.cc tools/common/*.cc))) \
	$(sort $(wildcard tests/interpreter/*.cc))
unit_test_objs = $(UNIT_SRCS:%.cc=$(1)/obj/%.o)
unit_objs = $(unit_test_objs) $(UNIT_TOOL_SRCS:%.cc=$(1)/obj/%.o) $(daemon_testable_objs) $(lib_objs) \
	$(1)/obj/models/embedded.o

define unit_rules
$(call unit_test_objs,$(1)): | $(O)/.need-unit
$(1)/bin/unit-tests: $(call unit_objs,$(1))
	$$(call say,LD,$$@)
	$(Q)mkdir -p $$(@D) && $(CXX) $(LDFLAGS) $(2) -o $$@ $$^ -lcriterion $(LDLIBS) $(DAEMON_LDLIBS)
endef
$(eval $(call unit_rules,$(O),))
$(eval $(call unit_rules,$(O)/asan,$(VARIANT_FLAGS_asan)))

# The same tests with a runner that only forks, for valgrind.
$(O)/obj/tests/unit/one_process.o: | $(O)/.need-unit
$(O)/bin/unit-tests-fork: $(O)/obj/tests/unit/one_process.o $(call unit_objs,$(O))
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ -lcriterion $(LDLIBS) $(DAEMON_LDLIBS)

# Plain C, no framework, no library: what else may be broken, this runs.
$(O)/bin/smoke-test: $(O)/obj/tests/unit/smoke.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -o $@ $^

check-unit: $(O)/bin/unit-tests $(O)/bin/unit-tests-fork $(O)/asan/bin/unit-tests \
		$(FUZZERS) $(O)/bin/smoke-test | $(O)/.need-unit $(O)/.need-build
	$(Q)tests/unit/run $(O)
