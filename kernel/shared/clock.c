// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * clock.c - dividers for a frequency, and the order of steps that gets a board there.
 *
 * The order matters: a board whose driver changes a running PLL, reads memory
 * faster than its wait states allow or switches to a PLL that has not locked
 * gives wrong data or hangs.
 */
#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/math64.h>
#include <linux/stddef.h>
#include "clock.h"
#else
#include <errno.h>
#include <stddef.h>
#include "kernel/shared/clock.h"
#endif

#define MHZ 1000000u

#define PLL_M_MIN 2u
#define PLL_M_MAX 63u
#define PLL_N_MIN 50u
#define PLL_N_MAX 432u
#define PLL_P_MAX 8u
#define PLL_Q_MIN 2u
#define PLL_Q_MAX 15u
#define VCO_INPUT_MIN (1u * MHZ)
#define VCO_INPUT_MAX (2u * MHZ)
#define VCO_MIN (100u * MHZ)
#define VCO_MAX (432u * MHZ)
#define USB_HZ (48u * MHZ)
#define HZ_PER_WAIT_STATE (30u * MHZ)
#define BUS_SHIFT_MAX 4u
#define SYSTEM_MIN (1u * MHZ)
#define TIMER_PRESCALER_MAX 65536u
#define LOCK_POLLS 16u
/*
 * A board that is a program on a busy machine may show later than it promised that
 * the PLL has locked; one that has not locked by then will not.
 */
#define LOCK_GRACE 20
#define LOCK_GRACE_NS 1000000
#define HSE_START_NS 1000000u

static const __u32 bus_max_hz[SLUICE_SDI_N_BUSES] = {
	SLUICE_CLOCK_BUS0_MAX_HZ,
	SLUICE_CLOCK_BUS1_MAX_HZ,
};

/* The one division of a 64-bit number: 32-bit kernels have no other. */
static __u64 sluice_clock_div(__u64 n, __u32 d, __u32 *ret_rest)
{
#ifdef __KERNEL__
	return div_u64_rem(n, d, ret_rest);
#else
	*ret_rest = (__u32)(n % d);
	return n / d;
#endif
}

static __u32 wait_states(__u32 hz)
{
	return (hz - 1) / HZ_PER_WAIT_STATE;
}

static int board_makes_sense(const struct sluice_clock_board *b)
{
	return b->hsi_hz >= SYSTEM_MIN && b->hsi_hz <= SLUICE_CLOCK_BUS0_MAX_HZ &&
	       b->hse_hz >= PLL_M_MIN * VCO_INPUT_MIN && b->hse_hz <= SLUICE_CLOCK_BUS0_MAX_HZ &&
	       b->rated_hz >= SYSTEM_MIN && b->rated_hz <= b->boost_hz &&
	       b->boost_hz <= VCO_MAX / 2;
}

static int input_in_range(__u32 hse_hz, __u32 m)
{
	return hse_hz >= m * VCO_INPUT_MIN && hse_hz <= m * VCO_INPUT_MAX;
}

/* Everything that follows from the system clock alone. */
static void derive(struct sluice_clock_plan *plan)
{
	__u32 bus;

	plan->wait_states = wait_states(plan->system_hz);
	for (bus = 0; bus < SLUICE_SDI_N_BUSES; bus++) {
		__u32 shift = 0;

		while (shift < BUS_SHIFT_MAX && plan->system_hz > bus_max_hz[bus] << shift)
			shift++;
		plan->bus_shift[bus] = shift;
		plan->bus_hz[bus] = plan->system_hz >> shift;
		plan->timer_clock_hz[bus] = plan->bus_hz[bus] << (shift ? 1 : 0);
	}
}

static void plan_oscillator(struct sluice_clock_plan *plan, __u32 source, __u32 hz)
{
	*plan = (struct sluice_clock_plan){ .system_hz = hz, .source = source };
	derive(plan);
}

/* Whether @a is the better plan of one frequency. */
static int better(const struct sluice_clock_plan *a, const struct sluice_clock_plan *b)
{
	__u64 a48 = (__u64)a->vco_hz * b->q, b48 = (__u64)b->vco_hz * a->q;

	if (!b->m)
		return 1;
	if (a->m != b->m)
		return a->m < b->m; /* VCO input nearer to 2 MHz */
	if (a48 != b48)
		return a48 > b48; /* 48 MHz domain: both are not above */
	return a->vco_hz < b->vco_hz;
}

