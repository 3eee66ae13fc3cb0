/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * abi_check.h - the ABI's layout, asserted by every side that compiles it.
 *
 * Included by the driver (C) and by the library (C++): if a compiler or a word
 * size saw a struct of uapi/ differently, it could not build. The last
 * field's end equal to the size means that there is no padding at the end.
 */
#ifndef SLUICE_ABI_CHECK_H
#define SLUICE_ABI_CHECK_H

#ifdef __KERNEL__
#include <linux/stddef.h>
#else
#include <stddef.h>
#endif

#include "../uapi/sluice.h"
#include "../uapi/sluice_sdi.h"

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
SLUICE_ABI_AT(sluice_info, capabilities, 96);
SLUICE_ABI_AT(sluice_info, memory_size, 104);
SLUICE_ABI_AT(sluice_info, memory_free, 112);
SLUICE_ABI_AT(sluice_info, memory_window, 120);
SLUICE_ABI_AT(sluice_info, n_queues, 124);
SLUICE_ABI_AT(sluice_info, n_queues_free, 128);
SLUICE_ABI_AT(sluice_info, n_segments, 132);
SLUICE_ABI_AT(sluice_info, max_entries, 136);
SLUICE_ABI_AT(sluice_info, n_resets, 140);
SLUICE_ABI_AT(sluice_info, sdi_version, 144);
SLUICE_ABI_AT(sluice_info, max_step_bytes, 148);

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

SLUICE_ABI_SIZE(sluice_reg_update, 64);
SLUICE_ABI_AT(sluice_reg_update, size, 0);
SLUICE_ABI_AT(sluice_reg_update, flags, 4);
SLUICE_ABI_AT(sluice_reg_update, window, 8);
SLUICE_ABI_AT(sluice_reg_update, width, 12);
SLUICE_ABI_AT(sluice_reg_update, offset, 16);
SLUICE_ABI_AT(sluice_reg_update, mask, 24);
SLUICE_ABI_AT(sluice_reg_update, value, 32);
SLUICE_ABI_AT(sluice_reg_update, old, 40);
SLUICE_ABI_AT(sluice_reg_update, reserved, 48);

SLUICE_ABI_SIZE(sluice_reg_poll, 72);
SLUICE_ABI_AT(sluice_reg_poll, size, 0);
SLUICE_ABI_AT(sluice_reg_poll, flags, 4);
SLUICE_ABI_AT(sluice_reg_poll, window, 8);
SLUICE_ABI_AT(sluice_reg_poll, width, 12);
SLUICE_ABI_AT(sluice_reg_poll, offset, 16);
SLUICE_ABI_AT(sluice_reg_poll, mask, 24);
SLUICE_ABI_AT(sluice_reg_poll, value, 32);
SLUICE_ABI_AT(sluice_reg_poll, timeout_ns, 40);
SLUICE_ABI_AT(sluice_reg_poll, seen, 48);
SLUICE_ABI_AT(sluice_reg_poll, reserved, 56);

SLUICE_ABI_SIZE(sluice_reg_op, 48);
SLUICE_ABI_AT(sluice_reg_op, op, 0);
SLUICE_ABI_AT(sluice_reg_op, window, 4);
SLUICE_ABI_AT(sluice_reg_op, width, 8);
SLUICE_ABI_AT(sluice_reg_op, reserved, 12);
SLUICE_ABI_AT(sluice_reg_op, offset, 16);
SLUICE_ABI_AT(sluice_reg_op, value, 24);
SLUICE_ABI_AT(sluice_reg_op, mask, 32);
SLUICE_ABI_AT(sluice_reg_op, timeout_ns, 40);

SLUICE_ABI_SIZE(sluice_reg_batch, 48);
SLUICE_ABI_AT(sluice_reg_batch, size, 0);
SLUICE_ABI_AT(sluice_reg_batch, flags, 4);
SLUICE_ABI_AT(sluice_reg_batch, count, 8);
SLUICE_ABI_AT(sluice_reg_batch, done, 12);
SLUICE_ABI_AT(sluice_reg_batch, error, 16);
SLUICE_ABI_AT(sluice_reg_batch, reserved0, 20);
SLUICE_ABI_AT(sluice_reg_batch, ops, 24);
SLUICE_ABI_AT(sluice_reg_batch, reserved, 32);

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

