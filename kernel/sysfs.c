// SPDX-License-Identifier: GPL-2.0
/*
 * sysfs.c - what a board shows in /sys/class/misc/sluiceN.
 *
 * One value a file, or one for each bus and timer on a line. A board that is being
 * reset or broken answers with the errors of the ioctls.
 */
#include <linux/device.h>
#include <linux/mm.h>

#include "board.h"
#include "clk.h"
#include "sdi.h"
#include "sysfs.h"

static struct sluice_board *sluice_dev_board(struct device *dev)
{
	return container_of(dev_get_drvdata(dev), struct sluice_board, misc);
}

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char *const names[] = {
		[SLUICE_BOARD_LIVE] = "live",
		[SLUICE_BOARD_IN_RESET] = "in reset",
		[SLUICE_BOARD_BROKEN] = "broken",
		[SLUICE_BOARD_GONE] = "gone",
	};

	return sysfs_emit(buf, "%s\n", names[READ_ONCE(sluice_dev_board(dev)->state)]);
}
static DEVICE_ATTR_RO(state);

static ssize_t resets_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(sluice_dev_board(dev)->n_resets));
}
static DEVICE_ATTR_RO(resets);

static struct attribute *sluice_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_resets.attr,
	NULL
};

static const struct attribute_group sluice_group = {
	.attrs = sluice_attrs,
};

/* --- boards with the Device Interface ---------------------------------------------------- */

static ssize_t model_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", sluice_dev_board(dev)->sdi->figures.name);
}
static DEVICE_ATTR_RO(model);

static ssize_t sluice_info_show(struct device *dev, char *buf,
				u64 (*value)(const struct sluice_info *info))
{
	struct sluice_board *board = sluice_dev_board(dev);
	struct sluice_info info = {};
	int err = sluice_board_hold(board);

	if (err)
		return err;
	sluice_sdi_describe(board->sdi, &info);
	sluice_board_leave(board);
	return sysfs_emit(buf, "%llu\n", value(&info));
}

#define SLUICE_INFO_ATTR(name, field)							\
	static u64 name##_of(const struct sluice_info *info)				\
	{										\
		return info->field;							\
	}										\
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr,	\
				   char *buf)						\
	{										\
		return sluice_info_show(dev, buf, name##_of);				\
	}										\
	static DEVICE_ATTR_RO(name)

SLUICE_INFO_ATTR(memory_size, memory_size);
SLUICE_INFO_ATTR(memory_free, memory_free);
SLUICE_INFO_ATTR(queues, n_queues);
SLUICE_INFO_ATTR(queues_free, n_queues_free);

static ssize_t faults_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct sluice_board *board = sluice_dev_board(dev);
	u64 n;
	int err = sluice_board_enter(board);

	if (err)
		return err;
	n = sluice_sdi_read64(board->sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(n_faults));
	sluice_board_leave(board);
	return sysfs_emit(buf, "%llu\n", n);
}
static DEVICE_ATTR_RO(faults);

static struct attribute *sluice_sdi_attrs[] = {
	&dev_attr_model.attr,
	&dev_attr_memory_size.attr,
	&dev_attr_memory_free.attr,
	&dev_attr_queues.attr,
	&dev_attr_queues_free.attr,
	&dev_attr_faults.attr,
	NULL
};

static umode_t sluice_sdi_visible(struct kobject *kobj, struct attribute *attr, int index)
{
	return sluice_dev_board(kobj_to_dev(kobj))->sdi ? attr->mode : 0;
}

static const struct attribute_group sluice_sdi_group = {
	.attrs = sluice_sdi_attrs,
	.is_visible = sluice_sdi_visible,
};

/* --- clocks ------------------------------------------------------------------------------ */

static int sluice_clock_now(struct device *dev, struct sluice_clock *now)
{
	struct sluice_board *board = sluice_dev_board(dev);
	int err = sluice_board_enter(board);

	if (err)
		return err;
	sluice_clk_read(board->sdi, now);
	sluice_board_leave(board);
	return 0;
}

static ssize_t source_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char *const names[] = { "hsi", "hse", "pll", "?" };
	struct sluice_clock now = {};
	int err = sluice_clock_now(dev, &now);

	return err ? err : sysfs_emit(buf, "%s\n", names[now.source & 3]);
}
static DEVICE_ATTR_RO(source);

static ssize_t sluice_clock_show(struct device *dev, char *buf, size_t offset, u32 count)
{
	struct sluice_clock now = {};
	int err = sluice_clock_now(dev, &now);
	const u32 *values = (const u32 *)((const u8 *)&now + offset);
	ssize_t n = 0;
	u32 i;

	if (err)
		return err;
	for (i = 0; i < count; i++)
		n += sysfs_emit_at(buf, n, "%u%c", values[i], i + 1 < count ? ' ' : '\n');
	return n;
}

#define SLUICE_CLOCK_ATTR(name, field)							\
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr,	\
				   char *buf)						\
	{										\
		return sluice_clock_show(dev, buf, offsetof(struct sluice_clock, field),	\
					 sizeof_field(struct sluice_clock, field) / sizeof(u32)); \
	}										\
	static DEVICE_ATTR_RO(name)

SLUICE_CLOCK_ATTR(system_hz, system_hz);
SLUICE_CLOCK_ATTR(wait_states, wait_states);
SLUICE_CLOCK_ATTR(bus_hz, bus_hz);
SLUICE_CLOCK_ATTR(timers, timer_hz);
SLUICE_CLOCK_ATTR(rated_hz, rated_hz);
SLUICE_CLOCK_ATTR(boost_hz, boost_hz);

static struct attribute *sluice_clock_attrs[] = {
	&dev_attr_source.attr,
	&dev_attr_system_hz.attr,
	&dev_attr_wait_states.attr,
	&dev_attr_bus_hz.attr,
	&dev_attr_timers.attr,
	&dev_attr_rated_hz.attr,
	&dev_attr_boost_hz.attr,
	NULL
};

static umode_t sluice_clock_visible(struct kobject *kobj, struct attribute *attr, int index)
{
	const struct sluice_sdi *sdi = sluice_dev_board(kobj_to_dev(kobj))->sdi;

	return sdi && (sdi->figures.capabilities & SLUICE_SDI_CAP_CLOCK) ? attr->mode : 0;
}

static const struct attribute_group sluice_clock_group = {
	.name = "clock",
	.attrs = sluice_clock_attrs,
	.is_visible = sluice_clock_visible,
};

const struct attribute_group *sluice_groups[] = {
	&sluice_group,
	&sluice_sdi_group,
	&sluice_clock_group,
	NULL
};
