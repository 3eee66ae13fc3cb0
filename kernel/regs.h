/* SPDX-License-Identifier: GPL-2.0 */
/*
 * regs.h - register accesses.
 */
#ifndef SLUICE_REGS_H
#define SLUICE_REGS_H

#include <linux/types.h>

struct sluice_file;
struct sluice_reg;
struct sluice_reg_batch;
struct sluice_reg_poll;
struct sluice_reg_update;

u64 sluice_io_load(const void __iomem *at, u32 width);
void sluice_io_store(void __iomem *at, u32 width, u64 value);

int sluice_reg_read(struct sluice_file *sf, struct sluice_reg *reg);
int sluice_reg_write(struct sluice_file *sf, struct sluice_reg *reg);
int sluice_reg_update(struct sluice_file *sf, struct sluice_reg_update *arg);
int sluice_reg_poll(struct sluice_file *sf, struct sluice_reg_poll *arg);
int sluice_reg_batch(struct sluice_file *sf, struct sluice_reg_batch *arg);

#endif /* SLUICE_REGS_H */
