/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * sluice.h - the ioctl ABI of /dev/sluiceN, shared by driver and user space.
 *
 * Every argument is a struct whose first word is its own size as the caller
 * knows it. A newer driver zero-extends a shorter struct, down to that of ABI
 * version 1 (-EINVAL below); a longer struct is accepted only if the part that
 * this driver does not know is zero (-E2BIG otherwise). Unknown flag bits and
 * non-zero reserved words are -EINVAL. A failed call writes nothing back.
 *
 * Any call answers -ENODEV once the board is gone, for ever on that file, and
 * -EBUSY while it is being reset. Both take back every mapping: a later touch
 * is a SIGBUS.
 *
 * The layout is the same for 32- and 64-bit callers: natural alignment, no
 * implicit padding, little-endian hosts only.
 */
#ifndef _UAPI_SLUICE_H
#define _UAPI_SLUICE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SLUICE_ABI_VERSION 1

/* What kind of board is bound: @kind of struct sluice_info. */
#define SLUICE_BOARD_PLAIN 0 /* windows and an interrupt, nothing else is known */
#define SLUICE_BOARD_SDI 1   /* speaks the Sluice Device Interface */

/* How the board is attached: @bus of struct sluice_info. */
#define SLUICE_BUS_PCI 0
#define SLUICE_BUS_PLATFORM 1

/* @state bits of struct sluice_info. */
#define SLUICE_STATE_BUS_MASTER (1u << 0) /* the board may start DMA */
#define SLUICE_STATE_IRQ (1u << 1)        /* an interrupt line is connected */

/**
 * struct sluice_info - SLUICE_IOC_INFO: what board is behind this file
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @abi_version: SLUICE_ABI_VERSION of the driver (out, as all that follow)
 * @kind: SLUICE_BOARD_*
 * @bus: SLUICE_BUS_*
 * @state: SLUICE_STATE_*
 * @n_windows: number of windows, for SLUICE_IOC_WINDOW
 * @vendor: PCI vendor id, 0 if there is none
 * @device: PCI device id
 * @subsystem_vendor: PCI subsystem vendor id
 * @subsystem_device: PCI subsystem id
 * @class_revision: PCI class code in bits 31..8, revision in bits 7..0
 * @irq_count: interrupts seen since the driver was bound
 * @name: bus name of the board ("0000:00:04.0"), zero-terminated
 * @reserved: must be 0 (in)
 */
struct sluice_info {
	__u32 size;
	__u32 flags;
	__u32 abi_version;
	__u32 kind;
	__u32 bus;
	__u32 state;
	__u32 n_windows;
	__u16 vendor;
	__u16 device;
	__u16 subsystem_vendor;
	__u16 subsystem_device;
	__u32 class_revision;
	__u64 irq_count;
	char name[32];
	__u64 reserved[2];
};

/* What a window is good for: @kind of struct sluice_window. */
#define SLUICE_WINDOW_REGISTERS 0 /* non-prefetchable memory: registers */
#define SLUICE_WINDOW_MEMORY 1    /* prefetchable memory: device memory */
#define SLUICE_WINDOW_PORT 2      /* I/O ports: registers by ioctl only */

/* @caps bits of struct sluice_window. */
#define SLUICE_WINDOW_CAN_MAP (1u << 0)   /* SLUICE_IOC_MAP works */
#define SLUICE_WINDOW_CAN_WRITE (1u << 1) /* writes are allowed */

/**
 * struct sluice_window - SLUICE_IOC_WINDOW: describe one window
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @index: which window, 0 .. n_windows - 1; -EINVAL past the end (in)
 * @kind: SLUICE_WINDOW_* kind (out, as all that follow)
 * @caps: SLUICE_WINDOW_CAN_*
 * @bar: PCI BAR number or platform resource number behind the window
 * @length: bytes
 * @reserved: must be 0 (in)
 */
struct sluice_window {
	__u32 size;
	__u32 flags;
	__u32 index;
	__u32 kind;
	__u32 caps;
	__u32 bar;
	__u64 length;
	__u64 reserved[2];
};

