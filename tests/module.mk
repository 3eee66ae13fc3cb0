# The test targets; each prints `N passed, M failed` last. Every kind of test has its own folder.
include $(wildcard tests/*/module.mk)

# make check runs the suites one after the other (they time themselves) and adds up their last lines.
check:
	+$(Q)tests/run-suites lint unit e2e vm model