int sluice_clock_plan(const struct sluice_clock_board *board, __u32 hz,
		      struct sluice_clock_plan *ret_plan)
{
	struct sluice_clock_plan best = { 0 };
	__u32 m, p;

	if (!board_makes_sense(board) || hz < SYSTEM_MIN || hz > board->boost_hz)
		return -ERANGE;
	if (hz == board->hsi_hz || hz == board->hse_hz) {
		plan_oscillator(ret_plan,
				hz == board->hsi_hz ? SLUICE_SDI_CLOCK_SOURCE_HSI :
						      SLUICE_SDI_CLOCK_SOURCE_HSE,
				hz);
		return 0;
	}
	for (p = 2; p <= PLL_P_MAX; p += 2) {
		__u64 vco = (__u64)hz * p;

		if (vco < VCO_MIN || vco > VCO_MAX)
			continue;
		for (m = PLL_M_MIN; m <= PLL_M_MAX; m++) {
			struct sluice_clock_plan plan = { .system_hz = hz,
							  .source = SLUICE_SDI_CLOCK_SOURCE_PLL,
							  .m = m,
							  .p = p };
			__u32 rest;
			__u64 n = sluice_clock_div(vco * m, board->hse_hz, &rest);

			if (rest || n < PLL_N_MIN || n > PLL_N_MAX ||
			    !input_in_range(board->hse_hz, m))
				continue;
			plan.n = (__u32)n;
			plan.vco_hz = (__u32)vco;
			plan.q = (plan.vco_hz + USB_HZ - 1) / USB_HZ;
			plan.pll48_hz = plan.vco_hz / plan.q;
			if (better(&plan, &best))
				best = plan;
		}
	}
	if (!best.m)
		return -EDOM;
	derive(&best);
	*ret_plan = best;
	return 0;
}

static void take_nearer(__u32 candidate, __u32 hz, __u32 *below, __u32 *above)
{
	if (candidate < hz && candidate > *below)
		*below = candidate;
	if (candidate > hz && (!*above || candidate < *above))
		*above = candidate;
}

void sluice_clock_nearest(const struct sluice_clock_board *board, __u32 hz, __u32 *ret_below,
			  __u32 *ret_above)
{
	__u32 m, n, p;

	*ret_below = 0;
	*ret_above = 0;
	if (!board_makes_sense(board))
		return;
	if (board->hsi_hz <= board->boost_hz)
		take_nearer(board->hsi_hz, hz, ret_below, ret_above);
	if (board->hse_hz <= board->boost_hz)
		take_nearer(board->hse_hz, hz, ret_below, ret_above);
	for (m = PLL_M_MIN; m <= PLL_M_MAX; m++) {
		if (!input_in_range(board->hse_hz, m))
			continue;
		for (n = PLL_N_MIN; n <= PLL_N_MAX; n++) {
			__u64 vco_by_m = (__u64)board->hse_hz * n;

			if (vco_by_m < (__u64)VCO_MIN * m || vco_by_m > (__u64)VCO_MAX * m)
				continue;
			for (p = 2; p <= PLL_P_MAX; p += 2) {
				__u32 rest;
				__u64 system = sluice_clock_div(vco_by_m, m * p, &rest);

				if (!rest && system >= SYSTEM_MIN && system <= board->boost_hz)
					take_nearer((__u32)system, hz, ret_below, ret_above);
			}
		}
	}
}

int sluice_clock_timer(const struct sluice_clock_plan *plan, __u32 timer, __u32 hz,
		       __u32 *ret_prescaler, __u32 *ret_hz)
{
	__u32 clock, divider;

	if (!hz || timer >= SLUICE_SDI_N_TIMERS)
		return -EINVAL;
	clock = plan->timer_clock_hz[timer / (SLUICE_SDI_N_TIMERS / SLUICE_SDI_N_BUSES)];
	if (hz > clock)
		return -ERANGE;
	divider = clock / hz;
	if (divider > TIMER_PRESCALER_MAX)
		return -ERANGE;
	*ret_prescaler = divider - 1;
	*ret_hz = clock / divider;
	return 0;
}

/* --- The sequence ----------------------------------------------------------- */

