# check-model: the same bits everywhere. A program hashes the logits of a fixed run; it runs on this
# host, on the emulated board within the process, and in a QEMU guest whose board is a process here.
$(O)/bin/logits: $(O)/obj/tests/model/logits.o $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.PHONY: check-model
check-model: $(O)/kernel/sluice.ko $(PROGRAMS) $(O)/bin/logits vm-kernel \
		| $(O)/.need-build $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/model/run --build $(O) --kernel $(VM)/vmlinuz-$(kernel_release)