SLUICE_ABI_SIZE(sluice_mapping_info, 48);
SLUICE_ABI_AT(sluice_mapping_info, address, 0);
SLUICE_ABI_AT(sluice_mapping_info, length, 8);
SLUICE_ABI_AT(sluice_mapping_info, offset, 16);
SLUICE_ABI_AT(sluice_mapping_info, window, 24);
SLUICE_ABI_AT(sluice_mapping_info, flags, 28);
SLUICE_ABI_AT(sluice_mapping_info, pid, 32);
SLUICE_ABI_AT(sluice_mapping_info, requested, 36);
SLUICE_ABI_AT(sluice_mapping_info, effective, 40);
SLUICE_ABI_AT(sluice_mapping_info, reserved, 44);

SLUICE_ABI_SIZE(sluice_mappings, 40);
SLUICE_ABI_AT(sluice_mappings, size, 0);
SLUICE_ABI_AT(sluice_mappings, flags, 4);
SLUICE_ABI_AT(sluice_mappings, count, 8);
SLUICE_ABI_AT(sluice_mappings, total, 12);
SLUICE_ABI_AT(sluice_mappings, entries, 16);
SLUICE_ABI_AT(sluice_mappings, reserved, 24);

SLUICE_ABI_SIZE(sluice_alloc, 48);
SLUICE_ABI_AT(sluice_alloc, size, 0);
SLUICE_ABI_AT(sluice_alloc, flags, 4);
SLUICE_ABI_AT(sluice_alloc, kind, 8);
SLUICE_ABI_AT(sluice_alloc, handle, 12);
SLUICE_ABI_AT(sluice_alloc, length, 16);
SLUICE_ABI_AT(sluice_alloc, address, 24);
SLUICE_ABI_AT(sluice_alloc, reserved, 32);

SLUICE_ABI_SIZE(sluice_free, 32);
SLUICE_ABI_AT(sluice_free, size, 0);
SLUICE_ABI_AT(sluice_free, flags, 4);
SLUICE_ABI_AT(sluice_free, handle, 8);
SLUICE_ABI_AT(sluice_free, reserved0, 12);
SLUICE_ABI_AT(sluice_free, reserved, 16);

SLUICE_ABI_SIZE(sluice_queue, 80);
SLUICE_ABI_AT(sluice_queue, size, 0);
SLUICE_ABI_AT(sluice_queue, flags, 4);
SLUICE_ABI_AT(sluice_queue, n_entries, 8);
SLUICE_ABI_AT(sluice_queue, n_segments, 12);
SLUICE_ABI_AT(sluice_queue, eventfd, 16);
SLUICE_ABI_AT(sluice_queue, handle, 20);
SLUICE_ABI_AT(sluice_queue, index, 24);
SLUICE_ABI_AT(sluice_queue, coalesce_count, 28);
SLUICE_ABI_AT(sluice_queue, coalesce_us, 32);
SLUICE_ABI_AT(sluice_queue, reserved0, 36);
SLUICE_ABI_AT(sluice_queue, sq_cookie, 40);
SLUICE_ABI_AT(sluice_queue, cq_cookie, 48);
SLUICE_ABI_AT(sluice_queue, doorbell_cookie, 56);
SLUICE_ABI_AT(sluice_queue, reserved, 64);

SLUICE_ABI_SIZE(sluice_grant, 56);
SLUICE_ABI_AT(sluice_grant, size, 0);
SLUICE_ABI_AT(sluice_grant, flags, 4);
SLUICE_ABI_AT(sluice_grant, queue, 8);
SLUICE_ABI_AT(sluice_grant, segment, 12);
SLUICE_ABI_AT(sluice_grant, handle, 16);
SLUICE_ABI_AT(sluice_grant, reserved0, 20);
SLUICE_ABI_AT(sluice_grant, offset, 24);
SLUICE_ABI_AT(sluice_grant, length, 32);
SLUICE_ABI_AT(sluice_grant, reserved, 40);

