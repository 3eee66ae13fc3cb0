/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * sluice_sdi.h - the Device Interface: registers, queues, tensor descriptors,
 * commands and step buffers, as the CPU backend, the emulated board and silicon
 * read them. docs/device-interface.md is the text that goes with it.
 *
 * Little-endian, naturally aligned, no padding. A command list is an array of
 * struct sluice_sdi_command that names tensors by index into an array of
 * struct sluice_sdi_tensor. What differs from step to step (tokens, positions,
 * slots, block tables) is in the step buffer alone.
 */
#ifndef _UAPI_SLUICE_SDI_H
#define _UAPI_SLUICE_SDI_H

#include <linux/types.h>

#define SLUICE_SDI_VERSION 0x10003u /* 1.3 */

/* --- Register window ------------------------------------------------------ */

/*
 * Pages of 4 KiB, so that each can be granted on its own. Every word has one
 * writer, the board or the driver (of a doorbell page: the queue's owner);
 * reading has no side effect, and nothing is acknowledged by writing ones. So
 * the window may as well be passive memory that both sides look at.
 */
#define SLUICE_SDI_PAGE_SIZE 4096
#define SLUICE_SDI_PAGE_CONTROL 0
#define SLUICE_SDI_PAGE_CLOCK 1
#define SLUICE_SDI_PAGE_QUEUES 2
#define SLUICE_SDI_PAGE_COUNTERS 3
#define SLUICE_SDI_PAGE_NOTIFY 15
#define SLUICE_SDI_PAGE_DOORBELL 16 /* + queue number */

#define SLUICE_SDI_MAX_QUEUES 64 /* the setup of all of them fills page 2 */
#define SLUICE_SDI_MAX_SEGMENTS 65536

#define SLUICE_SDI_MAGIC 0x45434c53u /* "SLCE" */
#define SLUICE_SDI_VERSION_MAJOR(version) ((version) >> 16)

/* @capabilities of the control page. */
#define SLUICE_SDI_CAP_EXACT (1ull << 0)    /* exact arithmetic; always set */
#define SLUICE_SDI_CAP_CLOCK (1ull << 1)    /* page 1 is there */
#define SLUICE_SDI_CAP_COUNTERS (1ull << 2) /* page 3 is there */
#define SLUICE_SDI_CAP_HOST (1ull << 3)     /* segments may lie in host memory */
#define SLUICE_SDI_CAP_PAGED (1ull << 4)    /* and may be lists of pages */
#define SLUICE_SDI_CAP_NOTIFY (1ull << 5)   /* doorbells need the notify register */
#define SLUICE_SDI_CAP_FAST (1ull << 6)     /* MATMUL may be FAST: weights with blocks */
#define SLUICE_SDI_CAP_FAST_FLOATS (1ull << 7) /* and with weights of F32, F16 and BF16 */

/* @status of the control page. */
#define SLUICE_SDI_STATUS_READY (1u << 0) /* out of reset, takes requests */
#define SLUICE_SDI_STATUS_FATAL (1u << 1) /* only RESET is taken */

/* Actions: the low byte of @request; the upper 24 bits are a generation number. */
#define SLUICE_SDI_ACTION_RESET 1         /* as after power-on */
#define SLUICE_SDI_ACTION_QUEUE_ENABLE 2  /* argument[0]: queue; its setup is read now */
#define SLUICE_SDI_ACTION_QUEUE_DISABLE 3 /* argument[0]: queue; no ring is touched after */
#define SLUICE_SDI_ACTION_SEGMENTS 4      /* argument[0]: queue; its segment table is read now */
#define SLUICE_SDI_ACTION_CLEAR_FAULTS 5
#define SLUICE_SDI_ACTION_PAUSE 6         /* no entry begins any more, none is under way */
#define SLUICE_SDI_ACTION_RESUME 7        /* entries begin again */
#define SLUICE_SDI_REQUEST(generation, action) (((generation) << 8) | (action))

