/* SPDX-License-Identifier: GPL-2.0 */
/*
 * uring.h - entries as io_uring commands.
 */
#ifndef SLUICE_URING_H
#define SLUICE_URING_H

#include <linux/types.h>

struct io_uring_cmd;
struct sluice_file;
struct sluice_hwq;

int sluice_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);
void sluice_uring_fly(struct sluice_hwq *q, struct io_uring_cmd *cmd, u32 slot);
void sluice_uring_end(struct sluice_hwq *q, struct io_uring_cmd *cmd, int res, u64 res2);
void sluice_uring_finish(struct sluice_hwq *q);
void sluice_uring_flush(struct sluice_file *sf, const void *owner);

#endif /* SLUICE_URING_H */
