/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fence.h - queues as timelines of dma_fences.
 */
#ifndef SLUICE_FENCE_H
#define SLUICE_FENCE_H

struct sluice_fence;
struct sluice_file;
struct sluice_hwq;

int sluice_fence_call(struct sluice_file *sf, struct sluice_fence *arg);
void sluice_fences_reach(struct sluice_hwq *q);
void sluice_fences_expire(struct sluice_hwq *q);
void sluice_fences_end(struct sluice_hwq *q, int why);

#endif /* SLUICE_FENCE_H */
