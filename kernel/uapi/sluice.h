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
 * -EBUSY while it is being reset. A board that did not come up again after a
 * reset answers -EIO to what would use it, until another reset succeeds. All of
 * these take back every mapping: a later touch is a SIGBUS. After a reset device
 * memory holds nothing of worth, objects are still there and may be mapped again,
 * and queues are dead: their calls answer -ECONNRESET until they are freed.
 *
 * Objects (memory, buffers, queues, imported dma-bufs) have handles, numbers
 * above 0 that mean something to the file that made them, and die with it.
 *
 * The layout is the same for 32- and 64-bit callers: natural alignment, no
 * implicit padding, little-endian hosts only.
 */
#ifndef _UAPI_SLUICE_H
#define _UAPI_SLUICE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SLUICE_ABI_VERSION 2

/* What kind of board is bound: @kind of struct sluice_info. */
#define SLUICE_BOARD_PLAIN 0 /* windows and an interrupt, nothing else is known */
#define SLUICE_BOARD_SDI 1   /* speaks the Sluice Device Interface */

/* How the board is attached: @bus of struct sluice_info. */
#define SLUICE_BUS_PCI 0
#define SLUICE_BUS_PLATFORM 1

/* @state bits of struct sluice_info. */
#define SLUICE_STATE_BUS_MASTER (1u << 0) /* the board may start DMA */
#define SLUICE_STATE_IRQ (1u << 1)        /* an interrupt line is connected */
#define SLUICE_STATE_VECTORS (1u << 2)    /* one interrupt vector per queue */
#define SLUICE_STATE_RAW_PHYS (1u << 3)   /* SLUICE_IOC_PHYS is switched on */
#define SLUICE_STATE_BROKEN (1u << 4)     /* a reset failed: nothing works until one succeeds */

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
 * @capabilities: SLUICE_SDI_CAP_* of an SDI board (as all that follow; else 0)
 * @memory_size: bytes of device memory
 * @memory_free: bytes of it that SLUICE_IOC_ALLOC has not given out; the largest
 *	piece may be smaller
 * @memory_window: window that holds it
 * @n_queues: queues of the board
 * @n_queues_free: those that nobody has
 * @n_segments: most segments of a queue
 * @max_entries: most entries of a queue's rings
 * @n_resets: resets since the driver was bound (of plain boards, too)
 * @sdi_version: major << 16 | minor
 * @max_step_bytes: most bytes of a step buffer
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
	/* ABI version 2 */
	__u64 capabilities;
	__u64 memory_size;
	__u64 memory_free;
	__u32 memory_window;
	__u32 n_queues;
	__u32 n_queues_free;
	__u32 n_segments;
	__u32 max_entries;
	__u32 n_resets;
	__u32 sdi_version;
	__u32 max_step_bytes;
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

/**
 * struct sluice_reg_update - SLUICE_IOC_REG_UPDATE: read, modify, write
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @window: as in struct sluice_reg (in)
 * @width: as in struct sluice_reg (in)
 * @offset: as in struct sluice_reg (in)
 * @mask: bits to change (in)
 * @value: what to change them to (in); a bit outside @mask is -EINVAL
 * @old: what was read before (out)
 * @reserved: must be 0 (in)
 *
 * No other register access through the driver comes in between.
 */
struct sluice_reg_update {
	__u32 size;
	__u32 flags;
	__u32 window;
	__u32 width;
	__u64 offset;
	__u64 mask;
	__u64 value;
	__u64 old;
	__u64 reserved[2];
};

/**
 * struct sluice_reg_poll - SLUICE_IOC_REG_POLL: read until (register & mask) == value
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @window: as in struct sluice_reg (in)
 * @width: as in struct sluice_reg (in)
 * @offset: as in struct sluice_reg (in)
 * @mask: bits to look at (in)
 * @value: what to wait for (in); a bit outside @mask is -EINVAL
 * @timeout_ns: longest wait, at most 60 s (in; -EINVAL above); the register is
 *	read at least once, and -ETIMEDOUT means it was read after the time was up
 * @seen: what was read last (out)
 * @reserved: must be 0 (in)
 *
 * A signal ends the wait with -EINTR, a reset or the end of the board as elsewhere.
 */
