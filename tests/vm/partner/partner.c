// SPDX-License-Identifier: GPL-2.0
/*
 * partner.c - the other side of the driver's tests in a virtual machine: an importer of dma-bufs
 * (importer.c), and what the kernel knows of memory types (memtypes.c).
 */
#include <linux/module.h>
#include <linux/version.h>

#include "partner.h"

static int __init partner_init(void)
{
	int err = importer_init();

	if (err)
		return err;
	err = memtypes_init();
	if (err)
		importer_exit();
	return err;
}

static void __exit partner_exit(void)
{
	memtypes_exit();
	importer_exit();
}

module_init(partner_init);
module_exit(partner_exit);

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS(DMA_BUF);
#else
MODULE_IMPORT_NS("DMA_BUF");
#endif
MODULE_DESCRIPTION("The other side of the tests of sluice");
MODULE_AUTHOR("The Sluice authors");
MODULE_LICENSE("GPL");
