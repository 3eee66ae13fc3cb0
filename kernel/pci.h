/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pci.h - the PCI driver.
 */
#ifndef SLUICE_PCI_H
#define SLUICE_PCI_H

#include <linux/pci.h>

extern struct pci_driver sluice_pci_driver;

#endif /* SLUICE_PCI_H */
