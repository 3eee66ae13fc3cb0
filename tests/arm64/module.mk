# check-arm64: sluice.ko, cross-built for Debian's arm64 kernel, in a QEMU guest of that architecture.
# Packages of it are fetched once and not installed; the tests of the guest are a static C program.
ARM64 := $(O)/arm64
ARM64_CROSS := aarch64-linux-gnu-
ARM64_COPY := $(ARM64)/kbuild
FULL_SUITES += arm64

.PHONY: arm64-kernel
arm64-kernel: | $(O)/.need-arm64
	$(Q)tests/arm64/fetch $(ARM64)/debian

$(ARM64_COPY)/%: %
	$(Q)mkdir -p $(@D) && cp $< $@

# As strict as the build for this machine (kernel/module.mk).
$(ARM64_COPY)/sluice.ko: $(KERNEL_SRCS:%=$(ARM64_COPY)/%) | arm64-kernel
	$(call say,KBUILD,$@)
	$(Q)$(MAKE) -C $(abspath $(ARM64)/debian/headers) O= M=$(abspath $(ARM64_COPY)) ARCH=arm64 \
		CROSS_COMPILE=$(ARM64_CROSS) CONFIG_DEBUG_INFO_BTF_MODULES= W=1 C=1 KCFLAGS=-Werror \
		CF="-D__CHECK_ENDIAN__ -Wsparse-error" $(if $(V),,--silent) modules
	$(Q)touch $@

ARM64_TESTS := $(wildcard tests/arm64/*.c)
$(ARM64)/guest_tests: $(ARM64_TESTS) tests/arm64/guest.h kernel/uapi/sluice.h kernel/uapi/sluice_sdi.h | $(O)/.need-arm64
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(ARM64_CROSS)gcc -std=gnu11 -O2 -static $(WARN) -Ikernel/uapi -o $@ $(ARM64_TESTS)

.PHONY: check-arm64
check-arm64: $(ARM64_COPY)/sluice.ko $(ARM64)/guest_tests $(O)/bin/sluice-emu | $(O)/.need-kernel $(O)/.need-vm
	$(Q)tests/arm64/run --fetched $(ARM64)/debian --module $(ARM64_COPY)/sluice.ko \
		--emulator $(O)/bin/sluice-emu --tests $(ARM64)/guest_tests --names tests/arm64/guest.c --work $(ARM64)/work
