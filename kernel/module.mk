# sluice.ko, built by kbuild in a copy of kernel/ under $(O) so that the source tree stays clean.
# A warning of the compiler (W=1) or of sparse is an error here; Kbuild itself stays lenient, so
# that a newer kernel's new warning does not break an installation.

# The release of Debian's headers package, which need not be that of the running kernel. Looked up
# when used: the package may only just have been installed.
kernel_release = $(shell dpkg-query -W -f='$${Depends}' linux-headers-amd64 | \
	grep -o 'linux-headers-[0-9][^ ,]*' | head -n 1 | cut -d- -f3-)
KDIR ?= /usr/src/linux-headers-$(kernel_release)

KERNEL_SRCS := Kbuild VERSION $(sort $(shell find kernel -name '*.[ch]'))
KERNEL_COPY := $(O)/kernel

kernel: $(O)/kernel/sluice.ko

# The ABI as 32- and 64-bit programs see it. -isystem: a 64-bit system has no headers for -m32.
KERNEL_ABI := kernel/uapi/sluice.h kernel/shared/abi_check.h
$(KERNEL_COPY)/.abi-checked: kernel/shared/abi_check.c $(KERNEL_ABI) | $(O)/.need-kernel
	$(call say,CHECK,$<)
	$(Q)for bits in 32 64; do $(CC) -m$$bits -std=c11 -ffreestanding $(WARN) -Wpadded -fsyntax-only \
		-isystem /usr/include/$$($(CC) -print-multiarch) $<; done
	$(Q)mkdir -p $(@D) && touch $@

# Another kernel means another module, though no source has changed.
.PHONY: kernel-dir
kernel-dir: | $(O)/.need-kernel
$(KERNEL_COPY)/.built-for: kernel-dir
	$(Q)mkdir -p $(@D) && (echo '$(KDIR)' | cmp -s - $@ || echo '$(KDIR)' > $@)

# touch: kbuild leaves an unchanged module alone, and make would come back for ever.
$(O)/kernel/sluice.ko: $(KERNEL_SRCS:%=$(KERNEL_COPY)/%) $(KERNEL_COPY)/.abi-checked \
		$(KERNEL_COPY)/.built-for | $(O)/.need-kernel
	$(call say,KBUILD,$@)
	$(Q)$(MAKE) -C $(KDIR) O= M=$(abspath $(KERNEL_COPY)) CONFIG_DEBUG_INFO_BTF_MODULES= W=1 C=1 KCFLAGS=-Werror \
		CF="-D__CHECK_ENDIAN__ -Wsparse-error" $(if $(V),,--silent) modules
	$(Q)touch $@

$(KERNEL_COPY)/%: %
	$(Q)mkdir -p $(@D) && cp $< $@
