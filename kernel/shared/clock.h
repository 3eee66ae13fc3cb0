/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * clock.h - which dividers give a frequency, and how to change to them.
 *
 * Pure C for the driver and for user space alike: no allocation, no floating
 * point, no division of 64-bit numbers but by sluice_clock_div() (32-bit
 * kernels have none). The rules are those of the Device Interface's clock block.
 */
#ifndef SLUICE_SHARED_CLOCK_H
#define SLUICE_SHARED_CLOCK_H

#include "../uapi/sluice_sdi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a board can do: from its clock page. */
struct sluice_clock_board {
	__u32 hsi_hz;
	__u32 hse_hz;
	__u32 rated_hz;
	__u32 boost_hz;
	__u32 lock_ns;
};

/* Everything that a system frequency decides. */
struct sluice_clock_plan {
	__u32 system_hz;
	__u32 source;	/* SLUICE_SDI_CLOCK_SOURCE_*: HSI or HSE where that is exact, else PLL */
	__u32 m, n, p, q;	/* of the PLL, 0 if it is off */
	__u32 vco_hz;
	__u32 pll48_hz;
	__u32 wait_states;
	__u32 bus_shift[SLUICE_SDI_N_BUSES];
	__u32 bus_hz[SLUICE_SDI_N_BUSES];
	__u32 timer_clock_hz[SLUICE_SDI_N_BUSES];	/* the bus clock, or twice that */
};

/* The most that the buses may run at. */
#define SLUICE_CLOCK_BUS0_MAX_HZ 54000000u
#define SLUICE_CLOCK_BUS1_MAX_HZ 108000000u

/*
 * Plans for exactly @hz. 0; -ERANGE: below 1 MHz or above boost_hz, or the
 * board's figures make no sense; -EDOM: no dividers give it.
 * Of several the one with the lowest VCO input error rules: VCO input nearest
 * to 2 MHz, then pll48_hz nearest to 48 MHz and not above, then the lowest VCO.
 */
int sluice_clock_plan(const struct sluice_clock_board *board, __u32 hz,
		      struct sluice_clock_plan *ret_plan);

/* The nearest frequencies below and above that have a plan, 0 if there is none. */
void sluice_clock_nearest(const struct sluice_clock_board *board, __u32 hz, __u32 *ret_below,
			  __u32 *ret_above);

/*
 * Prescaler less one for @hz on timer @timer, and what that gives exactly: the
 * slowest that is not slower than @hz.
 * 0; -EINVAL: @hz is 0 or no such timer; -ERANGE: above its clock, or a prescaler
 * above 16 bits.
 */
int sluice_clock_timer(const struct sluice_clock_plan *plan, __u32 timer, __u32 hz,
		       __u32 *ret_prescaler, __u32 *ret_hz);

/**
 * struct sluice_clock_ops - how the sequence reaches the board
 * @read: a word of the clock page at byte @offset
 * @write: likewise
 * @commit: post a request and wait until it is acknowledged; 0, or a negative errno
 * @quiesce: let no entry begin, drain the queues (SLUICE_SDI_ACTION_PAUSE) and mask
 *	the interrupts; 0 or a negative errno
 * @resume: undo that
 * @sleep_ns: wait
 */
struct sluice_clock_ops {
	__u32 (*read)(void *context, __u32 offset);
	void (*write)(void *context, __u32 offset, __u32 value);
	int (*commit)(void *context);
	int (*quiesce)(void *context);
	void (*resume)(void *context);
	void (*sleep_ns)(void *context, __u32 ns);
};

/*
 * Changes the clocks to @plan and the timers to @timer_hz (0: off), by the rules.
 * 0; what quiesce said, and nothing has changed; -EIO: the PLL did not lock, a
 * request was refused or the readback is wrong: the board runs from HSI now and
 * @ret_now says with what; timers that HSI is too slow for are off. -ERANGE: a
 * timer cannot have its frequency with this plan, and nothing has changed.
 */
int sluice_clock_change(const struct sluice_clock_ops *ops, void *context,
			const struct sluice_clock_board *board,
			const struct sluice_clock_plan *plan,
			const __u32 timer_hz[SLUICE_SDI_N_TIMERS],
			struct sluice_clock_plan *ret_now);

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_SHARED_CLOCK_H */
