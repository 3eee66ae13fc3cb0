// SPDX-License-Identifier: GPL-2.0
/*
 * memtypes.c - tells programs the memory type that page frames have in the kernel's direct map,
 * which is the type that whoever gets a freed page has to live with. It only looks. x86 alone,
 * where RAM can have types.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include <asm/pgtable.h>

#include "memtypes.h"
#include "partner.h"

/* The way to look into a program's page tables has changed twice. */
static int memtypes_look(struct vm_area_struct *vma, unsigned long address, u64 *ret_frame)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	spinlock_t *lock;
	pte_t *pte;
	int err;

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	err = follow_pte(vma->vm_mm, address, &pte, &lock);
#else
	err = follow_pte(vma, address, &pte, &lock);
#endif
	if (err)
		return err;
	__acquire(lock);	/* follow_pte() took it, and does not tell sparse */
	*ret_frame = pte_pfn(*pte);
	pte_unmap_unlock(pte, lock);
	return 0;
#else
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	int err = follow_pfnmap_start(&args);

	if (err)
		return err;
	*ret_frame = args.pfn;
	follow_pfnmap_end(&args);
	return 0;
#endif
}

static int memtypes_frame(void __user *uarg)
{
	struct mm_struct *mm = current->mm;
	struct memtypes_frame arg;
	struct vm_area_struct *vma;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	mmap_read_lock(mm);
	vma = vma_lookup(mm, arg.address);
	if (!vma)
		err = -EFAULT;
	else if (!(vma->vm_flags & VM_PFNMAP))
		err = -EINVAL;
	else
		err = memtypes_look(vma, arg.address, &arg.frame);
	mmap_read_unlock(mm);
	if (err)
		return err;
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

/* The bits of a type mean something else in entries for more than one small page. */
static int memtypes_entry(pte_t *entry, unsigned int level, pgprot_t *ret_prot, u32 *ret_shift)
{
	switch (level) {
	case PG_LEVEL_4K:
		*ret_prot = pte_pgprot(READ_ONCE(*entry));
		*ret_shift = PAGE_SHIFT;
		return 0;
	case PG_LEVEL_2M:
		*ret_prot = pgprot_large_2_4k(pmd_pgprot(READ_ONCE(*(pmd_t *)entry)));
		*ret_shift = PMD_SHIFT;
		return 0;
	case PG_LEVEL_1G:
		*ret_prot = pgprot_large_2_4k(pud_pgprot(READ_ONCE(*(pud_t *)entry)));
		*ret_shift = PUD_SHIFT;
		return 0;
	default:
		return -ENXIO;
	}
}

static u32 memtypes_of_prot(pgprot_t prot)
{
	static const struct {
		enum page_cache_mode mode;
		u32 type;
	} types[] = {
		{ _PAGE_CACHE_MODE_WB, MEMTYPES_CACHED },
		{ _PAGE_CACHE_MODE_WC, MEMTYPES_WRITE_COMBINED },
		{ _PAGE_CACHE_MODE_UC_MINUS, MEMTYPES_UNCACHED },
		{ _PAGE_CACHE_MODE_UC, MEMTYPES_UNCACHED },
	};
	u64 bits = pgprot_val(prot) & _PAGE_CACHE_MASK;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (bits == cachemode2protval(types[i].mode))
			return types[i].type;
	return MEMTYPES_OTHER;
}

static int memtypes_type(void __user *uarg)
{
	struct memtypes_type arg;
	unsigned int level;
	pgprot_t prot;
	pte_t *entry;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!pfn_valid(arg.frame))
		return -ENXIO;
	entry = lookup_address((unsigned long)page_address(pfn_to_page(arg.frame)), &level);
	if (!entry)
		return -ENXIO;
	err = memtypes_entry(entry, level, &prot, &arg.shift);
	if (!err && !(pgprot_val(prot) & _PAGE_PRESENT))
		err = -ENXIO;
	if (err)
		return err;
	arg.type = memtypes_of_prot(prot);
	return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long memtypes_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
{
	switch (cmd) {
	case MEMTYPES_IOC_FRAME:
		return memtypes_frame((void __user *)uarg);
	case MEMTYPES_IOC_TYPE:
		return memtypes_type((void __user *)uarg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations memtypes_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = memtypes_ioctl,
};

static struct miscdevice memtypes_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sluice-memtypes",
	.fops = &memtypes_fops,
	.mode = 0600,
};

int memtypes_init(void)
{
	return misc_register(&memtypes_misc);
}

void memtypes_exit(void)
{
	misc_deregister(&memtypes_misc);
}
