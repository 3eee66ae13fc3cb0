// SPDX-License-Identifier: GPL-2.0
/*
 * clk.c - the clocks of a board: how the shared planner and sequence reach it.
 *
 * Which dividers, and in which order, is shared/clock.c; here are the page of
 * registers, the board's pause, and who may ask.
 */
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/ktime.h>

#include "board.h"
#include "clk.h"
#include "file.h"
#include "sdi.h"
#include "shared/clock.h"
#include "trace.h"
#include "watchdog.h"

#define CLOCK_AT(field) offsetof(struct sluice_sdi_clock, field)

/* The board takes over a few words: it needs no time for that. */
#define SLUICE_CLOCK_COMMIT_MS 1000

static u32 sluice_clk_word(struct sluice_sdi *sdi, u32 offset)
{
	return sluice_sdi_read(sdi, SLUICE_SDI_PAGE_CLOCK, offset);
}

static __u32 sluice_clk_op_read(void *context, __u32 offset)
{
	return sluice_clk_word(context, offset);
}

static void sluice_clk_op_write(void *context, __u32 offset, __u32 value)
{
	sluice_sdi_write(context, SLUICE_SDI_PAGE_CLOCK, offset, value);
}

static int sluice_clk_op_commit(void *context)
{
	struct sluice_sdi *sdi = context;
	u32 request = sluice_clk_word(sdi, CLOCK_AT(acknowledge)) + 1;
	ktime_t end = ktime_add_ms(ktime_get(), SLUICE_CLOCK_COMMIT_MS);
	bool late = false;

	sluice_sdi_write(sdi, SLUICE_SDI_PAGE_CLOCK, CLOCK_AT(request), request);
	sluice_sdi_notify(sdi);
	while (sluice_clk_word(sdi, CLOCK_AT(acknowledge)) != request) {
		if (late)
			return -ETIMEDOUT;
		usleep_range(20, 100);
		late = ktime_after(ktime_get(), end);
	}
	return sluice_clk_word(sdi, CLOCK_AT(result)) == SLUICE_SDI_RESULT_OK ? 0 : -EIO;
}

static int sluice_clk_op_quiesce(void *context)
{
	struct sluice_sdi *sdi = context;
	int err = sluice_sdi_request(sdi, SLUICE_SDI_ACTION_PAUSE, 0);

	if (err)
		return err;
	sluice_sdi_write64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(irq_mask), U64_MAX);
	return 0;
}

static void sluice_clk_op_resume(void *context)
{
	struct sluice_sdi *sdi = context;

	sluice_sdi_write64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(irq_mask),
			   sdi->mode == SLUICE_IRQ_POLL ? U64_MAX : 0);
	/* What was held back is not raised later: somebody has to look. */
	sluice_watchdog_kick(sdi);
	sluice_sdi_request(sdi, SLUICE_SDI_ACTION_RESUME, 0);
}

static void sluice_clk_op_sleep(void *context, __u32 ns)
{
	u32 us = DIV_ROUND_UP(ns, 1000);

	usleep_range(us, us + us / 4 + 1);
}

static const struct sluice_clock_ops sluice_clk_ops = {
	.read = sluice_clk_op_read,
	.write = sluice_clk_op_write,
	.commit = sluice_clk_op_commit,
	.quiesce = sluice_clk_op_quiesce,
	.resume = sluice_clk_op_resume,
	.sleep_ns = sluice_clk_op_sleep,
};

static void sluice_clk_board(struct sluice_sdi *sdi, struct sluice_clock_board *board)
{
	board->hsi_hz = sluice_clk_word(sdi, CLOCK_AT(hsi_hz));
	board->hse_hz = sluice_clk_word(sdi, CLOCK_AT(hse_hz));
	board->rated_hz = sluice_clk_word(sdi, CLOCK_AT(rated_hz));
	board->boost_hz = sluice_clk_word(sdi, CLOCK_AT(boost_hz));
	board->lock_ns = sluice_clk_word(sdi, CLOCK_AT(lock_ns));
}

/* With the clock lock held, and the board entered or nobody else's. */
static int sluice_clk_change(struct sluice_sdi *sdi, const struct sluice_clock_board *board,
			     u32 hz, bool boost)
{
	struct sluice_clock_plan plan, now;
	int err = sluice_clock_plan(board, hz, &plan);

	if (err)
		return err;
	if (hz > board->rated_hz && !boost)
		return -EPERM;
	err = sluice_clock_change(&sluice_clk_ops, sdi, board, &plan, sdi->timer_hz, &now);
	trace_sluice_clock(sdi->board->node, hz, sluice_clk_word(sdi, CLOCK_AT(system_hz)), err);
	return err;
}

/**
 * sluice_clk_start - after a reset the board runs from its internal oscillator: go to
 *	the frequency that it is rated for
 * @sdi: just reset; nobody else uses it
 *
 * A board that does not follow still works, slowly.
 */
void sluice_clk_start(struct sluice_sdi *sdi)
{
	struct sluice_clock_board board;
	int err;

	if (!(sdi->figures.capabilities & SLUICE_SDI_CAP_CLOCK))
		return;
	mutex_lock(&sdi->clock_lock);
	memset(sdi->timer_hz, 0, sizeof(sdi->timer_hz));
	sluice_clk_board(sdi, &board);
	err = sluice_clk_change(sdi, &board, board.rated_hz, false);
	mutex_unlock(&sdi->clock_lock);
	if (err)
		dev_warn(sdi->board->parent, "%s: no rated clock of %u Hz: %d\n", sdi->board->node,
			 board.rated_hz, err);
}

