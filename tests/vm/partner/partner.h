/* SPDX-License-Identifier: GPL-2.0 */
/*
 * partner.h - the parts of the module, each of which has a device file of its own.
 */
#ifndef SLUICE_TESTS_VM_PARTNER_H
#define SLUICE_TESTS_VM_PARTNER_H

int importer_init(void);
void importer_exit(void);
int memtypes_init(void);
void memtypes_exit(void);

#endif /* SLUICE_TESTS_VM_PARTNER_H */