/* @result of a request, and of a clock request. */
#define SLUICE_SDI_RESULT_OK 0
#define SLUICE_SDI_RESULT_UNKNOWN 1 /* no such action */
#define SLUICE_SDI_RESULT_INVALID 2 /* an argument or a setup word is out of range */
#define SLUICE_SDI_RESULT_STATE 3   /* not in this state: queue enabled twice, ... */
#define SLUICE_SDI_RESULT_DMA 4     /* an address that the board cannot reach */

/**
 * struct sluice_sdi_fault - what a refused access or entry was
 * @status: SLUICE_SDI_E_*; 0: no fault yet
 * @queue: number of the queue
 * @id: of the submission entry
 * @index: command of the list, or 0
 * @address: segment address of the first byte that was asked for
 * @length: bytes
 */
struct sluice_sdi_fault {
	__u32 status;
	__u32 queue;
	__u32 id;
	__u32 index;
	__u64 address;
	__u64 length;
};

/**
 * struct sluice_sdi_control - page 0
 * @magic: SLUICE_SDI_MAGIC
 * @version: SLUICE_SDI_VERSION: major << 16 | minor
 * @capabilities: SLUICE_SDI_CAP_*
 * @memory_size: bytes of device memory, a multiple of the page size
 * @memory_offset: bytes from the start of the window that holds it
 * @n_queues: 1 .. SLUICE_SDI_MAX_QUEUES
 * @n_segments: most entries of a segment table, 1 .. SLUICE_SDI_MAX_SEGMENTS
 * @max_entries: most entries of a ring, a power of two
 * @n_vectors: interrupt vectors, 1 .. 1 + n_queues
 * @max_commands: most commands of a list
 * @max_tensors: most tensor descriptors of a list
 * @max_step_bytes: most bytes of a step buffer
 * @max_lists: most lists that a queue can hold at a time
 * @notify: what to write to the notify register
 * @name: of the board, zero-terminated
 * @request: generation and action (driver); taken when it differs from @acknowledge
 * @argument: of the action (driver), stored before @request
 * @acknowledge: the request that was last carried out
 * @result: SLUICE_SDI_RESULT_* of it, stored before @acknowledge
 * @status: SLUICE_SDI_STATUS_*
 * @n_resets: since power-on
 * @irq_mask: bit v holds vector v back (driver); all ones after reset. What would
 *	have been raised meanwhile is not raised later: look after unmasking
 * @irq_events: interrupts raised since reset, all vectors
 * @irq_seen: what the driver last read there (driver); a board with a line and
 *	no vectors holds it while the two differ
 * @n_faults: faults since reset or CLEAR_FAULTS
 * @first_fault: the first of them
 *
 * Words are the board's unless marked (driver). Reset values are 0 unless said.
 */
struct sluice_sdi_control {
	__u32 magic;              /* 0x000 */
	__u32 version;            /* 0x004 */
	__u64 capabilities;       /* 0x008 */
	__u64 memory_size;        /* 0x010 */
	__u64 memory_offset;      /* 0x018 */
	__u32 n_queues;           /* 0x020 */
	__u32 n_segments;         /* 0x024 */
	__u32 max_entries;        /* 0x028 */
	__u32 n_vectors;          /* 0x02c */
	__u32 max_commands;       /* 0x030 */
	__u32 max_tensors;        /* 0x034 */
	__u32 max_step_bytes;     /* 0x038 */
	__u32 max_lists;          /* 0x03c */
	__u32 notify;             /* 0x040 */
	__u32 reserved0[7];
	char name[32];            /* 0x060 */
	__u64 reserved1[16];
	__u32 request;            /* 0x100 */
	__u32 reserved2;
	__u64 argument[2];        /* 0x108 */
	__u64 reserved3[5];
	__u32 acknowledge;        /* 0x140 */
	__u32 result;             /* 0x144 */
	__u64 reserved4[7];
	__u32 status;             /* 0x180 */
	__u32 n_resets;           /* 0x184 */
	__u64 reserved5[7];
	__u64 irq_mask;           /* 0x1c0 */
	__u64 irq_seen;           /* 0x1c8 */
	__u64 reserved6[6];
	__u64 irq_events;         /* 0x200 */
	__u64 reserved7[7];
	__u64 n_faults;           /* 0x240 */
	struct sluice_sdi_fault first_fault; /* 0x248 */
};

