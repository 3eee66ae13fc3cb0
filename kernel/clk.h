/* SPDX-License-Identifier: GPL-2.0 */
/*
 * clk.h - the clocks of a board with the Device Interface.
 */
#ifndef SLUICE_CLK_H
#define SLUICE_CLK_H

struct sluice_clock;
struct sluice_file;
struct sluice_sdi;
struct sluice_timer;

void sluice_clk_start(struct sluice_sdi *sdi);
void sluice_clk_read(struct sluice_sdi *sdi, struct sluice_clock *now);
int sluice_clk_call(struct sluice_file *sf, struct sluice_clock *arg);
int sluice_clk_timer_call(struct sluice_file *sf, struct sluice_timer *arg);

#endif /* SLUICE_CLK_H */
