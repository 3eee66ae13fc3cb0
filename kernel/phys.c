// SPDX-License-Identifier: GPL-2.0
/*
 * phys.c - any device register of the machine, where the administrator allows it.
 *
 * For bringing hardware up. Off unless the module was loaded with raw_phys=1; then
 * for CAP_SYS_RAWIO without lockdown, and never for memory: one access, uncached,
 * through a mapping of its page that is gone afterwards.
 */
#include <linux/capability.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/security.h>

#include "board.h"
#include "file.h"
#include "phys.h"
#include "regs.h"
#include "trace.h"

static bool raw_phys;
module_param(raw_phys, bool, 0444);
MODULE_PARM_DESC(raw_phys, "Let CAP_SYS_RAWIO reach any device register by its physical address");

/* What the trace has for the window of an access that is in none. */
#define SLUICE_NO_WINDOW U32_MAX

/* Memory that is not for the taking, whether the kernel uses it or firmware does. */
static const struct {
	unsigned long flags;
	unsigned long desc;
} sluice_memory[] = {
	{ IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE },
	{ IORESOURCE_MEM, IORES_DESC_ACPI_TABLES },
	{ IORESOURCE_MEM, IORES_DESC_ACPI_NV_STORAGE },
	{ IORESOURCE_MEM, IORES_DESC_PERSISTENT_MEMORY },
};

bool sluice_phys_is_on(void)
{
	return raw_phys;
}

/* How many bits of address the CPU has. */
static u32 sluice_phys_bits(void)
{
#ifdef CONFIG_X86
	return boot_cpu_data.x86_phys_bits;
#else
	return min_t(u32, 48, 8 * sizeof(phys_addr_t));
#endif
}

/**
 * sluice_phys_range - can registers be there?
 * @start: physical address
 * @length: bytes
 *
 * Return: 0; -EINVAL: there are no such addresses; -EACCES: memory is there.
 */
int sluice_phys_range(u64 start, u64 length)
{
	u64 last = BIT_ULL(sluice_phys_bits()) - 1;
	u64 page = start & PAGE_MASK;
	size_t i;

	if (!length || start > last || length - 1 > last - start)
		return -EINVAL;
	/* Pages as a whole: that is what is mapped. */
	length = PAGE_ALIGN(start + length) - page;
	for (i = 0; i < ARRAY_SIZE(sluice_memory); i++)
		if (region_intersects(page, length, sluice_memory[i].flags,
				      sluice_memory[i].desc) != REGION_DISJOINT)
			return -EACCES;
	return 0;
}

static int sluice_phys_check(const struct sluice_phys *arg)
{
	u32 bytes = arg->width / 8;

	if (arg->reserved0)
		return -EINVAL;
	if (arg->width != 8 && arg->width != 16 && arg->width != 32 && arg->width != 64)
		return -EINVAL;
	if (arg->address & (bytes - 1))
		return -EINVAL;
	if ((arg->flags & SLUICE_PHYS_WRITE) && arg->width < 64 && arg->value >> arg->width)
		return -EINVAL;
	if (arg->width == 64 && !IS_ENABLED(CONFIG_64BIT))
		return -EOPNOTSUPP;
	return sluice_phys_range(arg->address, bytes);
}

static int sluice_phys_access(struct sluice_board *board, struct sluice_phys *arg)
{
	void __iomem *page = ioremap(arg->address & PAGE_MASK, PAGE_SIZE);
	void __iomem *at;

	if (!page)
		return -ENOMEM;
	at = page + offset_in_page(arg->address);
	if (arg->flags & SLUICE_PHYS_WRITE) {
		trace_sluice_reg_write(board->node, SLUICE_NO_WINDOW, arg->address, arg->width,
				       arg->value);
		sluice_io_store(at, arg->width, arg->value);
	} else {
		arg->value = sluice_io_load(at, arg->width);
		trace_sluice_reg_read(board->node, SLUICE_NO_WINDOW, arg->address, arg->width,
				      arg->value);
	}
	iounmap(page);
	return 0;
}

int sluice_phys_call(struct sluice_file *sf, struct sluice_phys *arg)
{
	int err;

	if (!raw_phys)
		return -EOPNOTSUPP;
	if (!capable(CAP_SYS_RAWIO) || security_locked_down(LOCKDOWN_DEV_MEM))
		return -EPERM;
	if ((arg->flags & SLUICE_PHYS_WRITE) && !(sf->mode & FMODE_WRITE))
		return -EBADF;
	err = sluice_phys_check(arg);
	if (err)
		return err;
	err = sluice_board_hold(sf->board);
	if (err)
		return err;
	err = sluice_phys_access(sf->board, arg);
	sluice_board_leave(sf->board);
	return err;
}
