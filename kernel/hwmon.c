// SPDX-License-Identifier: GPL-2.0
/*
 * hwmon.c - the clocks of a board as sensors, where the kernel has hwmon.
 *
 * hwmon knows no frequencies, so these are attributes of our own, named as the
 * graphics drivers name theirs: freqN_input in Hz, and freqN_label. Boards have
 * neither temperatures nor power that the Device Interface could tell of.
 */
#include <linux/hwmon-sysfs.h>
#include <linux/hwmon.h>

#include "board.h"
#include "clk.h"
#include "hwmon.h"
#include "sdi.h"

/* A sensor of each board with a clock block; off is 0 Hz. */
static const struct {
	const char *label;
	size_t offset;
} sluice_freqs[] = {
	{ "system", offsetof(struct sluice_clock, system_hz) },
	{ "bus 0", offsetof(struct sluice_clock, bus_hz[0]) },
	{ "bus 1", offsetof(struct sluice_clock, bus_hz[1]) },
	{ "timer 0", offsetof(struct sluice_clock, timer_hz[0]) },
	{ "timer 1", offsetof(struct sluice_clock, timer_hz[1]) },
	{ "timer 2", offsetof(struct sluice_clock, timer_hz[2]) },
	{ "timer 3", offsetof(struct sluice_clock, timer_hz[3]) },
};

static ssize_t sluice_freq_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct sluice_board *board = dev_get_drvdata(dev);
	size_t offset = sluice_freqs[to_sensor_dev_attr(attr)->index].offset;
	struct sluice_clock now = {};
	int err = sluice_board_enter(board);

	if (err)
		return err;
	sluice_clk_read(board->sdi, &now);
	sluice_board_leave(board);
	return sysfs_emit(buf, "%u\n", *(const u32 *)((const u8 *)&now + offset));
}

static ssize_t sluice_label_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", sluice_freqs[to_sensor_dev_attr(attr)->index].label);
}

#define SLUICE_FREQ(n)									\
	static SENSOR_DEVICE_ATTR(freq##n##_input, 0444, sluice_freq_show, NULL, (n) - 1);	\
	static SENSOR_DEVICE_ATTR(freq##n##_label, 0444, sluice_label_show, NULL, (n) - 1)

SLUICE_FREQ(1);
SLUICE_FREQ(2);
SLUICE_FREQ(3);
SLUICE_FREQ(4);
SLUICE_FREQ(5);
SLUICE_FREQ(6);
SLUICE_FREQ(7);

#define SLUICE_FREQ_ATTRS(n)							\
	&sensor_dev_attr_freq##n##_input.dev_attr.attr,				\
	&sensor_dev_attr_freq##n##_label.dev_attr.attr

static struct attribute *sluice_hwmon_attrs[] = {
	SLUICE_FREQ_ATTRS(1),
	SLUICE_FREQ_ATTRS(2),
	SLUICE_FREQ_ATTRS(3),
	SLUICE_FREQ_ATTRS(4),
	SLUICE_FREQ_ATTRS(5),
	SLUICE_FREQ_ATTRS(6),
	SLUICE_FREQ_ATTRS(7),
	NULL
};

static_assert(ARRAY_SIZE(sluice_hwmon_attrs) == 2 * ARRAY_SIZE(sluice_freqs) + 1);
ATTRIBUTE_GROUPS(sluice_hwmon);

/* A board without sensors works as well. */
void sluice_hwmon_add(struct sluice_board *board)
{
	struct device *hwmon;

	if (!board->sdi || !(board->sdi->figures.capabilities & SLUICE_SDI_CAP_CLOCK))
		return;
	hwmon = hwmon_device_register_with_groups(board->parent, "sluice", board,
						  sluice_hwmon_groups);
	if (IS_ERR(hwmon))
		dev_warn(board->parent, "%s: no sensors: %ld\n", board->node, PTR_ERR(hwmon));
	else
		board->hwmon = hwmon;
}

/* When this returns nobody reads a sensor. */
void sluice_hwmon_remove(struct sluice_board *board)
{
	if (board->hwmon)
		hwmon_device_unregister(board->hwmon);
	board->hwmon = NULL;
}
