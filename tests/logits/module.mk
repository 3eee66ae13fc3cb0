# A program that hashes the logits of a fixed run: the same on every machine that runs the model.
$(O)/bin/logits: $(O)/obj/tests/logits/logits.o $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)
