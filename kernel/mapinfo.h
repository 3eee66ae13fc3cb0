/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mapinfo.h - which mappings there are, and who has them.
 */
#ifndef SLUICE_MAPINFO_H
#define SLUICE_MAPINFO_H

struct sluice_file;
struct sluice_mappings;

int sluice_mapinfo_call(struct sluice_file *sf, struct sluice_mappings *arg);

#endif /* SLUICE_MAPINFO_H */
