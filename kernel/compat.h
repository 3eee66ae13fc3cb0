/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - every difference between kernel versions, and nothing else.
 *
 * The rest of the driver is written for the newest interface; here it is
 * given to older kernels. The oldest supported kernel is 6.1.
 */
#ifndef SLUICE_COMPAT_H
#define SLUICE_COMPAT_H

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/version.h>

/* Commands of io_uring have a header of their own since 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#include <linux/io_uring.h>
#else
#include <linux/io_uring/cmd.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "sluice needs Linux 6.1 or newer"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* The interrupt line lost its old name in 6.12; the new one came with 6.8. */
#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

/* A trace event's string assignment lost its source argument in 6.10. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define sluice_assign_str(dst, src) __assign_str(dst, src)
#else
#define sluice_assign_str(dst, src) __assign_str(dst)
#endif

/* An eventfd's counter goes up by one; the number to add was dropped in 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define sluice_eventfd_signal(ctx) eventfd_signal(ctx, 1)
#else
#define sluice_eventfd_signal(ctx) eventfd_signal(ctx)
#endif

/* A platform driver's remove() returns nothing from 6.11 on. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
#define SLUICE_REMOVE_TYPE int
#define SLUICE_REMOVED 0
#else
#define SLUICE_REMOVE_TYPE void
#define SLUICE_REMOVED
#endif

/*
 * Do a device and the CPU see the same memory through a mapping of whole pages, with nothing
 * to be done in between? Before 6.10 the question for that answered no for all that goes
 * through an IOMMU, which needs no copies of whole pages.
 */
static inline bool sluice_dma_is_shared(struct device *dev, dma_addr_t bus)
{
	if (!dma_need_sync(dev, bus))
		return true;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0) && defined(CONFIG_IOMMU_API)
	if (dev_is_dma_coherent(dev)) {
		struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

		return domain && (domain->type & __IOMMU_DOMAIN_DMA_API);
	}
#endif
	return false;
}

/* The bytes of a command were pointed to before 6.5. */
static inline const void *sluice_uring_data(const struct io_uring_cmd *cmd)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	return cmd->cmd;
#else
	return cmd->sqe->cmd;
#endif
}

/*
 * Completes a command from a thread of our own: the second result has a call of its own since 6.18;
 * the flags came with 6.3, and with 6.1.23.
 */
static inline void sluice_uring_done(struct io_uring_cmd *cmd, s32 res, u64 res2)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	io_uring_cmd_done32(cmd, res, res2, IO_URING_F_UNLOCKED);
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 23)
	io_uring_cmd_done(cmd, res, res2, IO_URING_F_UNLOCKED);
#else
	io_uring_cmd_done(cmd, res, res2);
#endif
}

/* Namespaces of symbols became strings in 6.13. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define SLUICE_IMPORT_NS(ns) MODULE_IMPORT_NS(ns)
#else
#define SLUICE_IMPORT_NS(ns) MODULE_IMPORT_NS(#ns)
#endif

/* What the page table says at the start of a VMA; the way to look has changed twice. */
static inline int sluice_vma_prot(struct vm_area_struct *vma, pgprot_t *ret_prot)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	spinlock_t *lock;
	pte_t *pte;
	int err;

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	err = follow_pte(vma->vm_mm, vma->vm_start, &pte, &lock);
#else
	err = follow_pte(vma, vma->vm_start, &pte, &lock);
#endif
	if (err)
		return err;
	__acquire(lock);	/* follow_pte() took it, and does not tell sparse */
	*ret_prot = pte_pgprot(*pte);
	pte_unmap_unlock(pte, lock);
	return 0;
#else
	struct follow_pfnmap_args args = { .vma = vma, .address = vma->vm_start };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	*ret_prot = args.pgprot;
	follow_pfnmap_end(&args);
	return 0;
#endif
}

#endif /* SLUICE_COMPAT_H */