/* Fills in all that is known of the clocks. With the board entered. */
void sluice_clk_read(struct sluice_sdi *sdi, struct sluice_clock *now)
{
	u32 status = sluice_clk_word(sdi, CLOCK_AT(status));
	u32 pll = sluice_clk_word(sdi, CLOCK_AT(pll));
	struct sluice_clock_board board;
	u32 i;

	*now = (struct sluice_clock){ .size = now->size, .flags = now->flags };
	sluice_clk_board(sdi, &board);
	now->system_hz = sluice_clk_word(sdi, CLOCK_AT(system_hz));
	now->source = status >> SLUICE_SDI_CLOCK_SOURCE_SHIFT & 3;
	if (status & SLUICE_SDI_CLOCK_PLL_LOCKED) {
		now->m = pll >> SLUICE_SDI_PLL_M_SHIFT & 0x3f;
		now->n = pll >> SLUICE_SDI_PLL_N_SHIFT & 0x1ff;
		now->p = 2 * ((pll >> SLUICE_SDI_PLL_P_SHIFT & 3) + 1);
		now->q = pll >> SLUICE_SDI_PLL_Q_SHIFT & 0xf;
	}
	now->wait_states = sluice_clk_word(sdi, CLOCK_AT(wait_states));
	now->pll48_hz = sluice_clk_word(sdi, CLOCK_AT(pll48_hz));
	for (i = 0; i < SLUICE_SDI_N_BUSES; i++)
		now->bus_hz[i] = sluice_clk_word(sdi, CLOCK_AT(bus_hz[0]) + i * sizeof(u32));
	for (i = 0; i < SLUICE_SDI_N_TIMERS; i++)
		now->timer_hz[i] = sluice_clk_word(sdi, CLOCK_AT(timer_hz[0]) + i * sizeof(u32));
	now->hsi_hz = board.hsi_hz;
	now->hse_hz = board.hse_hz;
	now->rated_hz = board.rated_hz;
	now->boost_hz = board.boost_hz;
}

/* Enters a board that has a clock block, and takes its clock lock. */
static int sluice_clk_begin(struct sluice_board *board)
{
	int err = sluice_board_enter(board);

	if (err)
		return err;
	if (!board->sdi || !(board->sdi->figures.capabilities & SLUICE_SDI_CAP_CLOCK)) {
		sluice_board_leave(board);
		return -EOPNOTSUPP;
	}
	mutex_lock(&board->sdi->clock_lock);
	return 0;
}

static void sluice_clk_end(struct sluice_board *board)
{
	mutex_unlock(&board->sdi->clock_lock);
	sluice_board_leave(board);
}

int sluice_clk_call(struct sluice_file *sf, struct sluice_clock *arg)
{
	struct sluice_clock_board board;
	int err;

	if ((arg->flags & SLUICE_CLOCK_BOOST) && !(arg->flags & SLUICE_CLOCK_SET))
		return -EINVAL;
	err = sluice_clk_begin(sf->board);
	if (err)
		return err;
	if (arg->flags & SLUICE_CLOCK_SET) {
		sluice_clk_board(sf->board->sdi, &board);
		err = capable(CAP_SYS_RAWIO) ?
			      sluice_clk_change(sf->board->sdi, &board, arg->system_hz,
						arg->flags & SLUICE_CLOCK_BOOST) :
			      -EPERM;
	}
	if (!err)
		sluice_clk_read(sf->board->sdi, arg);
	sluice_clk_end(sf->board);
	return err;
}

static int sluice_clk_set_timer(struct sluice_sdi *sdi, struct sluice_timer *arg)
{
	struct sluice_clock_board board;
	struct sluice_clock_plan plan;
	u32 prescaler, got;
	int err;

	sluice_clk_board(sdi, &board);
	err = sluice_clock_plan(&board, sluice_clk_word(sdi, CLOCK_AT(system_hz)), &plan);
	if (err)
		return -EIO;
	err = sluice_clock_timer(&plan, arg->timer, arg->hz, &prescaler, &got);
	if (err)
		return err;
	sluice_sdi_write(sdi, SLUICE_SDI_PAGE_CLOCK,
			 CLOCK_AT(timer[0]) + arg->timer * sizeof(u32),
			 SLUICE_SDI_TIMER_ON | prescaler);
	err = sluice_clk_op_commit(sdi);
	if (err)
		return err;
	sdi->timer_hz[arg->timer] = arg->hz;
	arg->hz = got;
	return 0;
}

int sluice_clk_timer_call(struct sluice_file *sf, struct sluice_timer *arg)
{
	int err;

	if (arg->timer >= SLUICE_SDI_N_TIMERS)
		return -EINVAL;
	err = sluice_clk_begin(sf->board);
	if (err)
		return err;
	err = capable(CAP_SYS_RAWIO) ? sluice_clk_set_timer(sf->board->sdi, arg) : -EPERM;
	sluice_clk_end(sf->board);
	return err;
}