SLUICE_ABI_SIZE(sluice_notify, 32);
SLUICE_ABI_AT(sluice_notify, size, 0);
SLUICE_ABI_AT(sluice_notify, flags, 4);
SLUICE_ABI_AT(sluice_notify, queue, 8);
SLUICE_ABI_AT(sluice_notify, reserved0, 12);
SLUICE_ABI_AT(sluice_notify, reserved, 16);

SLUICE_ABI_SIZE(sluice_submit, 40);
SLUICE_ABI_AT(sluice_submit, size, 0);
SLUICE_ABI_AT(sluice_submit, flags, 4);
SLUICE_ABI_AT(sluice_submit, queue, 8);
SLUICE_ABI_AT(sluice_submit, count, 12);
SLUICE_ABI_AT(sluice_submit, entries, 16);
SLUICE_ABI_AT(sluice_submit, reserved, 24);

SLUICE_ABI_SIZE(sluice_wait, 48);
SLUICE_ABI_AT(sluice_wait, size, 0);
SLUICE_ABI_AT(sluice_wait, flags, 4);
SLUICE_ABI_AT(sluice_wait, queue, 8);
SLUICE_ABI_AT(sluice_wait, count, 12);
SLUICE_ABI_AT(sluice_wait, timeout_ns, 16);
SLUICE_ABI_AT(sluice_wait, completions, 24);
SLUICE_ABI_AT(sluice_wait, reserved, 32);

SLUICE_ABI_SIZE(sluice_reset, 32);
SLUICE_ABI_AT(sluice_reset, size, 0);
SLUICE_ABI_AT(sluice_reset, flags, 4);
SLUICE_ABI_AT(sluice_reset, n_resets, 8);
SLUICE_ABI_AT(sluice_reset, reserved0, 12);
SLUICE_ABI_AT(sluice_reset, reserved, 16);

SLUICE_ABI_SIZE(sluice_clock, 96);
SLUICE_ABI_AT(sluice_clock, size, 0);
SLUICE_ABI_AT(sluice_clock, flags, 4);
SLUICE_ABI_AT(sluice_clock, system_hz, 8);
SLUICE_ABI_AT(sluice_clock, source, 12);
SLUICE_ABI_AT(sluice_clock, m, 16);
SLUICE_ABI_AT(sluice_clock, n, 20);
SLUICE_ABI_AT(sluice_clock, p, 24);
SLUICE_ABI_AT(sluice_clock, q, 28);
SLUICE_ABI_AT(sluice_clock, wait_states, 32);
SLUICE_ABI_AT(sluice_clock, pll48_hz, 36);
SLUICE_ABI_AT(sluice_clock, bus_hz, 40);
SLUICE_ABI_AT(sluice_clock, timer_hz, 48);
SLUICE_ABI_AT(sluice_clock, hsi_hz, 64);
SLUICE_ABI_AT(sluice_clock, hse_hz, 68);
SLUICE_ABI_AT(sluice_clock, rated_hz, 72);
SLUICE_ABI_AT(sluice_clock, boost_hz, 76);
SLUICE_ABI_AT(sluice_clock, reserved, 80);

SLUICE_ABI_SIZE(sluice_timer, 32);
SLUICE_ABI_AT(sluice_timer, size, 0);
SLUICE_ABI_AT(sluice_timer, flags, 4);
SLUICE_ABI_AT(sluice_timer, timer, 8);
SLUICE_ABI_AT(sluice_timer, hz, 12);
SLUICE_ABI_AT(sluice_timer, reserved, 16);

SLUICE_ABI_SIZE(sluice_export, 32);
SLUICE_ABI_AT(sluice_export, size, 0);
SLUICE_ABI_AT(sluice_export, flags, 4);
SLUICE_ABI_AT(sluice_export, handle, 8);
SLUICE_ABI_AT(sluice_export, fd, 12);
SLUICE_ABI_AT(sluice_export, reserved, 16);

SLUICE_ABI_SIZE(sluice_import, 40);
SLUICE_ABI_AT(sluice_import, size, 0);
SLUICE_ABI_AT(sluice_import, flags, 4);
SLUICE_ABI_AT(sluice_import, fd, 8);
SLUICE_ABI_AT(sluice_import, handle, 12);
SLUICE_ABI_AT(sluice_import, length, 16);
SLUICE_ABI_AT(sluice_import, reserved, 24);

