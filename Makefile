# Sluice: the one entry. `make help` lists the targets; every folder adds its part in a module.mk.
# Everything is built under $(O). V=1 shows the commands; NO_INSTALL=1 only names missing packages.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules
# Two jobs a time unless told otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif

O := build
VERSION := $(shell cat VERSION)
PREFIX ?= /usr/local
DESTDIR ?=
CXX := g++
CC := gcc
AR := gcc-ar
Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-7s %s\n' '$(1)' '$(2)')

# Contraction would let one ISA fuse what another does not: exact arithmetic forbids it.
WARN := -Wall -Wextra -Werror
CPPFLAGS += -I. -DSLUICE_VERSION='"$(VERSION)"' -Ilib/include -Ilib -Ikernel/uapi
CXXFLAGS += -std=c++20 -O2 -g1 -fPIC -ffp-contract=off -fvisibility-inlines-hidden $(WARN)
CFLAGS += -std=c11 -O2 -g1 -fPIC $(WARN)
LDFLAGS += -pthread
LDLIBS += -lfmt -lpcre2-8

# A variant is the same graph built with other flags in a folder of its own.
VARIANT_FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
variant_of = $(if $(filter $(O)/asan/%,$(1)),$(VARIANT_FLAGS_asan))

# Debian packages, by what needs them.
PKGS_build := g++ pkg-config libpcre2-dev libboost1.81-dev nlohmann-json3-dev libcli11-dev libfmt-dev \
	libtomlplusplus-dev libexpected-dev libspdlog-dev libsystemd-dev
PKGS_kernel := gcc linux-headers-amd64 sparse kmod
PKGS_unit := libcriterion-dev valgrind
PKGS_e2e := nodejs npm python3 curl systemd man-db
PKGS_vm := qemu-system-x86 busybox-static strace python3 liburing-dev libdrm-dev e2fsprogs kmod
PKGS_kasan := linux-source-6.1 flex bison bc libelf-dev libssl-dev make xz-utils
PKGS_arm64 := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm device-tree-compiler \
	linux-headers-amd64
PKGS_neon := g++-aarch64-linux-gnu qemu-user-static
PKGS_deb := dpkg-dev binutils
PKGS_packages := mmdebstrap lintian
PKGS_lint := clang-format clang-tidy shellcheck python3 binutils man-db git g++-aarch64-linux-gnu

.PHONY: all build kernel run serve check check-full check-unit check-e2e check-vm check-model check-lint bench lint format clean help install
all: build

# need-GROUP installs the packages of a group, once.
$(O)/.need-%: Makefile packaging/install-packages
	$(Q)packaging/install-packages $(PKGS_$*)
	$(Q)mkdir -p $(@D) && touch $@

include lib/module.mk
include models/module.mk
include tools/module.mk
include daemon/module.mk
include kernel/module.mk
include packaging/module.mk
include tests/module.mk

# --- compiling ---------------------------------------------------------------------------------
# $(O)/obj/... is the release build, $(O)/asan/obj/... the sanitized one.
define compile_rules
$(1)/obj/%.o: %.cc | $(O)/.need-build
	$$(call say,CXX,$$@)
	$(Q)mkdir -p $$(@D) && $(CXX) $(CPPFLAGS) $(CXXFLAGS) $(2) $$(EXTRA_FLAGS) -MMD -MP -c $$< -o $$@
$(1)/obj/%.o: %.c | $(O)/.need-build
	$$(call say,CC,$$@)
	$(Q)mkdir -p $$(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) $(2) $$(EXTRA_FLAGS) -MMD -MP -c $$< -o $$@
$(1)/obj/%.o: %.S | $(O)/.need-build
	$$(call say,AS,$$@)
	$(Q)mkdir -p $$(@D) && $(CC) $(CPPFLAGS) -fPIC -MMD -MP -c $$< -o $$@
endef
$(eval $(call compile_rules,$(O),))
$(eval $(call compile_rules,$(O)/asan,$(VARIANT_FLAGS_asan)))

build: $(PROGRAMS) $(LIBRARIES)

# --- running -----------------------------------------------------------------------------------
PROMPT ?= Once upon a time
N ?= 200
SEED ?= 5
run: $(O)/bin/sluice
	$(Q)$(O)/bin/sluice run -p "$$PROMPT" -n $(N) --temp 0.8 --top-p 0.95 --seed $(SEED)