/* --- Clocks --------------------------------------------------------------- */

/* @control of the clock page. */
#define SLUICE_SDI_CLOCK_HSI_ON (1u << 0)
#define SLUICE_SDI_CLOCK_HSE_ON (1u << 1)
#define SLUICE_SDI_CLOCK_PLL_ON (1u << 2)
#define SLUICE_SDI_CLOCK_SOURCE_SHIFT 4 /* system clock: 2 bits */
#define SLUICE_SDI_CLOCK_SOURCE_HSI 0u
#define SLUICE_SDI_CLOCK_SOURCE_HSE 1u
#define SLUICE_SDI_CLOCK_SOURCE_PLL 2u

/* @status of the clock page; the source in use stands where @control has its own. */
#define SLUICE_SDI_CLOCK_HSI_READY (1u << 0)
#define SLUICE_SDI_CLOCK_HSE_READY (1u << 1)
#define SLUICE_SDI_CLOCK_PLL_LOCKED (1u << 2)

/* @pll of the clock page: f = HSE / M * N / P; P is 2 << code. */
#define SLUICE_SDI_PLL_M_SHIFT 0  /* 6 bits */
#define SLUICE_SDI_PLL_N_SHIFT 6  /* 9 bits */
#define SLUICE_SDI_PLL_P_SHIFT 16 /* 2 bits: 0, 1, 2, 3 for 2, 4, 6, 8 */
#define SLUICE_SDI_PLL_Q_SHIFT 24 /* 4 bits */

/* @prescalers: bus b has its exponent, 0 .. 4, in bits 4b+3 .. 4b. */
#define SLUICE_SDI_N_BUSES 2
#define SLUICE_SDI_N_TIMERS 4 /* timers 0 and 1 on bus 0, timers 2 and 3 on bus 1 */
#define SLUICE_SDI_TIMER_ON (1u << 31)

/**
 * struct sluice_sdi_clock - page 1
 * @request: a number (driver); when it differs from @acknowledge the board takes
 *	over the words from @control to @timer, all at once
 * @control: SLUICE_SDI_CLOCK_*; reset: HSI on and in use
 * @pll: M, N, P, Q
 * @prescalers: exponents of the bus prescalers
 * @wait_states: of device memory, 0 .. 7
 * @timer: SLUICE_SDI_TIMER_ON and the prescaler less one, 16 bits
 * @acknowledge: the request that was last carried out (board, as all that follow)
 * @result: SLUICE_SDI_RESULT_* of it
 * @status: oscillators, lock, source in use; changes by itself after a request
 * @hsi_hz: internal oscillator
 * @hse_hz: external oscillator
 * @rated_hz: the default system clock
 * @boost_hz: the fastest
 * @lock_ns: the PLL locks within this time
 * @system_hz: measured now, as the rest
 * @pll48_hz: of the 48 MHz domain
 * @bus_hz: of the buses
 * @timer_hz: what each timer counts with, 0 if it is off
 */
struct sluice_sdi_clock {
	__u32 request;                       /* 0x000 */
	__u32 control;                       /* 0x004 */
	__u32 pll;                           /* 0x008 */
	__u32 prescalers;                    /* 0x00c */
	__u32 wait_states;                   /* 0x010 */
	__u32 reserved0[3];
	__u32 timer[SLUICE_SDI_N_TIMERS];    /* 0x020 */
	__u32 reserved1[20];
	__u32 acknowledge;                   /* 0x080 */
	__u32 result;                        /* 0x084 */
	__u32 status;                        /* 0x088 */
	__u32 reserved2;
	__u32 hsi_hz;                        /* 0x090 */
	__u32 hse_hz;                        /* 0x094 */
	__u32 rated_hz;                      /* 0x098 */
	__u32 boost_hz;                      /* 0x09c */
	__u32 lock_ns;                       /* 0x0a0 */
	__u32 reserved3[3];
	__u32 system_hz;                     /* 0x0b0 */
	__u32 pll48_hz;                      /* 0x0b4 */
	__u32 bus_hz[SLUICE_SDI_N_BUSES];    /* 0x0b8 */
	__u32 timer_hz[SLUICE_SDI_N_TIMERS]; /* 0x0c0 */
};

