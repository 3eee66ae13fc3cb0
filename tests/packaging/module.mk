# check-packages: the Debian packages in a system of their own, made once by mmdebstrap.
FULL_SUITES += packages

.PHONY: check-packages
check-packages: deb | $(O)/.need-packages
	$(Q)tests/packaging/run $(DEBS) $(O)/packages-test