SLUICE_ABI_SIZE(sluice_fence, 32);
SLUICE_ABI_AT(sluice_fence, size, 0);
SLUICE_ABI_AT(sluice_fence, flags, 4);
SLUICE_ABI_AT(sluice_fence, queue, 8);
SLUICE_ABI_AT(sluice_fence, fd, 12);
SLUICE_ABI_AT(sluice_fence, reserved, 16);

SLUICE_ABI_SIZE(sluice_phys, 48);
SLUICE_ABI_AT(sluice_phys, size, 0);
SLUICE_ABI_AT(sluice_phys, flags, 4);
SLUICE_ABI_AT(sluice_phys, width, 8);
SLUICE_ABI_AT(sluice_phys, reserved0, 12);
SLUICE_ABI_AT(sluice_phys, address, 16);
SLUICE_ABI_AT(sluice_phys, value, 24);
SLUICE_ABI_AT(sluice_phys, reserved, 32);

SLUICE_ABI_SIZE(sluice_uring_cmd, 80);
SLUICE_ABI_AT(sluice_uring_cmd, queue, 0);
SLUICE_ABI_AT(sluice_uring_cmd, flags, 4);
SLUICE_ABI_AT(sluice_uring_cmd, reserved, 8);
SLUICE_ABI_AT(sluice_uring_cmd, entry, 16);

SLUICE_ABI_SIZE(sluice_sdi_fault, 32);
SLUICE_ABI_AT(sluice_sdi_fault, status, 0);
SLUICE_ABI_AT(sluice_sdi_fault, queue, 4);
SLUICE_ABI_AT(sluice_sdi_fault, id, 8);
SLUICE_ABI_AT(sluice_sdi_fault, index, 12);
SLUICE_ABI_AT(sluice_sdi_fault, address, 16);
SLUICE_ABI_AT(sluice_sdi_fault, length, 24);

SLUICE_ABI_SIZE(sluice_sdi_control, 616);
SLUICE_ABI_AT(sluice_sdi_control, magic, 0);
SLUICE_ABI_AT(sluice_sdi_control, version, 4);
SLUICE_ABI_AT(sluice_sdi_control, capabilities, 8);
SLUICE_ABI_AT(sluice_sdi_control, memory_size, 16);
SLUICE_ABI_AT(sluice_sdi_control, memory_offset, 24);
SLUICE_ABI_AT(sluice_sdi_control, n_queues, 32);
SLUICE_ABI_AT(sluice_sdi_control, n_segments, 36);
SLUICE_ABI_AT(sluice_sdi_control, max_entries, 40);
SLUICE_ABI_AT(sluice_sdi_control, n_vectors, 44);
SLUICE_ABI_AT(sluice_sdi_control, max_commands, 48);
SLUICE_ABI_AT(sluice_sdi_control, max_tensors, 52);
SLUICE_ABI_AT(sluice_sdi_control, max_step_bytes, 56);
SLUICE_ABI_AT(sluice_sdi_control, max_lists, 60);
SLUICE_ABI_AT(sluice_sdi_control, notify, 64);
SLUICE_ABI_AT(sluice_sdi_control, reserved0, 68);
SLUICE_ABI_AT(sluice_sdi_control, name, 96);
SLUICE_ABI_AT(sluice_sdi_control, reserved1, 128);
SLUICE_ABI_AT(sluice_sdi_control, request, 256);
SLUICE_ABI_AT(sluice_sdi_control, reserved2, 260);
SLUICE_ABI_AT(sluice_sdi_control, argument, 264);
SLUICE_ABI_AT(sluice_sdi_control, reserved3, 280);
SLUICE_ABI_AT(sluice_sdi_control, acknowledge, 320);
SLUICE_ABI_AT(sluice_sdi_control, result, 324);
SLUICE_ABI_AT(sluice_sdi_control, reserved4, 328);
SLUICE_ABI_AT(sluice_sdi_control, status, 384);
SLUICE_ABI_AT(sluice_sdi_control, n_resets, 388);
SLUICE_ABI_AT(sluice_sdi_control, reserved5, 392);
SLUICE_ABI_AT(sluice_sdi_control, irq_mask, 448);
SLUICE_ABI_AT(sluice_sdi_control, irq_seen, 456);
SLUICE_ABI_AT(sluice_sdi_control, reserved6, 464);
SLUICE_ABI_AT(sluice_sdi_control, irq_events, 512);
SLUICE_ABI_AT(sluice_sdi_control, reserved7, 520);
SLUICE_ABI_AT(sluice_sdi_control, n_faults, 576);
SLUICE_ABI_AT(sluice_sdi_control, first_fault, 584);

