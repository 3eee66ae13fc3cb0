/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * memtypes.h - the calls of /dev/sluice-memtypes, which root alone may open: where the caller's
 * memory lies, and as what the kernel itself has it mapped. Nothing is changed.
 */
#ifndef SLUICE_TESTS_VM_MEMTYPES_H
#define SLUICE_TESTS_VM_MEMTYPES_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MEMTYPES_CACHED 0
#define MEMTYPES_WRITE_COMBINED 1
#define MEMTYPES_UNCACHED 2
#define MEMTYPES_OTHER 3 /* write-through, write-protected */

/* The page frame behind an address of the caller, in a mapping of frames (VM_PFNMAP). */
struct memtypes_frame {
  __u64 address;
  __u64 frame; /* out */
};

/* The type of a frame of RAM in the kernel's direct map. */
struct memtypes_type {
  __u64 frame;
  __u32 type;  /* out: MEMTYPES_* */
  __u32 shift; /* out: its entry is for 1 << shift bytes */
};

/* EFAULT: no such address; EINVAL: of another kind of mapping. */
#define MEMTYPES_IOC_FRAME _IOWR('T', 0, struct memtypes_frame)
/* ENXIO: no RAM, or not in the direct map. */
#define MEMTYPES_IOC_TYPE _IOWR('T', 1, struct memtypes_type)

#endif
