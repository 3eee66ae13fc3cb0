/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ring.h - submission and completion: what goes through a queue.
 */
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <linux/types.h>

struct sluice_file;
struct sluice_hwq;
struct sluice_notify;
struct sluice_submit;
struct sluice_wait;

bool sluice_ring_has(const struct sluice_hwq *q, u32 head);
u32 sluice_ring_head(struct sluice_hwq *q);
void sluice_ring_notify(struct sluice_hwq *q);
bool sluice_ring_readable(struct sluice_file *sf);
int sluice_ring_notify_call(struct sluice_file *sf, struct sluice_notify *arg);
int sluice_ring_submit(struct sluice_file *sf, struct sluice_submit *arg);
int sluice_ring_wait(struct sluice_file *sf, struct sluice_wait *arg);

#endif /* SLUICE_RING_H */
