/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * importer.h - the calls of /dev/sluice-importer. A file has at most one attachment, which dies
 * with it.
 */
#ifndef SLUICE_TESTS_VM_IMPORTER_H
#define SLUICE_TESTS_VM_IMPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define IMPORTER_DYNAMIC (1u << 0) /* with move_notify */
#define IMPORTER_PEER (1u << 1)    /* and peer-to-peer */

struct importer_attach {
  __s32 fd;
  __u32 flags;
};

/* Entry @index of the mapping's scatterlist. */
struct importer_entry {
  __u32 index;
  __u32 reserved;
  __u64 address;
  __u64 length;
};

/* A word of the memory, reached by its bus address: read, or written. */
struct importer_word {
  __u64 offset;
  __u32 value;
  __u32 write;
};

#define IMPORTER_IOC_ATTACH _IOW('I', 0, struct importer_attach)
#define IMPORTER_IOC_PIN _IO('I', 1)
#define IMPORTER_IOC_MAP _IOR('I', 2, __u32) /* out: entries of the scatterlist */
#define IMPORTER_IOC_ENTRY _IOWR('I', 3, struct importer_entry)
#define IMPORTER_IOC_WORD _IOWR('I', 4, struct importer_word)
#define IMPORTER_IOC_MOVED _IOR('I', 5, __u32) /* out: how often move_notify was called */
#define IMPORTER_IOC_UNMAP _IO('I', 6)
#define IMPORTER_IOC_UNPIN _IO('I', 7)

#endif