/* --- Queues --------------------------------------------------------------- */

/**
 * struct sluice_sdi_queue - setup of one queue; page 2 is an array of them (64 bytes)
 * @sq_base: bus address of the submission ring, a multiple of 64 (driver, as the rest)
 * @cq_base: bus address of the completion ring, a multiple of 64
 * @segments: bus address of the segment table, a multiple of 64
 * @n_segments: its entries
 * @n_entries: of each ring, a power of two, 2 .. max_entries
 * @vector: interrupt vector for completions
 * @coalesce_count: completions that wait for one interrupt; 0 and 1: none
 * @coalesce_us: longest that a completion waits for its interrupt
 */
struct sluice_sdi_queue {
	__u64 sq_base;
	__u64 cq_base;
	__u64 segments;
	__u32 n_segments;
	__u32 n_entries;
	__u32 vector;
	__u32 coalesce_count;
	__u32 coalesce_us;
	__u32 reserved[5];
};

/**
 * struct sluice_sdi_doorbell - page 16 + q, the queue's owner's
 * @sq_tail: entries submitted since the queue was enabled, modulo 2^32 (owner)
 * @cq_head: completions consumed since then, modulo 2^32 (owner)
 * @idle: not 0: the board sleeps, store the tail, then notify (board)
 *
 * Free-running counters: entry n is at index n modulo the ring's size.
 */
struct sluice_sdi_doorbell {
	__u32 sq_tail; /* 0x00 */
	__u32 reserved0[15];
	__u32 cq_head; /* 0x40 */
	__u32 reserved1[15];
	__u32 idle;    /* 0x80 */
	__u32 reserved2[15];
};

/* @flags of a segment. */
#define SLUICE_SDI_SEGMENT_READ (1u << 0)
#define SLUICE_SDI_SEGMENT_WRITE (1u << 1)
#define SLUICE_SDI_SEGMENT_HOST (1u << 2)  /* @base is a bus address, not device memory */
#define SLUICE_SDI_SEGMENT_PAGED (1u << 3) /* @base holds bus addresses of pages */

/**
 * struct sluice_sdi_segment - an entry of a segment table (32 bytes)
 * @base: offset in device memory, bus address, or bus address of an array of
 *	__u64 bus addresses of pages
 * @length: bytes; 0: empty
 * @flags: SLUICE_SDI_SEGMENT_*
 * @page_shift: of the pages of a PAGED segment, 12 .. 30; else 0
 * @reserved: 0
 */
struct sluice_sdi_segment {
	__u64 base;
	__u64 length;
	__u32 flags;
	__u32 page_shift;
	__u64 reserved;
};

/* Submission entries: @opcode. */
#define SLUICE_SDI_ENTRY_NOP 0
#define SLUICE_SDI_ENTRY_COPY 1   /* length bytes from src to dst, which must not overlap */
#define SLUICE_SDI_ENTRY_LOAD 2   /* a command list; result: its handle */
#define SLUICE_SDI_ENTRY_RUN 3    /* a list with a step buffer */
#define SLUICE_SDI_ENTRY_UNLOAD 4 /* a list */
#define SLUICE_SDI_ENTRY_FENCE 5  /* what follows begins after what came before has ended */

/**
 * struct sluice_sdi_entry - a submission (64 bytes)
 * @opcode: SLUICE_SDI_ENTRY_*
 * @flags: 0
 * @id: comes back in the completion
 * @copy: COPY
 * @load: LOAD: @address of n_tensors descriptors, n_commands commands behind them
 * @run: RUN, and UNLOAD, which uses the handle alone
 *
 * Words that an entry does not use are 0. Addresses are segment addresses.
 */