struct sluice_reg_poll {
	__u32 size;
	__u32 flags;
	__u32 window;
	__u32 width;
	__u64 offset;
	__u64 mask;
	__u64 value;
	__u64 timeout_ns;
	__u64 seen;
	__u64 reserved[2];
};

/* What to do in a batch: @op of struct sluice_reg_op. */
#define SLUICE_REG_OP_READ 0   /* @value: out */
#define SLUICE_REG_OP_WRITE 1
#define SLUICE_REG_OP_UPDATE 2 /* with @mask; @value becomes what was read before */
#define SLUICE_REG_OP_POLL 3   /* with @mask, for @timeout_ns */

/**
 * struct sluice_reg_op - one access of a batch; fields as in the calls for one
 */
struct sluice_reg_op {
	__u32 op;
	__u32 window;
	__u32 width;
	__u32 reserved;
	__u64 offset;
	__u64 value;
	__u64 mask;
	__u64 timeout_ns;
};

#define SLUICE_REG_BATCH_MAX 1024

/**
 * struct sluice_reg_batch - SLUICE_IOC_REG_BATCH: register accesses in order
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @count: number of accesses, 1 .. SLUICE_REG_BATCH_MAX (in)
 * @done: accesses that succeeded, from the first on (out)
 * @error: negative errno of access number @done, 0 if all succeeded (out)
 * @reserved0: must be 0 (in)
 * @ops: user address of struct sluice_reg_op[count] (in); @value of those that
 *	succeeded is written back
 * @reserved: must be 0 (in)
 *
 * Every access is checked before the first is made: a bad one is an error of
 * the call, and nothing has happened.
 */
struct sluice_reg_batch {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 done;
	__s32 error;
	__u32 reserved0;
	__u64 ops;
	__u64 reserved[2];
};

/*
 * Memory type of a mapping: @type of struct sluice_map. NATIVE is uncached for windows of
 * registers, write-combined for device memory, and for objects in host memory what they
 * were allocated as.
 */
#define SLUICE_MAP_UNCACHED 0
#define SLUICE_MAP_WRITE_COMBINED 1
#define SLUICE_MAP_CACHED 2 /* coherent with the board */
#define SLUICE_MAP_NATIVE 3

/* @flags bits of struct sluice_map. */
#define SLUICE_MAP_OBJECT (1u << 0) /* @window is the handle of an object */

/**
 * struct sluice_map - SLUICE_IOC_MAP: get a cookie for mmap()
 * @size: size of this struct (in)
 * @flags: SLUICE_MAP_OBJECT or 0 (in)
 * @window: index of the window, or handle of memory, a buffer or an imported
 *	dma-buf (in); -EINVAL past the end, -ENOENT for no such object
 * @type: SLUICE_MAP_* memory type (in); a type that the window or object cannot
 *	have, or a window that cannot be mapped at all, is -EOPNOTSUPP: windows
 *	of registers are uncached, device memory is write-combined or uncached,
 *	buffers have the type that they were allocated with
 * @offset: bytes from the window's start (in), a multiple of the page size
 * @length: bytes (in), not 0; rounded up to whole pages, which must lie inside
 *	the window's pages (-ERANGE)
 * @cookie: the offset to give to mmap() (out); cookie + n maps from the n-th
 *	byte of the range on. It dies with the open file; the same range has the
 *	same cookie, and a file can have 4096 of them (-ENOSPC)
 * @reserved: must be 0 (in)
 *
 * pread() and pwrite() at cookie + n copy through the kernel, by accesses of up to
 * 8 bytes, and end where the cookie's range ends. mmap() of a cookie needs
 * MAP_SHARED (-EINVAL), and a file open for writing if the mapping is writable
 * (-EACCES); PROT_EXEC is -EPERM. A mapping longer than
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

/* @flags bits of struct sluice_mapping_info. */
#define SLUICE_MAPPING_WRITABLE (1u << 0)
#define SLUICE_MAPPING_REVOKED (1u << 1)
#define SLUICE_MAPPING_OBJECT (1u << 2) /* @window is a handle of the file that made it */