/* What a change needs at every step. */
struct change {
	const struct sluice_clock_ops *ops;
	void *context;
	const struct sluice_clock_board *board;
};

static __u32 get(const struct change *c, size_t offset)
{
	return c->ops->read(c->context, (__u32)offset);
}

static void put(const struct change *c, size_t offset, __u32 value)
{
	c->ops->write(c->context, (__u32)offset, value);
}

#define CLOCK_WORD(name) offsetof(struct sluice_sdi_clock, name)

static __u32 source_bits(__u32 source)
{
	return source << SLUICE_SDI_CLOCK_SOURCE_SHIFT;
}

/* Stores @control and has the board take everything over. */
static int commit_control(const struct change *c, __u32 control)
{
	put(c, CLOCK_WORD(control), control);
	return c->ops->commit(c->context);
}

/* Waits until the status has all of @bits: for @ns, and some more for a slow program. */
static int wait_status(const struct change *c, __u32 bits, __u32 ns)
{
	__u32 i;

	for (i = 0; i <= LOCK_POLLS + LOCK_GRACE; i++) {
		if ((get(c, CLOCK_WORD(status)) & bits) == bits)
			return 0;
		if (i < LOCK_POLLS)
			c->ops->sleep_ns(c->context, ns / LOCK_POLLS + 1);
		else if (i < LOCK_POLLS + LOCK_GRACE)
			c->ops->sleep_ns(c->context, LOCK_GRACE_NS);
	}
	return -EIO;
}

static void put_timers(const struct change *c, const __u32 timer[SLUICE_SDI_N_TIMERS])
{
	__u32 i;

	for (i = 0; i < SLUICE_SDI_N_TIMERS; i++)
		put(c, CLOCK_WORD(timer) + i * sizeof(__u32), timer[i]);
}

static void put_plan(const struct change *c, const struct sluice_clock_plan *plan,
		     const __u32 timer[SLUICE_SDI_N_TIMERS])
{
	__u32 bus, prescalers = 0;

	for (bus = 0; bus < SLUICE_SDI_N_BUSES; bus++)
		prescalers |= plan->bus_shift[bus] << (4 * bus);
	put(c, CLOCK_WORD(prescalers), prescalers);
	put_timers(c, timer);
}

/* What the board measures is what was meant. */
static int verify(const struct change *c, const struct sluice_clock_plan *plan)
{
	__u32 bus, status = get(c, CLOCK_WORD(status));

	if ((status >> SLUICE_SDI_CLOCK_SOURCE_SHIFT & 3) != plan->source ||
	    get(c, CLOCK_WORD(system_hz)) != plan->system_hz)
		return -EIO;
	if (plan->source == SLUICE_SDI_CLOCK_SOURCE_PLL &&
	    (!(status & SLUICE_SDI_CLOCK_PLL_LOCKED) ||
	     get(c, CLOCK_WORD(pll48_hz)) != plan->pll48_hz))
		return -EIO;
	for (bus = 0; bus < SLUICE_SDI_N_BUSES; bus++) {
		if (get(c, CLOCK_WORD(bus_hz) + bus * sizeof(__u32)) != plan->bus_hz[bus])
			return -EIO;
	}
	return 0;
}

/* To HSI, with the wait states of now or more, then everything else off. */
static int leave_for_hsi(const struct change *c)
{
	__u32 states = wait_states(c->board->hsi_hz);
	__u32 control = get(c, CLOCK_WORD(control)) & ~source_bits(3);
	int err;

	if (get(c, CLOCK_WORD(wait_states)) < states)
		put(c, CLOCK_WORD(wait_states), states);
	control |= SLUICE_SDI_CLOCK_HSI_ON | source_bits(SLUICE_SDI_CLOCK_SOURCE_HSI);
	err = commit_control(c, control);
	if (!err && get(c, CLOCK_WORD(system_hz)) != c->board->hsi_hz)
		err = -EIO;
	if (!err)
		err = commit_control(c, control & ~SLUICE_SDI_CLOCK_PLL_ON);
	return err;
}