struct sluice_sdi_entry {
	__u16 opcode;
	__u16 flags;
	__u32 id;
	union {
		struct {
			__u64 src;
			__u64 dst;
			__u64 length;
		} copy;
		struct {
			__u64 address;
			__u32 n_tensors;
			__u32 n_commands;
		} load;
		struct {
			__u32 handle;
			__u32 step_bytes;
			__u64 step;
		} run;
		__u64 words[7];
	};
};

/* @status of a completion, and of the fault record. */
#define SLUICE_SDI_OK 0
#define SLUICE_SDI_E_OPCODE 1  /* no such opcode */
#define SLUICE_SDI_E_FIELD 2   /* a field out of range, or an unused word not 0 */
#define SLUICE_SDI_E_SEGMENT 3 /* an address that is not granted, or not for this */
#define SLUICE_SDI_E_LIST 4    /* LOAD: @result is the command or tensor refused */
#define SLUICE_SDI_E_STEP 5    /* RUN: the step buffer does not fit the list */
#define SLUICE_SDI_E_HANDLE 6  /* no such list, or its segments have changed */
#define SLUICE_SDI_E_LIMIT 7   /* more lists, commands or bytes than the board takes */
#define SLUICE_SDI_E_DATA 8    /* device memory gave wrong bits; contents are lost */
#define SLUICE_SDI_E_RING 9    /* the tail is further ahead than the ring is long */
#define SLUICE_SDI_E_ABORTED 10 /* not carried out: queue or board was stopped (driver) */
#define SLUICE_SDI_N_STATUS 11

/**
 * struct sluice_sdi_completion - 16 bytes
 * @id: of the entry
 * @result: LOAD: the handle; a failed LOAD: index of what was refused, tensors
 *	first, then commands; else 0
 * @sq_head: entries consumed so far, modulo 2^32
 * @status: SLUICE_SDI_OK or SLUICE_SDI_E_*
 * @phase: 1 on the first pass through the ring, 0 on the second, and so on;
 *	stored last
 */
struct sluice_sdi_completion {
	__u32 id;
	__u32 result;
	__u32 sq_head;
	__u16 status;
	__u16 phase;
};

/* --- Counters ------------------------------------------------------------- */

#define SLUICE_SDI_COUNTER_OPS 64

/**
 * struct sluice_sdi_counters - page 3; all since reset
 * @cycles: of the system clock in which the board was at work
 * @stall_cycles: those in which it waited for memory
 * @entries: completed
 * @runs: completed RUN entries
 * @commands: of lists, carried out
 * @macs: multiply-accumulates
 * @bytes_read: from device memory
 * @bytes_written: to device memory
 * @host_bytes_read: from host memory
 * @host_bytes_written: to host memory
 * @interrupts: raised
 * @nanoseconds: the time that @cycles took at the clocks of their time
 * @op: commands and cycles by operation
 */
struct sluice_sdi_counters {
	__u64 cycles;
	__u64 stall_cycles;
	__u64 entries;
	__u64 runs;
	__u64 commands;
	__u64 macs;
	__u64 bytes_read;
	__u64 bytes_written;
	__u64 host_bytes_read;
	__u64 host_bytes_written;
	__u64 interrupts;
	__u64 nanoseconds;
	__u64 reserved[20];
	struct {
		__u64 count;
		__u64 cycles;
	} op[SLUICE_SDI_COUNTER_OPS]; /* 0x100 */
};

/* --- Command lists -------------------------------------------------------- */

/* Tokens in a KV block: slot = block * SLUICE_SDI_BLOCK_TOKENS + offset. */
#define SLUICE_SDI_BLOCK_TOKENS 16
/* Slot of a padding token: nothing is written for it. */
#define SLUICE_SDI_NO_SLOT (-1)
/* "no tensor" in a command */
#define SLUICE_SDI_NONE 0xffffffffu