/**
 * struct sluice_mapping_info - one live mapping of the board
 * @address: where it is in its process
 * @length: bytes
 * @offset: bytes from the start of the window or object
 * @window: window or handle
 * @flags: SLUICE_MAPPING_*
 * @pid: process that made it, in the caller's namespace, 0 if it is not to be seen there
 * @requested: SLUICE_MAP_* memory type that was asked for
 * @effective: SLUICE_MAP_* memory type that the page tables have
 * @reserved: 0
 */
struct sluice_mapping_info {
	__u64 address;
	__u64 length;
	__u64 offset;
	__u32 window;
	__u32 flags;
	__u32 pid;
	__u32 requested;
	__u32 effective;
	__u32 reserved;
};

/* @flags bits of struct sluice_mappings. */
#define SLUICE_MAPPINGS_ALL (1u << 0) /* of all files; needs CAP_SYS_PTRACE */

/**
 * struct sluice_mappings - SLUICE_IOC_MAPPINGS: which mappings there are
 * @size: size of this struct (in)
 * @flags: SLUICE_MAPPINGS_* (in); without ALL those made by this file
 * @count: room at @entries (in), entries written (out)
 * @total: mappings there are (out)
 * @entries: user address of struct sluice_mapping_info[count] (in)
 * @reserved: must be 0 (in)
 */
struct sluice_mappings {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 total;
	__u64 entries;
	__u64 reserved[2];
};

/* What to allocate: @kind of struct sluice_alloc. */
#define SLUICE_ALLOC_DEVICE 0         /* device memory of an SDI board */
#define SLUICE_ALLOC_COHERENT 1       /* host memory, cached and coherent */
#define SLUICE_ALLOC_UNCACHED 2       /* host memory, uncached */
#define SLUICE_ALLOC_WRITE_COMBINED 3 /* host memory, write-combined */
#define SLUICE_ALLOC_PAGES 4          /* host memory that O_DIRECT takes; cached */

/**
 * struct sluice_alloc - SLUICE_IOC_ALLOC: memory for data
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @kind: SLUICE_ALLOC_* (in); -EOPNOTSUPP where the board or the machine cannot
 * @handle: of the object (out)
 * @length: bytes, not 0 (in); rounded up to whole pages
 * @address: bus address, if it is contiguous for the board, else ~0 (out); of
 *	device memory its offset. An SDI board reaches the object by
 *	SLUICE_IOC_GRANT only; behind an IOMMU the address means something to this board alone
 * @reserved: must be 0 (in)
 *
 * Needs the file open for writing (-EBADF). The memory is zeroed, host memory and
 * device memory alike. -ENOMEM: there is no such piece; -ENOSPC: the file has
 * 65535 objects. Host memory for a plain board needs bus mastering (-EPERM).
 */
struct sluice_alloc {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 handle;
	__u64 length;
	__u64 address;
	__u64 reserved[2];
};

/**
 * struct sluice_free - SLUICE_IOC_FREE: let go of an object
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @handle: of memory, a buffer, an imported dma-buf or a queue (in); -ENOENT
 * @reserved0: must be 0 (in)
 * @reserved: must be 0 (in)
 *
 * Memory is taken out of every segment first; what is mapped or exported lives
 * until that ends. A queue is stopped; entries that were not completed are lost.
 */
