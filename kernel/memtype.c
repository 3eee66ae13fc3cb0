// SPDX-License-Identifier: GPL-2.0
/*
 * memtype.c - memory types: of page tables, of pages of RAM, and what came of them.
 *
 * On x86 RAM has one type for all who map it, kept for its page in the direct
 * map; and of a range of I/O memory the first mapping decides the type, so that
 * what was asked for and what came of it can differ. Other architectures do as
 * they are told, but do not let RAM change its type.
 */
#include <linux/io.h>
#include <linux/mm.h>

#include "compat.h"
#include "memtype.h"
#include "uapi/sluice.h"

/* Page protection for a SLUICE_MAP_* type. */
pgprot_t sluice_prot_of_type(pgprot_t prot, u32 type)
{
	/* As ioremap() maps registers: on arm64 device memory whose writes may be posted. */
	if (type == SLUICE_MAP_UNCACHED)
		return pgprot_device(prot);
	if (type == SLUICE_MAP_WRITE_COMBINED)
		return pgprot_writecombine(prot);
	return prot;
}

#ifdef CONFIG_X86

#include <asm/pgtable_types.h>
#include <asm/set_memory.h>

/**
 * sluice_vma_type - the memory type that a VMA's page tables have
 * @vma: just mapped from its start on
 * @requested: what it was mapped as
 *
 * Return: SLUICE_MAP_*.
 */
u32 sluice_vma_type(struct vm_area_struct *vma, u32 requested)
{
	pgprot_t prot;
	u64 bits;

	if (!(vma->vm_flags & VM_PFNMAP) || sluice_vma_prot(vma, &prot))
		return requested;
	bits = pgprot_val(prot) & _PAGE_CACHE_MASK;
	if (bits == cachemode2protval(_PAGE_CACHE_MODE_WB))
		return SLUICE_MAP_CACHED;
	if (bits == cachemode2protval(_PAGE_CACHE_MODE_WC))
		return SLUICE_MAP_WRITE_COMBINED;
	return SLUICE_MAP_UNCACHED;
}

/* Changes the type of pages of our own, which nobody has mapped yet. */
int sluice_pages_type(struct page **pages, u64 n, u32 type)
{
	int err;

	if (type == SLUICE_MAP_CACHED)
		return 0;
	if (n > INT_MAX)
		return -ENOMEM;
	err = type == SLUICE_MAP_UNCACHED ? set_pages_array_uc(pages, n) :
					    set_pages_array_wc(pages, n);
	if (err)
		set_pages_array_wb(pages, n);
	return err;
}

void sluice_pages_cached(struct page **pages, u64 n)
{
	WARN_ON_ONCE(set_pages_array_wb(pages, n));
}

#else

u32 sluice_vma_type(struct vm_area_struct *vma, u32 requested)
{
	return requested;
}

int sluice_pages_type(struct page **pages, u64 n, u32 type)
{
	return type == SLUICE_MAP_CACHED ? 0 : -EOPNOTSUPP;
}

void sluice_pages_cached(struct page **pages, u64 n)
{
}

#endif /* CONFIG_X86 */
