// SPDX-License-Identifier: GPL-2.0
/*
 * core.c - the module: what is registered when it is loaded.
 */
#include <linux/module.h>
#include <linux/rcupdate.h>

#include "board.h"
#include "debugfs.h"
#include "pci.h"
#include "platform.h"
#include "ring.h"
#include "slab.h"

static int __init sluice_init(void)
{
	int err = sluice_slabs_init();

	if (err)
		return err;
	err = sluice_rings_init();
	if (err)
		goto err_slabs;
	sluice_debugfs_init();
	err = pci_register_driver(&sluice_pci_driver);
	if (err)
		goto err_debugfs;
	/* Last: an entry of plain= that overlaps a board is the one that is refused. */
	err = sluice_platform_init();
	if (err)
		goto err_pci;
	return 0;

err_pci:
	pci_unregister_driver(&sluice_pci_driver);
err_debugfs:
	sluice_debugfs_exit();
	sluice_board_forget_numbers();
	sluice_rings_exit();
err_slabs:
	sluice_slabs_exit();
	return err;
}

static void __exit sluice_exit(void)
{
	sluice_platform_exit();
	pci_unregister_driver(&sluice_pci_driver);
	sluice_debugfs_exit();
	sluice_board_forget_numbers();
	sluice_rings_exit();
	/* The last fence may still be on its way out. */
	rcu_barrier();
	sluice_slabs_exit();
}

module_init(sluice_init);
module_exit(sluice_exit);

MODULE_DESCRIPTION("Register windows and interrupts of boards for user space");
MODULE_AUTHOR("The Sluice authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(SLUICE_VERSION);
