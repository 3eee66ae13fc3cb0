# sluice.ko, built by kbuild in a copy of kernel/ under $(O) so that the source tree stays clean.
kernel: | $(O)/.need-kernel