/**
 * struct sluice_reg - SLUICE_IOC_REG_READ, SLUICE_IOC_REG_WRITE: one register access
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @window: index of the window (in); -EINVAL past the end
 * @width: bits: 8, 16, 32 or 64 (in); anything else is -EINVAL, and 64 on
 *	I/O ports is -EOPNOTSUPP
 * @offset: bytes from the window's start (in); a multiple of the width
 *	(-EINVAL), and the access must lie inside the window (-ERANGE)
 * @value: what was read (out) or is to be written (in); a value that does
 *	not fit the width is -EINVAL
 * @reserved: must be 0 (in)
 *
 * The access is one bus transaction of exactly that width. It needs the file
 * open for reading, or writing (-EBADF), and to write a window with
 * SLUICE_WINDOW_CAN_WRITE (-EPERM).
 */
struct sluice_reg {
	__u32 size;
	__u32 flags;
	__u32 window;
	__u32 width;
	__u64 offset;
	__u64 value;
	__u64 reserved[2];
};

/* Memory type of a mapping: @type of struct sluice_map. */
#define SLUICE_MAP_UNCACHED 0

/**
 * struct sluice_map - SLUICE_IOC_MAP: get a cookie for mmap()
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @window: index of the window (in); -EINVAL past the end
 * @type: SLUICE_MAP_* memory type (in); a type that the window cannot have,
 *	or a window that cannot be mapped at all, is -EOPNOTSUPP
 * @offset: bytes from the window's start (in), a multiple of the page size
 * @length: bytes (in), not 0; rounded up to whole pages, which must lie inside
 *	the window's pages (-ERANGE)
 * @cookie: the offset to give to mmap() (out); cookie + n maps from the n-th
 *	byte of the range on. It dies with the open file; the same range has the
 *	same cookie, and a file can have 4096 of them (-ENOSPC)
 * @reserved: must be 0 (in)
 *
 * mmap() of a cookie needs MAP_SHARED (-EINVAL), and a file open for writing if
 * the mapping is writable (-EACCES); PROT_EXEC is -EPERM. A mapping longer than
 * what the cookie covers, or an offset that is no cookie of this file, is
 * -EINVAL. A mapping can be inherited by fork() and moved, but is changed and
 * removed only as a whole.
 */
struct sluice_map {
	__u32 size;
	__u32 flags;
	__u32 window;
	__u32 type;
	__u64 offset;
	__u64 length;
	__u64 cookie;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_irq. */
#define SLUICE_IRQ_ENABLE (1u << 0) /* let the next interrupt through */

/**
 * struct sluice_irq - SLUICE_IOC_IRQ: take note of interrupts and re-arm the line
 * @size: size of this struct (in)
 * @flags: SLUICE_IRQ_* (in)
 * @count: interrupts since the driver was bound (out)
 * @reserved: must be 0 (in)
 *
 * The interrupt line of a plain board is masked in the function when an
 * interrupt arrives, and stays so until SLUICE_IRQ_ENABLE: only the program
 * knows how its board takes the request back. It is masked when the board is
 * bound, too. poll() reports POLLIN while the board's count differs from what
 * this file last read here (at first: from the count when it was opened), and
 * POLLERR | POLLHUP once the board is gone. A board without an interrupt line
 * answers -ENXIO.
 */
struct sluice_irq {
	__u32 size;
	__u32 flags;
	__u64 count;
	__u64 reserved[2];
};

#define SLUICE_IOC_MAGIC 0xB7
#define SLUICE_IOC_INFO _IOWR(SLUICE_IOC_MAGIC, 0x00, struct sluice_info)
#define SLUICE_IOC_WINDOW _IOWR(SLUICE_IOC_MAGIC, 0x01, struct sluice_window)
#define SLUICE_IOC_REG_READ _IOWR(SLUICE_IOC_MAGIC, 0x02, struct sluice_reg)
#define SLUICE_IOC_REG_WRITE _IOWR(SLUICE_IOC_MAGIC, 0x03, struct sluice_reg)
#define SLUICE_IOC_MAP _IOWR(SLUICE_IOC_MAGIC, 0x04, struct sluice_map)
#define SLUICE_IOC_IRQ _IOWR(SLUICE_IOC_MAGIC, 0x05, struct sluice_irq)

#endif /* _UAPI_SLUICE_H */
