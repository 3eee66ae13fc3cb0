# check-vm: sluice.ko in a QEMU guest (TCG, so that no /dev/kvm is needed) with Debian's own kernel
# and the edu device. The kernel image is fetched once, of the release that sluice.ko is built for.
VM := $(O)/vm
VM_SRCS := $(sort $(wildcard tests/vm/*.cc))

$(VM)/guest_tests: $(VM_SRCS:%.cc=$(O)/obj/%.o) $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# vmlinuz names the release, so that a newer headers package fetches its own kernel.
.PHONY: vm-kernel
vm-kernel: | $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/vm/fetch-kernel $(kernel_release) $(VM)

.PHONY: check-vm
check-vm: $(O)/kernel/sluice.ko $(O)/bin/sluicectl $(O)/bin/sluice-emu $(VM)/guest_tests vm-kernel \
		| $(O)/.need-build $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/vm/run --kernel $(VM)/vmlinuz-$(kernel_release) --module $(O)/kernel/sluice.ko \
		--sluicectl $(O)/bin/sluicectl --tests $(VM)/guest_tests \
		--emulator $(O)/bin/sluice-emu --work $(VM)
