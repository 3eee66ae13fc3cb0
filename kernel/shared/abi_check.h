/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * abi_check.h - the ABI's layout, asserted by every side that compiles it.
 *
 * Included by the driver (C) and by the library (C++): if a compiler or a word
 * size saw a struct of uapi/sluice.h differently, it could not build. The last
 * field's end equal to the size means that there is no padding at the end.
 */
#ifndef SLUICE_ABI_CHECK_H
#define SLUICE_ABI_CHECK_H

#ifdef __KERNEL__
#include <linux/stddef.h>
#else
#include <stddef.h>
#endif

#ifdef __cplusplus
#define SLUICE_ABI_ASSERT static_assert
#else
#define SLUICE_ABI_ASSERT _Static_assert
#endif

#define SLUICE_ABI_AT(type, field, at) \
	SLUICE_ABI_ASSERT(offsetof(struct type, field) == (at), #type "." #field " moved")
#define SLUICE_ABI_SIZE(type, bytes) \
	SLUICE_ABI_ASSERT(sizeof(struct type) == (bytes), #type " resized")

SLUICE_ABI_SIZE(sluice_info, 152);
SLUICE_ABI_AT(sluice_info, size, 0);
SLUICE_ABI_AT(sluice_info, flags, 4);
SLUICE_ABI_AT(sluice_info, abi_version, 8);
SLUICE_ABI_AT(sluice_info, kind, 12);
SLUICE_ABI_AT(sluice_info, bus, 16);
SLUICE_ABI_AT(sluice_info, state, 20);
SLUICE_ABI_AT(sluice_info, n_windows, 24);
SLUICE_ABI_AT(sluice_info, vendor, 28);
SLUICE_ABI_AT(sluice_info, device, 30);
SLUICE_ABI_AT(sluice_info, subsystem_vendor, 32);
SLUICE_ABI_AT(sluice_info, subsystem_device, 34);
SLUICE_ABI_AT(sluice_info, class_revision, 36);
SLUICE_ABI_AT(sluice_info, irq_count, 40);
SLUICE_ABI_AT(sluice_info, name, 48);
SLUICE_ABI_AT(sluice_info, reserved, 80);

SLUICE_ABI_SIZE(sluice_window, 48);
SLUICE_ABI_AT(sluice_window, size, 0);
SLUICE_ABI_AT(sluice_window, flags, 4);
SLUICE_ABI_AT(sluice_window, index, 8);
SLUICE_ABI_AT(sluice_window, kind, 12);
SLUICE_ABI_AT(sluice_window, caps, 16);
SLUICE_ABI_AT(sluice_window, bar, 20);
SLUICE_ABI_AT(sluice_window, length, 24);
SLUICE_ABI_AT(sluice_window, reserved, 32);

SLUICE_ABI_SIZE(sluice_reg, 48);
SLUICE_ABI_AT(sluice_reg, size, 0);
SLUICE_ABI_AT(sluice_reg, flags, 4);
SLUICE_ABI_AT(sluice_reg, window, 8);
SLUICE_ABI_AT(sluice_reg, width, 12);
SLUICE_ABI_AT(sluice_reg, offset, 16);
SLUICE_ABI_AT(sluice_reg, value, 24);
SLUICE_ABI_AT(sluice_reg, reserved, 32);

SLUICE_ABI_SIZE(sluice_map, 56);
SLUICE_ABI_AT(sluice_map, size, 0);
SLUICE_ABI_AT(sluice_map, flags, 4);
SLUICE_ABI_AT(sluice_map, window, 8);
SLUICE_ABI_AT(sluice_map, type, 12);
SLUICE_ABI_AT(sluice_map, offset, 16);
SLUICE_ABI_AT(sluice_map, length, 24);
SLUICE_ABI_AT(sluice_map, cookie, 32);
SLUICE_ABI_AT(sluice_map, reserved, 40);

SLUICE_ABI_SIZE(sluice_irq, 32);
SLUICE_ABI_AT(sluice_irq, size, 0);
SLUICE_ABI_AT(sluice_irq, flags, 4);
SLUICE_ABI_AT(sluice_irq, count, 8);
SLUICE_ABI_AT(sluice_irq, reserved, 16);

#endif /* SLUICE_ABI_CHECK_H */