export PROMPT

# --- installing ----------------------------------------------------------------------------------
INSTALL := install -D
install: build
	$(Q)for p in $(PROGRAMS); do $(INSTALL) -m 755 $$p $(DESTDIR)$(PREFIX)/bin/$${p##*/}; done
	$(Q)$(INSTALL) -m 644 $(O)/lib/libsluice.a -t $(DESTDIR)$(PREFIX)/lib
	$(Q)$(INSTALL) -m 755 $(O)/lib/$(SONAME) -t $(DESTDIR)$(PREFIX)/lib
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libsluice.so
	$(Q)$(INSTALL) -m 644 kernel/uapi/sluice_sdi.h -t $(DESTDIR)$(PREFIX)/include
	$(Q)$(INSTALL) -m 644 lib/include/sluice/*.h lib/include/sluice/*.hpp -t $(DESTDIR)$(PREFIX)/include/sluice
	$(Q)$(INSTALL) -m 644 docs/man/*.1 -t $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)$(INSTALL) -m 644 docs/man/*.8 -t $(DESTDIR)$(PREFIX)/share/man/man8
	$(Q)$(INSTALL) -m 644 daemon/systemd/sluiced.service -t $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(Q)sed -i 's,^ExecStart=[^ ]*/sluiced,ExecStart=$(PREFIX)/bin/sluiced,' \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/sluiced.service
	$(Q)[ -e $(DESTDIR)/etc/sluice/sluiced.toml ] || \
		$(INSTALL) -m 644 daemon/systemd/sluiced.toml -t $(DESTDIR)/etc/sluice
	$(Q)$(INSTALL) -m 644 packaging/udev/*.rules -t $(DESTDIR)$(PREFIX)/lib/udev/rules.d
	$(Q)$(INSTALL) -m 644 daemon/systemd/sluice.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sluice.conf

# --- housekeeping ------------------------------------------------------------------------------
clean:
	$(Q)rm -rf $(O)

help:
	@sed -n 's/^#: *//p' Makefile
#: make run [PROMPT="..." N=200 SEED=5]  build and tell a story from the embedded model
#: make serve [PORT=8080]     start the daemon on 127.0.0.1 with the embedded model
#: make build                 programs in build/bin, libraries in build/lib
#: make kernel                build sluice.ko against Debian's kernel headers
#: make check                 everything below
#: make lint                  formatting, clang-tidy, layering, symbols, scripts, man pages
#: make check-unit            unit tests: plain, sanitized (ASan, UBSan) and under valgrind
#: make check-e2e             the programs, the C library and the daemon as users meet them
#: make check-vm              sluice.ko in a QEMU guest with Debian's kernel and the edu device
#: make check-model           the same bits on the CPU, an emulated board, and a board behind the driver in a guest
#: make check-kasan           the VM suite in a kernel with KASAN, lockdep and kmemleak, built once (10 to 20 minutes)
#: make check-full          make check, and what takes longer: check-storm, -arm64, -neon, -packages, -checkpatch, -costs
#: make check-storm         10,000 lives of hostile programs and 200 removals of a board, in the guest of check-vm
#: make check-checkpatch     the driver's style, by the script of the kernel's source
#: make check-neon          the NEON kernels and the whole program for arm64, by QEMU's user mode
#: make check-arm64         sluice.ko for arm64 in a QEMU guest: edu; a GPIO block and boards of the platform bus
#: make soak [FAULTS=1000]    stories on an emulated board that fails at random
#: make fuzz-ioctl            hostile programs against the driver on the kernel of check-kasan, for ten minutes
#: make fuzz                  the fuzzers of GGUF files and model folders, a minute and 10,000 files each
#: make bench [SMALL=1 ONLY="formats ..." IK=FOLDER]  measure the figures of docs/performance.md anew
#: make format                apply clang-format
#: make deb                 Debian packages in build/packages: sluice, libsluice-dev, sluice-dkms
#: make install               programs, library, man pages, unit and udev rule, under DESTDIR and PREFIX
#: make clean                 remove build/
#: V=1 shows commands; NO_INSTALL=1 only names the packages that are missing.

# Not of kernels and systems that tests have made there.
-include $(shell find $(O) \( -path $(O)/kasan -o -path $(O)/arm64 -o -path '$(O)/packages*' \) -prune -o \
	-name '*.d' -type f -print 2>/dev/null)
