# The test targets; each prints `N passed, M failed` last. Every kind of test has its own folder.
# Suites of check-full alone are added by the folder that has them.
FULL_SUITES :=
include $(wildcard tests/*/module.mk)

# make check runs the suites one after the other (they time themselves) and adds up their last lines.
SUITES := lint unit e2e vm model
check:
	+$(Q)tests/run-suites $(SUITES)

check-full:
	+$(Q)tests/run-suites $(SUITES) $(FULL_SUITES)
