# make lint: formatting, clang-tidy, who includes whom, symbols of the kernels, scripts, man pages.
LINT_CXX := $(sort $(shell find lib tools daemon tests -name '*.cc' -o -name '*.h' -o -name '*.hpp' | grep -v '^tests/data/') \
	$(shell find lib -name '*.inc'))

lint check-lint: $(PROGRAMS) $(O)/lib/libsluice.a | $(O)/.need-build $(O)/.need-lint
	$(Q)tests/lint/run $(O)

format: | $(O)/.need-lint
	$(Q)clang-format -i $(LINT_CXX)

# check-checkpatch, of check-full: the kernel's script for style, over what is built for kernels. It comes with the
# kernel's source, which is too much to fetch for every `make check`.
FULL_SUITES += checkpatch
.PHONY: check-checkpatch
check-checkpatch: | $(O)/.need-kasan
	$(Q)tests/lint/checkpatch $(O)/checkpatch
