/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * sluice_sdi.h - the Device Interface: tensor descriptors, commands and step
 * buffers, as the CPU backend, the emulated board and silicon read them.
 *
 * Little-endian, naturally aligned, no padding. A command list is an array of
 * struct sluice_sdi_command that names tensors by index into an array of
 * struct sluice_sdi_tensor. What differs from step to step (tokens, positions,
 * slots, block tables) is in the step buffer alone.
 */
#ifndef _UAPI_SLUICE_SDI_H
#define _UAPI_SLUICE_SDI_H

#include <linux/types.h>

#define SLUICE_SDI_VERSION 1

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
/* 8-bit activations: 36-byte blocks of 32 values, f32 scale then i8[32]; for
 * weights whose blocks have 32 values. */
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
#define SLUICE_SDI_OP_RMS_NORM 2   /* dst f32[D,..] = src0 / rms(src0) * src1 f32[D]; imm0 f32 epsilon */
#define SLUICE_SDI_OP_QUANTIZE 3   /* dst a8 or a8k[D,N] = src0 f32[D,N] */
#define SLUICE_SDI_OP_MATMUL 4     /* dst f32[M,N] = src0[K,M] x src1[K,N] */
#define SLUICE_SDI_OP_ROPE_TABLE 5 /* dst f32[R,N] = (cos, sin) pairs of src0 i64[R/2] x position; imm0 source */
#define SLUICE_SDI_OP_ROPE 6       /* dst f32[D,H,N] = src0 rotated by src1 f32[R,N]; imm0 pairing */
#define SLUICE_SDI_OP_KV_WRITE 7   /* dst f16[D,S] at the step's slots = src0 f32[D,N] */
#define SLUICE_SDI_OP_ATTENTION 8  /* dst f32[D,H,N] = softmax(src0 or src1 . src2) src3; imm0 f32 scale */
#define SLUICE_SDI_OP_SWIGLU 9     /* dst f32[D,N] = silu(src0) * src1 */
#define SLUICE_SDI_OP_SELECT 10    /* dst f32[D,outputs] = rows of src0 f32[D,tokens] at the step's outputs */
#define SLUICE_SDI_N_OPS 11

/* Flags of a command. */
#define SLUICE_SDI_FLAG_ADD 1 /* MATMUL: dst = dst + product */

/* imm0 of ROPE_TABLE: which of the step's arrays holds the positions. */
#define SLUICE_SDI_POSITION 0 /* position in the text */
#define SLUICE_SDI_CONTEXT 1  /* position in what the cache still holds */

/* imm0 of ROPE: which elements of a head form the pair that is rotated by angle i. */
#define SLUICE_SDI_ROPE_ADJACENT 0 /* 2i and 2i + 1 */
#define SLUICE_SDI_ROPE_HALVES 1   /* i and i + R/2 */

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
