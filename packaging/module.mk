# deb: Debian packages, from what `make install` installs.
DEBS := $(O)/packages

.PHONY: deb
deb: build | $(O)/.need-deb
	$(call say,DEB,$(DEBS))
	$(Q)rm -rf $(DEBS)/stage
	$(Q)env -u MAKEFLAGS -u MFLAGS $(MAKE) --no-print-directory install DESTDIR=$(abspath $(DEBS)/stage) PREFIX=/usr
	$(Q)packaging/build-debs $(DEBS)/stage $(DEBS)
