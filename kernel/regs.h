/* SPDX-License-Identifier: GPL-2.0 */
/*
 * regs.h - single register accesses.
 */
#ifndef SLUICE_REGS_H
#define SLUICE_REGS_H

struct sluice_file;
struct sluice_reg;

int sluice_reg_read(struct sluice_file *sf, struct sluice_reg *reg);
int sluice_reg_write(struct sluice_file *sf, struct sluice_reg *reg);

#endif /* SLUICE_REGS_H */
