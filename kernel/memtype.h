/* SPDX-License-Identifier: GPL-2.0 */
/*
 * memtype.h - memory types: of page tables, of pages of RAM, and what came of them.
 */
#ifndef SLUICE_MEMTYPE_H
#define SLUICE_MEMTYPE_H

#include <linux/mm_types.h>
#include <linux/types.h>

pgprot_t sluice_prot_of_type(pgprot_t prot, u32 type);
u32 sluice_vma_type(struct vm_area_struct *vma, u32 requested);
int sluice_pages_type(struct page **pages, u64 n, u32 type);
void sluice_pages_cached(struct page **pages, u64 n);

#endif /* SLUICE_MEMTYPE_H */