struct sluice_free {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 reserved0;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_queue. */
#define SLUICE_QUEUE_KERNEL (1u << 0) /* the driver keeps the rings: SLUICE_IOC_SUBMIT */
#define SLUICE_QUEUE_EVENTFD (1u << 1) /* signal @eventfd at each interrupt */

/**
 * struct sluice_queue - SLUICE_IOC_QUEUE: get a queue of an SDI board
 * @size: size of this struct (in)
 * @flags: SLUICE_QUEUE_* (in)
 * @n_entries: of each ring, a power of two, 2 .. max_entries (in)
 * @n_segments: of the segment table, 1 .. n_segments of the board (in)
 * @eventfd: with SLUICE_QUEUE_EVENTFD (in), else 0
 * @handle: of the queue (out)
 * @index: number of the queue on the board (out)
 * @coalesce_count: completions for one interrupt; 0: one (in)
 * @coalesce_us: longest wait for them (in)
 * @reserved0: must be 0 (in)
 * @sq_cookie: for mmap(): n_entries of struct sluice_sdi_entry (out)
 * @cq_cookie: for mmap(), read-only: n_entries of struct sluice_sdi_completion (out)
 * @doorbell_cookie: for mmap(): a page, struct sluice_sdi_doorbell, uncached (out)
 * @reserved: must be 0 (in)
 *
 * Needs the file open for writing (-EBADF), as all calls on queues but WAIT and
 * FREE. -EBUSY: all queues are taken. Without SLUICE_QUEUE_KERNEL the rings are the
 * caller's: it writes entries, stores the tail, and notifies (SLUICE_IOC_NOTIFY)
 * if the board is idle. With it the cookies are 0.
 */
struct sluice_queue {
	__u32 size;
	__u32 flags;
	__u32 n_entries;
	__u32 n_segments;
	__s32 eventfd;
	__u32 handle;
	__u32 index;
	__u32 coalesce_count;
	__u32 coalesce_us;
	__u32 reserved0;
	__u64 sq_cookie;
	__u64 cq_cookie;
	__u64 doorbell_cookie;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_grant: what the board may do there; none: take it back. */
#define SLUICE_GRANT_READ (1u << 0)
#define SLUICE_GRANT_WRITE (1u << 1)

/**
 * struct sluice_grant - SLUICE_IOC_GRANT: put an object into a segment, or take it out
 * @size: size of this struct (in)
 * @flags: SLUICE_GRANT_* (in)
 * @queue: handle of the queue (in)
 * @segment: index of the segment (in); -EINVAL past the queue's
 * @handle: of the object (in); 0 without flags
 * @reserved0: must be 0 (in)
 * @offset: bytes from the object's start, a multiple of the page size (in)
 * @length: bytes, not 0, inside the object (in; -ERANGE)
 * @reserved: must be 0 (in)
 *
 * The board knows of it when the call returns. Lists that name a segment which
 * has changed must be loaded anew.
 */
struct sluice_grant {
	__u32 size;
	__u32 flags;
	__u32 queue;
	__u32 segment;
	__u32 handle;
	__u32 reserved0;
	__u64 offset;
	__u64 length;
	__u64 reserved[2];
};

/**
 * struct sluice_notify - SLUICE_IOC_NOTIFY: tell the board to look at a queue
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @queue: handle of the queue (in)
 * @reserved0: must be 0 (in)
 * @reserved: must be 0 (in)
 */
struct sluice_notify {
	__u32 size;
	__u32 flags;
	__u32 queue;
	__u32 reserved0;
	__u64 reserved[2];
};

/**
 * struct sluice_submit - SLUICE_IOC_SUBMIT: give entries to a queue that the driver keeps
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @queue: handle of the queue (in)
 * @count: number of entries, 1 .. the ring's size (in), entries accepted (out)
 * @entries: user address of struct sluice_sdi_entry[count] (in)
 * @reserved: must be 0 (in)
 *
 * As many as there is room for are accepted; -EAGAIN if that is none.
 */
struct sluice_submit {
	__u32 size;
	__u32 flags;
	__u32 queue;
	__u32 count;
	__u64 entries;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_wait. */
#define SLUICE_WAIT_NOTIFY (1u << 0) /* first as SLUICE_IOC_NOTIFY */

/**
 * struct sluice_wait - SLUICE_IOC_WAIT: wait for completions
 * @size: size of this struct (in)
 * @flags: SLUICE_WAIT_* (in)
 * @queue: handle of the queue (in)
 * @count: with rings kept by the driver: room at @completions (in), how many were
 *	written, at least 1 (out); else must be 0 (in)
 * @timeout_ns: longest wait (in); ~0: for ever; -ETIMEDOUT
 * @completions: user address of struct sluice_sdi_completion[count] (in), else 0
 * @reserved: must be 0 (in)
 *
 * On a queue whose rings are the caller's it returns when there is a completion
 * at @cq_head of the doorbell page. -ECONNRESET: the board was reset; entries in
 * flight were handed out before that with SLUICE_SDI_E_ABORTED (driver's rings),
 * or are lost (caller's rings).
 */
struct sluice_wait {
	__u32 size;
	__u32 flags;
	__u32 queue;
	__u32 count;
	__u64 timeout_ns;
	__u64 completions;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_reset. */
#define SLUICE_RESET_FORCE (1u << 0) /* though device memory is exported and pinned */

/**
 * struct sluice_reset - SLUICE_IOC_RESET: function reset
 * @size: size of this struct (in)
 * @flags: SLUICE_RESET_* (in)
 * @n_resets: since the driver was bound (out)
 * @reserved0: must be 0 (in)
 * @reserved: must be 0 (in)
 *
 * Needs the file open for writing. -EBUSY: device memory is exported and pinned;
 * -EOPNOTSUPP: the board knows no reset.
 */
struct sluice_reset {
	__u32 size;
	__u32 flags;
	__u32 n_resets;
	__u32 reserved0;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_clock. */
#define SLUICE_CLOCK_SET (1u << 0)   /* change to @system_hz; needs CAP_SYS_RAWIO */
#define SLUICE_CLOCK_BOOST (1u << 1) /* above the rated frequency is meant */

/**
 * struct sluice_clock - SLUICE_IOC_CLOCK: the clocks of an SDI board
 * @size: size of this struct (in)
 * @flags: SLUICE_CLOCK_* (in)
 * @system_hz: wanted with SLUICE_CLOCK_SET (in); now (out, as all that follow)
 * @source: SLUICE_SDI_CLOCK_SOURCE_*
 * @m: PLL divider, input
 * @n: PLL multiplier
 * @p: PLL divider, system clock
 * @q: PLL divider, 48 MHz domain
 * @wait_states: of device memory
 * @pll48_hz: 48 MHz domain
 * @bus_hz: of the buses
 * @timer_hz: what the timers count with, 0 if off
 * @hsi_hz: internal oscillator
 * @hse_hz: external oscillator
 * @rated_hz: default
 * @boost_hz: most
 * @reserved: must be 0 (in)
 *
 * -EDOM: no dividers give exactly that frequency; -ERANGE: outside the board's;
 * -EPERM: above rated without SLUICE_CLOCK_BOOST; -EIO: the PLL did not lock or
 * the readback is wrong, and the board runs from its internal oscillator now;
 * -ETIMEDOUT: queues did not drain; -EOPNOTSUPP: no clock block.
 */
struct sluice_clock {
	__u32 size;
	__u32 flags;
	__u32 system_hz;
	__u32 source;
	__u32 m;
	__u32 n;
	__u32 p;
	__u32 q;
	__u32 wait_states;
	__u32 pll48_hz;
	__u32 bus_hz[2];
	__u32 timer_hz[4];
	__u32 hsi_hz;
	__u32 hse_hz;
	__u32 rated_hz;
	__u32 boost_hz;
	__u64 reserved[2];
};

/**
 * struct sluice_timer - SLUICE_IOC_TIMER: set what a timer counts with
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @timer: 0 .. SLUICE_SDI_N_TIMERS - 1 (in)
 * @hz: wanted (in), what came of the 16-bit prescaler (out)
 * @reserved: must be 0 (in)
 *
 * Kept through clock changes. -EINVAL: @hz is 0; -ERANGE: above the timer's
 * clock, or so far below that no prescaler divides by enough. Needs CAP_SYS_RAWIO.
 */
struct sluice_timer {
	__u32 size;
	__u32 flags;
	__u32 timer;
	__u32 hz;
	__u64 reserved[2];
};

/**
 * struct sluice_export - SLUICE_IOC_EXPORT: an object as a dma-buf
 * @size: size of this struct (in)
 * @flags: O_CLOEXEC and O_RDWR or O_RDONLY (in)
 * @handle: of memory or a buffer (in)
 * @fd: of the dma-buf (out)
 * @reserved: must be 0 (in)
 *
 * Needs the file open for writing. -ENOENT: no such object; -EOPNOTSUPP: one that
 * cannot be exported: host memory that is uncached or write-combined, and what was
 * imported. Host memory goes to any importer and can be mapped by the dma-buf's
 * file. Device memory can be attached by importers that do peer-to-peer alone, and is
 * mapped by its object. Either lives until the dma-buf does not; when the board
 * is unbound, host memory stays and device memory is gone.
 */
struct sluice_export {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__s32 fd;
	__u64 reserved[2];
};

/**
 * struct sluice_import - SLUICE_IOC_IMPORT: a dma-buf as an object
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @fd: of the dma-buf (in)
 * @handle: of the object (out)
 * @length: bytes (out)
 * @reserved: must be 0 (in)
 *
 * Needs the file open for writing. For SLUICE_IOC_GRANT; it is mapped by its own
 * file (-EOPNOTSUPP for SLUICE_IOC_MAP). -EBADF: no such file; -EINVAL: it is no
 * dma-buf; -EOPNOTSUPP: the board does not reach host memory, or not this; -EBUSY:
 * device memory of a board that is being reset.
 */
struct sluice_import {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 handle;
	__u64 length;
	__u64 reserved[2];
};

/**
 * struct sluice_fence - SLUICE_IOC_FENCE: a sync_file for what was submitted so far
 * @size: size of this struct (in)
 * @flags: must be 0 (in)
 * @queue: handle of the queue (in)
 * @fd: of the sync_file, close-on-exec (out)
 * @reserved: must be 0 (in)
 *
 * It is signalled when every entry submitted so far is completed, well or not, taken or not. So far
 * means: with rings kept by the driver, what SLUICE_IOC_SUBMIT and io_uring commands
 * gave to the queue before, those that wait for room among them; with the caller's
 * rings, what was before @sq_tail of the doorbell page when the call looked there. On the caller's
 * rings @cq_head is believed: what is behind it counts as completed.
 *
 * If the queue dies before, it is signalled with an error: -ECONNRESET: a reset; -ENODEV: the
 * board is gone; -ECANCELED: the queue was freed, or its file closed; -ETIMEDOUT: the
 * watchdog stopped the queue, or nothing was completed for twice its limit (timeout_ms;
 * 30 s if that is 0), or, with the caller's rings, it took 16 times the limit.
 *
 * Needs the file open for writing. -ENOENT; -ECONNRESET: a dead queue; -ENOSPC: 1024
 * fences of the queue are not signalled; -ERANGE: @sq_tail is further ahead of @cq_head than
 * the ring has entries. The module stays loaded while there is a fence.
 */
struct sluice_fence {
	__u32 size;
	__u32 flags;
	__u32 queue;
	__s32 fd;
	__u64 reserved[2];
};

/* @flags bits of struct sluice_phys. */
#define SLUICE_PHYS_WRITE (1u << 0)

/**
 * struct sluice_phys - SLUICE_IOC_PHYS: any device register of the machine
 * @size: size of this struct (in)
 * @flags: SLUICE_PHYS_* (in)
 * @width: bits: 8, 16, 32 or 64 (in)
 * @reserved0: must be 0 (in)
 * @address: physical (in); a multiple of the width; -EINVAL outside what the CPU has
 * @value: read (out) or to be written (in)
 * @reserved: must be 0 (in)
 *
 * Only with the module parameter raw_phys (-EOPNOTSUPP), CAP_SYS_RAWIO and no
 * lockdown (-EPERM). RAM is refused (-EACCES).
 */
struct sluice_phys {
	__u32 size;
	__u32 flags;
	__u32 width;
	__u32 reserved0;
	__u64 address;
	__u64 value;
	__u64 reserved[2];
};

/*
 * io_uring: IORING_OP_URING_CMD on the device file with 128-byte entries.
 * @cmd_op is SLUICE_URING_SUBMIT (-ENOTTY otherwise; -EINVAL: 64-byte entries), the 80
 * bytes of @cmd are a struct sluice_uring_cmd. The request completes with the entry: res is 0 or
 * a negative errno (-EIO: a status that res2 has in its upper half), with
 * 32-byte completions res2 is status << 32 | result. Or it ends before: -ECONNRESET:
 * a reset; -ENODEV: the board is gone; -ETIMEDOUT: the watchdog stopped the
 * queue; -ECANCELED: the queue was freed, or a program closed a descriptor of the
 * file, with which those end that it gave itself; the board may carry out the entry all the same.
 *
 * While there is no room in the ring, as many commands wait as it has entries,
 * in their order, and SLUICE_IOC_SUBMIT answers -EAGAIN; one more is -ENOBUFS. Completions that
 * SLUICE_IOC_WAIT has not taken keep their room. Neither gets the other's completions.
 * A bad command is -EINVAL, -ENOENT: no such queue, -EBADF: a file that is not open for
 * writing, -ECONNRESET: a dead queue.
 */
#define SLUICE_URING_SUBMIT 1

/**
 * struct sluice_uring_cmd - one entry for a queue that the driver keeps
 * @queue: handle of the queue
 * @flags: must be 0
 * @reserved: must be 0
 * @entry: struct sluice_sdi_entry; its id is the driver's own, and for tracepoints alone
 */
struct sluice_uring_cmd {
	__u32 queue;
	__u32 flags;
	__u64 reserved;
	__u64 entry[8];
};

#define SLUICE_IOC_MAGIC 0xB7
#define SLUICE_IOC_INFO _IOWR(SLUICE_IOC_MAGIC, 0x00, struct sluice_info)
#define SLUICE_IOC_WINDOW _IOWR(SLUICE_IOC_MAGIC, 0x01, struct sluice_window)
#define SLUICE_IOC_REG_READ _IOWR(SLUICE_IOC_MAGIC, 0x02, struct sluice_reg)
#define SLUICE_IOC_REG_WRITE _IOWR(SLUICE_IOC_MAGIC, 0x03, struct sluice_reg)
#define SLUICE_IOC_MAP _IOWR(SLUICE_IOC_MAGIC, 0x04, struct sluice_map)
#define SLUICE_IOC_IRQ _IOWR(SLUICE_IOC_MAGIC, 0x05, struct sluice_irq)
#define SLUICE_IOC_REG_UPDATE _IOWR(SLUICE_IOC_MAGIC, 0x06, struct sluice_reg_update)
#define SLUICE_IOC_REG_POLL _IOWR(SLUICE_IOC_MAGIC, 0x07, struct sluice_reg_poll)
#define SLUICE_IOC_REG_BATCH _IOWR(SLUICE_IOC_MAGIC, 0x08, struct sluice_reg_batch)
#define SLUICE_IOC_MAPPINGS _IOWR(SLUICE_IOC_MAGIC, 0x09, struct sluice_mappings)
#define SLUICE_IOC_ALLOC _IOWR(SLUICE_IOC_MAGIC, 0x0a, struct sluice_alloc)
#define SLUICE_IOC_FREE _IOWR(SLUICE_IOC_MAGIC, 0x0b, struct sluice_free)
#define SLUICE_IOC_QUEUE _IOWR(SLUICE_IOC_MAGIC, 0x0c, struct sluice_queue)
#define SLUICE_IOC_GRANT _IOWR(SLUICE_IOC_MAGIC, 0x0d, struct sluice_grant)
#define SLUICE_IOC_NOTIFY _IOWR(SLUICE_IOC_MAGIC, 0x0e, struct sluice_notify)
#define SLUICE_IOC_SUBMIT _IOWR(SLUICE_IOC_MAGIC, 0x0f, struct sluice_submit)
#define SLUICE_IOC_WAIT _IOWR(SLUICE_IOC_MAGIC, 0x10, struct sluice_wait)
#define SLUICE_IOC_RESET _IOWR(SLUICE_IOC_MAGIC, 0x11, struct sluice_reset)
#define SLUICE_IOC_CLOCK _IOWR(SLUICE_IOC_MAGIC, 0x12, struct sluice_clock)
#define SLUICE_IOC_TIMER _IOWR(SLUICE_IOC_MAGIC, 0x13, struct sluice_timer)
#define SLUICE_IOC_EXPORT _IOWR(SLUICE_IOC_MAGIC, 0x14, struct sluice_export)
#define SLUICE_IOC_IMPORT _IOWR(SLUICE_IOC_MAGIC, 0x15, struct sluice_import)
#define SLUICE_IOC_FENCE _IOWR(SLUICE_IOC_MAGIC, 0x16, struct sluice_fence)
#define SLUICE_IOC_PHYS _IOWR(SLUICE_IOC_MAGIC, 0x17, struct sluice_phys)

#endif /* _UAPI_SLUICE_H */
