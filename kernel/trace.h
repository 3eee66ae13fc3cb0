/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace.h - tracepoints: every register access, interrupt and mapping.
 *
 * Watch them with: echo 1 > /sys/kernel/tracing/events/sluice/enable
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM sluice

#if !defined(SLUICE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SLUICE_TRACE_H

#include <linux/tracepoint.h>

#include "compat.h"

DECLARE_EVENT_CLASS(sluice_reg,
	TP_PROTO(const char *board, u32 window, u64 offset, u32 width, u64 value),
	TP_ARGS(board, window, offset, width, value),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u32, window)
		__field(u32, width)
		__field(u64, offset)
		__field(u64, value)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->window = window;
		__entry->width = width;
		__entry->offset = offset;
		__entry->value = value;
	),
	TP_printk("%s window=%u offset=0x%llx width=%u value=0x%llx", __get_str(board),
		  __entry->window, __entry->offset, __entry->width, __entry->value)
);

DEFINE_EVENT(sluice_reg, sluice_reg_read,
	TP_PROTO(const char *board, u32 window, u64 offset, u32 width, u64 value),
	TP_ARGS(board, window, offset, width, value)
);

DEFINE_EVENT(sluice_reg, sluice_reg_write,
	TP_PROTO(const char *board, u32 window, u64 offset, u32 width, u64 value),
	TP_ARGS(board, window, offset, width, value)
);

TRACE_EVENT(sluice_irq,
	TP_PROTO(const char *board, u64 count),
	TP_ARGS(board, count),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u64, count)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->count = count;
	),
	TP_printk("%s count=%llu", __get_str(board), __entry->count)
);

DECLARE_EVENT_CLASS(sluice_mapping,
	TP_PROTO(const char *board, unsigned long address, unsigned long length),
	TP_ARGS(board, address, length),
	TP_STRUCT__entry(
		__string(board, board)
		__field(unsigned long, address)
		__field(unsigned long, length)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->address = address;
		__entry->length = length;
	),
	TP_printk("%s address=0x%lx length=0x%lx", __get_str(board), __entry->address,
		  __entry->length)
);

DEFINE_EVENT(sluice_mapping, sluice_map,
	TP_PROTO(const char *board, unsigned long address, unsigned long length),
	TP_ARGS(board, address, length)
);

DEFINE_EVENT(sluice_mapping, sluice_revoke,
	TP_PROTO(const char *board, unsigned long address, unsigned long length),
	TP_ARGS(board, address, length)
);

TRACE_EVENT(sluice_submit,
	TP_PROTO(const char *board, u32 queue, u32 index, u32 opcode, u32 id),
	TP_ARGS(board, queue, index, opcode, id),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u32, queue)
		__field(u32, index)
		__field(u32, opcode)
		__field(u32, id)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->queue = queue;
		__entry->index = index;
		__entry->opcode = opcode;
		__entry->id = id;
	),
	TP_printk("%s queue=%u index=%u opcode=%u id=%u", __get_str(board), __entry->queue,
		  __entry->index, __entry->opcode, __entry->id)
);

TRACE_EVENT(sluice_complete,
	TP_PROTO(const char *board, u32 queue, u32 id, u32 status, u32 result),
	TP_ARGS(board, queue, id, status, result),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u32, queue)
		__field(u32, id)
		__field(u32, status)
		__field(u32, result)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->queue = queue;
		__entry->id = id;
		__entry->status = status;
		__entry->result = result;
	),
	TP_printk("%s queue=%u id=%u status=%u result=%u", __get_str(board), __entry->queue,
		  __entry->id, __entry->status, __entry->result)
);

TRACE_EVENT(sluice_fault,
	TP_PROTO(const char *board, u64 count, u32 status, u32 queue, u32 id, u64 address,
		 u64 length),
	TP_ARGS(board, count, status, queue, id, address, length),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u64, count)
		__field(u64, address)
		__field(u64, length)
		__field(u32, status)
		__field(u32, queue)
		__field(u32, id)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->count = count;
		__entry->address = address;
		__entry->length = length;
		__entry->status = status;
		__entry->queue = queue;
		__entry->id = id;
	),
	TP_printk("%s faults=%llu first: status=%u queue=%u id=%u address=0x%llx length=0x%llx",
		  __get_str(board), __entry->count, __entry->status, __entry->queue, __entry->id,
		  __entry->address, __entry->length)
);

TRACE_EVENT(sluice_reset,
	TP_PROTO(const char *board, u32 count, int result),
	TP_ARGS(board, count, result),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u32, count)
		__field(int, result)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->count = count;
		__entry->result = result;
	),
	TP_printk("%s resets=%u result=%d", __get_str(board), __entry->count, __entry->result)
);

TRACE_EVENT(sluice_clock,
	TP_PROTO(const char *board, u32 wanted_hz, u32 system_hz, int result),
	TP_ARGS(board, wanted_hz, system_hz, result),
	TP_STRUCT__entry(
		__string(board, board)
		__field(u32, wanted_hz)
		__field(u32, system_hz)
		__field(int, result)
	),
	TP_fast_assign(
		sluice_assign_str(board, board);
		__entry->wanted_hz = wanted_hz;
		__entry->system_hz = system_hz;
		__entry->result = result;
	),
	TP_printk("%s wanted=%u now=%u result=%d", __get_str(board), __entry->wanted_hz,
		  __entry->system_hz, __entry->result)
);

#endif /* SLUICE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
