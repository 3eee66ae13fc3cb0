# check-vm: sluice.ko in a QEMU guest (TCG, so that no /dev/kvm is needed) with Debian's own kernel
# and the edu device. The kernel image is fetched once, of the release that sluice.ko is built for.
VM := $(O)/vm
VM_SRCS := $(sort $(wildcard tests/vm/*.cc)) tests/fuzz/ioctl/actor.cc

# xf86drm.h finds the headers of the DRM interface by their bare names.
$(O)/obj/tests/vm/guest_sdi_drm.o: EXTRA_FLAGS := -isystem /usr/include/libdrm

$(VM_SRCS:%.cc=$(O)/obj/%.o) $(O)/obj/tests/fuzz/ioctl/fuzz.o: | $(O)/.need-vm

$(VM)/guest_tests: $(VM_SRCS:%.cc=$(O)/obj/%.o) $(O)/lib/libsluice.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS) -luring -ldrm

# What the tests need on the kernel's side, as strictly checked as the driver.
PARTNER_SRCS := $(notdir $(wildcard tests/vm/partner/*))
$(O)/partner/%: tests/vm/partner/%
	$(Q)mkdir -p $(@D) && cp $< $@
$(O)/partner/sluice_partner.ko: $(PARTNER_SRCS:%=$(O)/partner/%) $(KERNEL_COPY)/.built-for
	$(call say,KBUILD,$@)
	$(Q)$(MAKE) -C $(KDIR) O= M=$(abspath $(@D)) CONFIG_DEBUG_INFO_BTF_MODULES= W=1 C=1 KCFLAGS=-Werror \
		CF="-D__CHECK_ENDIAN__ -Wsparse-error" $(if $(V),,--silent) modules
	$(Q)touch $@

# vmlinuz names the release, so that a newer headers package fetches its own kernel. The modules are
# those that a guest may want: a folder of this host, a disk, partners for dma-bufs.
VM_MODULES := virtio_pci virtio_blk 9p 9pnet_virtio crc32c_generic ext4 vgem
.PHONY: vm-kernel
vm-kernel: | $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/vm/fetch-kernel $(kernel_release) $(VM) $(VM_MODULES)

# check-storm, of check-full: the storm of check-vm alone, and longer.
FULL_SUITES += storm
.PHONY: check-vm check-storm
check-storm: VM_OPTIONS := --only '^a_storm_|^all_objects_' --rounds 10000 --removals 200 --work $(VM)/storm
check-vm: VM_OPTIONS := --work $(VM)
check-vm check-storm: $(O)/kernel/sluice.ko $(O)/partner/sluice_partner.ko $(O)/bin/sluicectl $(O)/bin/sluice-emu \
		$(VM)/guest_tests vm-kernel | $(O)/.need-build $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/vm/run --kernel $(VM)/vmlinuz-$(kernel_release) --module $(O)/kernel/sluice.ko \
		--sluicectl $(O)/bin/sluicectl --tests $(VM)/guest_tests \
		--emulator $(O)/bin/sluice-emu --partner $(O)/partner/sluice_partner.ko \
		--modules $(VM)/modules-$(kernel_release) $(VM_OPTIONS)

# check-kasan: the VM suite in a kernel that checks itself, built from Debian's source once: KASAN,
# lockdep, kmemleak, DMA_API_DEBUG, debug objects. Neither part of `make check` nor of CI.
KASAN := $(O)/kasan

.PHONY: kasan-kernel check-kasan
kasan-kernel: | $(O)/.need-kasan
	$(Q)tests/vm/kasan/build-kernel $(KASAN)

# Its own copy of the driver's sources, for another kernel.
$(KASAN)/module/sluice.ko: $(KERNEL_SRCS) kasan-kernel
	$(call say,KBUILD,$@)
	$(Q)mkdir -p $(@D) && cp --parents -u $(KERNEL_SRCS) $(@D)
	$(Q)$(MAKE) -C $(KASAN)/linux O= M=$(abspath $(@D)) W=1 KCFLAGS=-Werror $(if $(V),,--silent) modules

$(KASAN)/partner/sluice_partner.ko: $(PARTNER_SRCS:%=tests/vm/partner/%) kasan-kernel
	$(call say,KBUILD,$@)
	$(Q)mkdir -p $(@D) && cp -u $(PARTNER_SRCS:%=tests/vm/partner/%) $(@D)
	$(Q)$(MAKE) -C $(KASAN)/linux O= M=$(abspath $(@D)) W=1 KCFLAGS=-Werror $(if $(V),,--silent) modules

# Linux 6.1's pciehp takes two locks of its own in either order when a board is pulled out; lockdep complains about
# that once, and sees nothing any more.
check-kasan: $(KASAN)/module/sluice.ko $(KASAN)/partner/sluice_partner.ko $(O)/bin/sluicectl $(O)/bin/sluice-emu $(VM)/guest_tests \
		| $(O)/.need-build $(O)/.need-vm
	$(Q)tests/vm/run --kernel $(KASAN)/bzImage --module $(KASAN)/module/sluice.ko --patience 12 \
		--sluicectl $(O)/bin/sluicectl --tests $(VM)/guest_tests \
		--emulator $(O)/bin/sluice-emu --partner $(KASAN)/partner/sluice_partner.ko \
		--without '^a_board_that_is_pulled_out_is_gone$$' --work $(KASAN)/vm

# The ioctl fuzzer: ten minutes on the kernel that checks itself.
$(O)/bin/ioctl-fuzz: $(O)/obj/tests/fuzz/ioctl/fuzz.o $(O)/obj/tests/fuzz/ioctl/actor.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CXX) $(LDFLAGS) -o $@ $^ -luring

.PHONY: fuzz-ioctl
fuzz-ioctl: $(KASAN)/module/sluice.ko $(O)/bin/ioctl-fuzz $(O)/bin/sluice-emu | $(O)/.need-build $(O)/.need-vm
	$(Q)tests/fuzz/ioctl/run --kernel $(KASAN)/bzImage --module $(KASAN)/module/sluice.ko --fuzzer $(O)/bin/ioctl-fuzz \
		--emulator $(O)/bin/sluice-emu --work $(KASAN)/vm --seconds $(or $(IOCTL_FUZZ_SECONDS),600) --seed $(FUZZ_SEED)