/* From HSI to @plan. */
static int go_to(const struct change *c, const struct sluice_clock_plan *plan,
		 const __u32 timer[SLUICE_SDI_N_TIMERS])
{
	__u32 hsi_states = wait_states(c->board->hsi_hz);
	__u32 control = SLUICE_SDI_CLOCK_HSI_ON;
	int err;

	put(c, CLOCK_WORD(pll), 0);
	if (plan->source == SLUICE_SDI_CLOCK_SOURCE_PLL)
		put(c, CLOCK_WORD(pll),
		    plan->m << SLUICE_SDI_PLL_M_SHIFT | plan->n << SLUICE_SDI_PLL_N_SHIFT |
			    (plan->p / 2 - 1) << SLUICE_SDI_PLL_P_SHIFT |
			    plan->q << SLUICE_SDI_PLL_Q_SHIFT);
	if (plan->source != SLUICE_SDI_CLOCK_SOURCE_HSI) {
		control |= SLUICE_SDI_CLOCK_HSE_ON;
		err = commit_control(c, control);
		if (!err)
			err = wait_status(c, SLUICE_SDI_CLOCK_HSE_READY, HSE_START_NS);
		if (err)
			return err;
	}
	if (plan->source == SLUICE_SDI_CLOCK_SOURCE_PLL) {
		control |= SLUICE_SDI_CLOCK_PLL_ON;
		err = commit_control(c, control);
		if (!err)
			err = wait_status(c, SLUICE_SDI_CLOCK_PLL_LOCKED, c->board->lock_ns);
		if (err)
			return err;
	}
	/* Before the switch what both clocks need, after it what this one needs. */
	put(c, CLOCK_WORD(wait_states),
	    plan->wait_states > hsi_states ? plan->wait_states : hsi_states);
	put_plan(c, plan, timer);
	err = commit_control(c, control);
	if (err)
		return err;
	control |= source_bits(plan->source);
	err = commit_control(c, control);
	if (!err)
		err = verify(c, plan);
	if (err)
		return err;
	put(c, CLOCK_WORD(wait_states), plan->wait_states);
	return commit_control(c, control);
}

/* Timer words for a plan; a frequency that it cannot have is an error, or turns it off. */
static int timer_words(const struct sluice_clock_plan *plan,
		       const __u32 timer_hz[SLUICE_SDI_N_TIMERS], int must_have,
		       __u32 ret_words[SLUICE_SDI_N_TIMERS])
{
	__u32 i, prescaler, hz;

	for (i = 0; i < SLUICE_SDI_N_TIMERS; i++) {
		ret_words[i] = 0;
		if (!timer_hz[i])
			continue;
		if (!sluice_clock_timer(plan, i, timer_hz[i], &prescaler, &hz))
			ret_words[i] = SLUICE_SDI_TIMER_ON | prescaler;
		else if (must_have)
			return -ERANGE;
	}
	return 0;
}

/* A step failed: HSI alone, whatever the board makes of it. */
static void fall_back(const struct change *c, const __u32 timer_hz[SLUICE_SDI_N_TIMERS],
		      struct sluice_clock_plan *ret_now)
{
	__u32 timer[SLUICE_SDI_N_TIMERS];

	plan_oscillator(ret_now, SLUICE_SDI_CLOCK_SOURCE_HSI, c->board->hsi_hz);
	timer_words(ret_now, timer_hz, 0, timer);
	leave_for_hsi(c);
	put(c, CLOCK_WORD(pll), 0);
	put(c, CLOCK_WORD(wait_states), ret_now->wait_states);
	put_plan(c, ret_now, timer);
	commit_control(c, SLUICE_SDI_CLOCK_HSI_ON);
}

int sluice_clock_change(const struct sluice_clock_ops *ops, void *context,
			const struct sluice_clock_board *board,
			const struct sluice_clock_plan *plan,
			const __u32 timer_hz[SLUICE_SDI_N_TIMERS],
			struct sluice_clock_plan *ret_now)
{
	const struct change c = { .ops = ops, .context = context, .board = board };
	__u32 timer[SLUICE_SDI_N_TIMERS];
	int err;

	err = timer_words(plan, timer_hz, 1, timer);
	if (err)
		return err;
	err = ops->quiesce(context);
	if (err)
		return err;
	err = leave_for_hsi(&c);
	if (!err)
		err = go_to(&c, plan, timer);
	if (err) {
		fall_back(&c, timer_hz, ret_now);
		err = -EIO;
	} else {
		*ret_now = *plan;
	}
	ops->resume(context);
	return err;
}