/* Segment address: 16-bit segment index above a 48-bit byte offset. */
#define SLUICE_SDI_OFFSET_BITS 48
#define SLUICE_SDI_ADDR(segment, offset) \
	(((__u64)(segment) << SLUICE_SDI_OFFSET_BITS) | (__u64)(offset))

/*
 * Element types. Those below 0x1000 are weights and tables, numbered as GGUF
 * numbers them; the activation types are the interface's own.
 */
#define SLUICE_SDI_TYPE_F32 0
#define SLUICE_SDI_TYPE_F16 1
#define SLUICE_SDI_TYPE_Q4_0 2
#define SLUICE_SDI_TYPE_Q4_1 3
#define SLUICE_SDI_TYPE_Q5_0 6
#define SLUICE_SDI_TYPE_Q5_1 7
#define SLUICE_SDI_TYPE_Q8_0 8
#define SLUICE_SDI_TYPE_Q2_K 10
#define SLUICE_SDI_TYPE_Q3_K 11
#define SLUICE_SDI_TYPE_Q4_K 12
#define SLUICE_SDI_TYPE_Q5_K 13
#define SLUICE_SDI_TYPE_Q6_K 14
#define SLUICE_SDI_TYPE_I64 27
#define SLUICE_SDI_TYPE_BF16 30
/*
 * 8-bit activations: 36-byte blocks of 32 values, f32 scale then i8[32]; for
 * weights whose blocks have 32 values.
 */
#define SLUICE_SDI_TYPE_A8 0x1000
/* The same in 260-byte blocks of 256 values, for weights whose blocks have 256. */
#define SLUICE_SDI_TYPE_A8K 0x1001

/* What the last dimension of a tensor counts: @rows of a descriptor. */
#define SLUICE_SDI_ROWS_FIXED 0   /* the shape as it stands */
#define SLUICE_SDI_ROWS_TOKENS 1  /* the step's tokens; the shape is the most */
#define SLUICE_SDI_ROWS_OUTPUTS 2 /* the step's outputs; the shape is the most */

/**
 * struct sluice_sdi_tensor - a tensor descriptor (64 bytes)
 * @type: SLUICE_SDI_TYPE_*
 * @rows: SLUICE_SDI_ROWS_*
 * @rank: dimensions in use, 1 .. 4; the rest of @shape is 1
 * @reserved0: must be 0
 * @shape: elements, fastest dimension first
 * @stride: bytes from one index to the next in dimensions 1, 2 and 3;
 *	dimension 0 is always contiguous
 * @address: segment address of element 0
 * @reserved: must be 0
 */
struct sluice_sdi_tensor {
	__u16 type;
	__u16 rows;
	__u16 rank;
	__u16 reserved0;
	__u32 shape[4];
	__u64 stride[3];
	__u64 address;
	__u64 reserved;
};

/*
 * Operations. N is the number of rows (tokens or outputs) of the destination.
 * dst and src are tensors; a shape is written fastest dimension first.
 */
#define SLUICE_SDI_OP_EMBED 1      /* dst f32[D,N] = rows of src0[D,V] at the step's tokens */
#define SLUICE_SDI_OP_RMS_NORM 2   /* dst f32[D,N] or [D,H,N] = src0 / rms(src0) * src1 f32[D] */
#define SLUICE_SDI_OP_QUANTIZE 3   /* dst a8 or a8k[D,N] = src0 f32[D,N] */
#define SLUICE_SDI_OP_MATMUL 4     /* dst f32[M,N] = src0[K,M] x src1[K,N] */
#define SLUICE_SDI_OP_ROPE_TABLE 5 /* dst f32[R,N] = (cos, sin) pairs of src0 i64[R/2] x position */
#define SLUICE_SDI_OP_ROPE 6       /* dst f32[D,H,N] = src0 rotated by src1 f32[R,N] */
#define SLUICE_SDI_OP_KV_WRITE 7   /* dst cache[D,S] at the step's slots = src0 f32[D,N] */
#define SLUICE_SDI_OP_ATTENTION 8  /* dst f32[D,H,N] = softmax(src0 or src1 . src2) src3 */
#define SLUICE_SDI_OP_GLU 9        /* dst f32[D,N] = f(src0) * src1 */
#define SLUICE_SDI_OP_SELECT 10    /* dst f32[D,outputs] = rows of src0 f32[D,N] at outputs */
#define SLUICE_SDI_OP_ADD 11       /* dst f32[D,N] = src0 + src1 f32[D,N] or [D] */
#define SLUICE_SDI_OP_SOFTCAP 12   /* dst f32[D,N] = c tanh(src0 / c) */
#define SLUICE_SDI_N_OPS 13

