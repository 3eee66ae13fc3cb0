# check-model: the same bits everywhere. A program hashes the logits of a fixed run; it runs on this
# host, on the emulated board within the process, and in a QEMU guest whose board is a process here.
# Another tries what the queue of a guest's program was not granted.
$(O)/bin/logits $(O)/bin/hammer: $(O)/bin/%: $(O)/obj/tests/model/%.o $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: check-model
check-model: $(O)/kernel/sluice.ko $(PROGRAMS) $(O)/bin/logits $(O)/bin/hammer vm-kernel \
		| $(O)/.need-build $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/model/run --build $(O) --kernel $(VM)/vmlinuz-$(kernel_release)
