/* SPDX-License-Identifier: GPL-2.0 */
/*
 * segment.h - what a queue's entries may reach.
 */
#ifndef SLUICE_SEGMENT_H
#define SLUICE_SEGMENT_H

struct sluice_file;
struct sluice_grant;
struct sluice_hwq;
struct sluice_mem;

int sluice_segment_grant(struct sluice_file *sf, struct sluice_grant *arg);
void sluice_segments_drop(struct sluice_file *sf, struct sluice_mem *mem);
void sluice_segments_free(struct sluice_hwq *q);

#endif /* SLUICE_SEGMENT_H */