SLUICE_ABI_SIZE(sluice_sdi_clock, 208);
SLUICE_ABI_AT(sluice_sdi_clock, request, 0);
SLUICE_ABI_AT(sluice_sdi_clock, control, 4);
SLUICE_ABI_AT(sluice_sdi_clock, pll, 8);
SLUICE_ABI_AT(sluice_sdi_clock, prescalers, 12);
SLUICE_ABI_AT(sluice_sdi_clock, wait_states, 16);
SLUICE_ABI_AT(sluice_sdi_clock, reserved0, 20);
SLUICE_ABI_AT(sluice_sdi_clock, timer, 32);
SLUICE_ABI_AT(sluice_sdi_clock, reserved1, 48);
SLUICE_ABI_AT(sluice_sdi_clock, acknowledge, 128);
SLUICE_ABI_AT(sluice_sdi_clock, result, 132);
SLUICE_ABI_AT(sluice_sdi_clock, status, 136);
SLUICE_ABI_AT(sluice_sdi_clock, reserved2, 140);
SLUICE_ABI_AT(sluice_sdi_clock, hsi_hz, 144);
SLUICE_ABI_AT(sluice_sdi_clock, hse_hz, 148);
SLUICE_ABI_AT(sluice_sdi_clock, rated_hz, 152);
SLUICE_ABI_AT(sluice_sdi_clock, boost_hz, 156);
SLUICE_ABI_AT(sluice_sdi_clock, lock_ns, 160);
SLUICE_ABI_AT(sluice_sdi_clock, reserved3, 164);
SLUICE_ABI_AT(sluice_sdi_clock, system_hz, 176);
SLUICE_ABI_AT(sluice_sdi_clock, pll48_hz, 180);
SLUICE_ABI_AT(sluice_sdi_clock, bus_hz, 184);
SLUICE_ABI_AT(sluice_sdi_clock, timer_hz, 192);

SLUICE_ABI_SIZE(sluice_sdi_queue, 64);
SLUICE_ABI_AT(sluice_sdi_queue, sq_base, 0);
SLUICE_ABI_AT(sluice_sdi_queue, cq_base, 8);
SLUICE_ABI_AT(sluice_sdi_queue, segments, 16);
SLUICE_ABI_AT(sluice_sdi_queue, n_segments, 24);
SLUICE_ABI_AT(sluice_sdi_queue, n_entries, 28);
SLUICE_ABI_AT(sluice_sdi_queue, vector, 32);
SLUICE_ABI_AT(sluice_sdi_queue, coalesce_count, 36);
SLUICE_ABI_AT(sluice_sdi_queue, coalesce_us, 40);
SLUICE_ABI_AT(sluice_sdi_queue, reserved, 44);

SLUICE_ABI_SIZE(sluice_sdi_doorbell, 192);
SLUICE_ABI_AT(sluice_sdi_doorbell, sq_tail, 0);
SLUICE_ABI_AT(sluice_sdi_doorbell, reserved0, 4);
SLUICE_ABI_AT(sluice_sdi_doorbell, cq_head, 64);
SLUICE_ABI_AT(sluice_sdi_doorbell, reserved1, 68);
SLUICE_ABI_AT(sluice_sdi_doorbell, idle, 128);
SLUICE_ABI_AT(sluice_sdi_doorbell, reserved2, 132);

SLUICE_ABI_SIZE(sluice_sdi_segment, 32);
SLUICE_ABI_AT(sluice_sdi_segment, base, 0);
SLUICE_ABI_AT(sluice_sdi_segment, length, 8);
SLUICE_ABI_AT(sluice_sdi_segment, flags, 16);
SLUICE_ABI_AT(sluice_sdi_segment, page_shift, 20);
SLUICE_ABI_AT(sluice_sdi_segment, reserved, 24);