/*
 * Immediates, by operation; an f32 is its bits, and where it says "or 0" all bits
 * 0 mean that there is none.
 *   EMBED       0: f32 scale or 0
 *   RMS_NORM    0: f32 epsilon
 *   ROPE_TABLE  0: which positions, 1: f32 magnitude or 0
 *   ROPE        0: pairing
 *   ATTENTION   0: f32 scale, 1: f32 soft cap or 0, 2: window in tokens or 0
 *   GLU         0: what the gate goes through
 *   SOFTCAP     0: f32 c
 */

/* Flags of a command. */
#define SLUICE_SDI_FLAG_ADD 1  /* MATMUL: dst = dst + product */
#define SLUICE_SDI_FLAG_FAST 2 /* MATMUL: weights are quantized again, or rounded to bf16 */

/* imm0 of ROPE_TABLE: which of the step's arrays holds the positions. */
#define SLUICE_SDI_POSITION 0 /* position in the text */
#define SLUICE_SDI_CONTEXT 1  /* position in what the cache still holds */

/* imm0 of ROPE: which elements of a head form the pair that is rotated by angle i. */
#define SLUICE_SDI_ROPE_ADJACENT 0 /* 2i and 2i + 1 */
#define SLUICE_SDI_ROPE_HALVES 1   /* i and i + R/2 */

/* imm0 of GLU: what the gate goes through. */
#define SLUICE_SDI_GLU_SILU 0
#define SLUICE_SDI_GLU_GELU 1 /* by its tanh form */

/**
 * struct sluice_sdi_command - one command (64 bytes)
 * @op: SLUICE_SDI_OP_*
 * @flags: SLUICE_SDI_FLAG_*
 * @reserved: must be 0
 * @dst: index of the destination tensor
 * @src: indices of the source tensors, SLUICE_SDI_NONE where there is none
 * @imm: immediates; an f32 is stored as its bits
 */
struct sluice_sdi_command {
	__u16 op;
	__u16 flags;
	__u32 reserved;
	__u32 dst;
	__u32 src[5];
	__u32 imm[8];
};

/**
 * struct sluice_sdi_step - header of a step buffer (32 bytes)
 * @n_tokens: tokens in this step
 * @n_outputs: tokens whose logits are wanted
 * @n_sequences: rows of the block table
 * @n_blocks: entries in each row of the block table
 * @reserved: must be 0
 *
 * Behind it, without gaps:
 *   __u32 token[n_tokens]      vocabulary index
 *   __u32 position[n_tokens]   position in the text: what a key is rotated by
 *   __u32 context[n_tokens]    position in what the cache still holds: the token
 *                              sees entries 0 .. context of it
 *   __u32 skip[n_tokens]       blocks behind the first that this token no longer
 *                              sees: entry e >= 16 is in block_table[e / 16 + skip]
 *   __u32 sequence[n_tokens]   row of the block table
 *   __s32 slot[n_tokens]       where keys and values go, or SLUICE_SDI_NO_SLOT
 *   __u32 output[n_outputs]    index of the token, 0 .. n_tokens - 1
 *   __u32 block_table[n_sequences][n_blocks]
 */
struct sluice_sdi_step {
	__u32 n_tokens;
	__u32 n_outputs;
	__u32 n_sequences;
	__u32 n_blocks;
	__u32 reserved[4];
};

#endif /* _UAPI_SLUICE_SDI_H */
