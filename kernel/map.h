/* SPDX-License-Identifier: GPL-2.0 */
/*
 * map.h - windows in user space: cookies, mappings, and taking them back.
 */
#ifndef SLUICE_MAP_H
#define SLUICE_MAP_H

struct sluice_board;
struct sluice_file;
struct sluice_map;
struct vm_area_struct;

int sluice_map_grant(struct sluice_file *sf, struct sluice_map *arg);
void sluice_map_drop_grants(struct sluice_file *sf);
int sluice_map_vma(struct sluice_file *sf, struct vm_area_struct *vma);
void sluice_map_revoke(struct sluice_board *board);

#endif /* SLUICE_MAP_H */