SLUICE_ABI_SIZE(sluice_sdi_entry, 64);
SLUICE_ABI_AT(sluice_sdi_entry, opcode, 0);
SLUICE_ABI_AT(sluice_sdi_entry, flags, 2);
SLUICE_ABI_AT(sluice_sdi_entry, id, 4);
SLUICE_ABI_AT(sluice_sdi_entry, copy, 8);
SLUICE_ABI_AT(sluice_sdi_entry, load, 8);
SLUICE_ABI_AT(sluice_sdi_entry, run, 8);
SLUICE_ABI_AT(sluice_sdi_entry, words, 8);

SLUICE_ABI_SIZE(sluice_sdi_completion, 16);
SLUICE_ABI_AT(sluice_sdi_completion, id, 0);
SLUICE_ABI_AT(sluice_sdi_completion, result, 4);
SLUICE_ABI_AT(sluice_sdi_completion, sq_head, 8);
SLUICE_ABI_AT(sluice_sdi_completion, status, 12);
SLUICE_ABI_AT(sluice_sdi_completion, phase, 14);

SLUICE_ABI_SIZE(sluice_sdi_counters, 1280);
SLUICE_ABI_AT(sluice_sdi_counters, cycles, 0);
SLUICE_ABI_AT(sluice_sdi_counters, stall_cycles, 8);
SLUICE_ABI_AT(sluice_sdi_counters, entries, 16);
SLUICE_ABI_AT(sluice_sdi_counters, runs, 24);
SLUICE_ABI_AT(sluice_sdi_counters, commands, 32);
SLUICE_ABI_AT(sluice_sdi_counters, macs, 40);
SLUICE_ABI_AT(sluice_sdi_counters, bytes_read, 48);
SLUICE_ABI_AT(sluice_sdi_counters, bytes_written, 56);
SLUICE_ABI_AT(sluice_sdi_counters, host_bytes_read, 64);
SLUICE_ABI_AT(sluice_sdi_counters, host_bytes_written, 72);
SLUICE_ABI_AT(sluice_sdi_counters, interrupts, 80);
SLUICE_ABI_AT(sluice_sdi_counters, nanoseconds, 88);
SLUICE_ABI_AT(sluice_sdi_counters, reserved, 96);
SLUICE_ABI_AT(sluice_sdi_counters, op, 256);

SLUICE_ABI_SIZE(sluice_sdi_tensor, 64);
SLUICE_ABI_AT(sluice_sdi_tensor, type, 0);
SLUICE_ABI_AT(sluice_sdi_tensor, rows, 2);
SLUICE_ABI_AT(sluice_sdi_tensor, rank, 4);
SLUICE_ABI_AT(sluice_sdi_tensor, reserved0, 6);
SLUICE_ABI_AT(sluice_sdi_tensor, shape, 8);
SLUICE_ABI_AT(sluice_sdi_tensor, stride, 24);
SLUICE_ABI_AT(sluice_sdi_tensor, address, 48);
SLUICE_ABI_AT(sluice_sdi_tensor, reserved, 56);

SLUICE_ABI_SIZE(sluice_sdi_command, 64);
SLUICE_ABI_AT(sluice_sdi_command, op, 0);
SLUICE_ABI_AT(sluice_sdi_command, flags, 2);
SLUICE_ABI_AT(sluice_sdi_command, reserved, 4);
SLUICE_ABI_AT(sluice_sdi_command, dst, 8);
SLUICE_ABI_AT(sluice_sdi_command, src, 12);
SLUICE_ABI_AT(sluice_sdi_command, imm, 32);

SLUICE_ABI_SIZE(sluice_sdi_step, 32);
SLUICE_ABI_AT(sluice_sdi_step, n_tokens, 0);
SLUICE_ABI_AT(sluice_sdi_step, n_outputs, 4);
SLUICE_ABI_AT(sluice_sdi_step, n_sequences, 8);
SLUICE_ABI_AT(sluice_sdi_step, n_blocks, 12);
SLUICE_ABI_AT(sluice_sdi_step, reserved, 16);

#endif /* SLUICE_ABI_CHECK_H */
