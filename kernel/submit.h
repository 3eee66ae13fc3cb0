/* SPDX-License-Identifier: GPL-2.0 */
/*
 * submit.h - the calls of programs on queues: SUBMIT, WAIT, NOTIFY, poll().
 */
#ifndef SLUICE_SUBMIT_H
#define SLUICE_SUBMIT_H

#include <linux/types.h>

struct sluice_file;
struct sluice_notify;
struct sluice_submit;
struct sluice_wait;

bool sluice_submit_readable(struct sluice_file *sf);
int sluice_submit_notify(struct sluice_file *sf, struct sluice_notify *arg);
int sluice_submit_call(struct sluice_file *sf, struct sluice_submit *arg);
int sluice_submit_wait(struct sluice_file *sf, struct sluice_wait *arg);

#endif /* SLUICE_SUBMIT_H */
