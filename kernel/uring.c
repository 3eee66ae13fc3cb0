// SPDX-License-Identifier: GPL-2.0
/*
 * uring.c - entries as io_uring commands.
 *
 * From the moment that a command is queued it is in one place: with the entry in the
 * ring, with one that waits for room, or in the list of those that are over. It moves
 * with the ring's lock held and is completed by the queue's work alone, so once. The
 * core of older kernels cannot cancel commands: whatever ends a queue ends them, and so does a
 * close of the file by the program that gave them.
 */
#include <linux/file.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "board.h"
#include "compat.h"
#include "file.h"
#include "queue.h"
#include "ring.h"
#include "sdi.h"
#include "slab.h"
#include "uring.h"

/**
 * struct sluice_command - what we keep in a command
 * @list: in sluice_ring.flying or, once it is over, in sluice_ring.ended
 * @owner: the files of the program that gave it
 * @res2: what it ends with, as the next
 * @res: 0 or a negative error
 * @slot: of its entry, while the board has that
 */
struct sluice_command {
	struct list_head list;
	union {
		const void *owner;
		u64 res2;
	};
	union {
		s32 res;
		u32 slot;
	};
};

static struct sluice_command *sluice_command(struct io_uring_cmd *cmd)
{
	BUILD_BUG_ON(sizeof(struct sluice_command) > sizeof(cmd->pdu));
	return (struct sluice_command *)cmd->pdu;
}

static struct io_uring_cmd *sluice_command_of(struct sluice_command *command)
{
	return container_of((u8 (*)[sizeof_field(struct io_uring_cmd, pdu)])command,
			    struct io_uring_cmd, pdu);
}

/* The board has the command's entry now. With the ring's lock held. */
void sluice_uring_fly(struct sluice_hwq *q, struct io_uring_cmd *cmd, u32 slot)
{
	struct sluice_command *command = sluice_command(cmd);

	command->slot = slot;
	list_add_tail(&command->list, &q->ring.flying);
}

/**
 * sluice_uring_end - a command is over
 * @q: its queue, with the ring's lock held
 * @cmd: it: its entry has come back, or belongs to nobody from now on
 * @res: 0 or a negative error
 * @res2: what a ring with 32-byte completions shows beside it
 *
 * The caller has the work run.
 */
void sluice_uring_end(struct sluice_hwq *q, struct io_uring_cmd *cmd, int res, u64 res2)
{
	struct sluice_command *command = sluice_command(cmd);

	lockdep_assert_held(&q->ring.lock);
	list_move_tail(&command->list, &q->ring.ended);
	command->res = res;
	command->res2 = res2;
	q->ring.n_async--;
}

/* Completes the commands that are over. By the queue's work, with no lock held. */
void sluice_uring_finish(struct sluice_hwq *q)
{
	struct sluice_command *command, *next;
	LIST_HEAD(ended);

	spin_lock(&q->ring.lock);
	list_splice_init(&q->ring.ended, &ended);
	spin_unlock(&q->ring.lock);
	list_for_each_entry_safe(command, next, &ended, list)
		sluice_uring_done(sluice_command_of(command), command->res, command->res2);
}

/* Takes the command in: the program may write to its memory while we look. */
static int sluice_uring_get(struct io_uring_cmd *cmd, unsigned int issue_flags,
			    struct sluice_uring_cmd *arg)
{
	const u64 *from = sluice_uring_data(cmd);
	u64 *to = (u64 *)arg;
	size_t i;

	BUILD_BUG_ON(sizeof(*arg) != 80);
	if (cmd->cmd_op != SLUICE_URING_SUBMIT)
		return -ENOTTY;
	if (!(issue_flags & IO_URING_F_SQE128))
		return -EINVAL;
	for (i = 0; i < sizeof(*arg) / sizeof(*to); i++)
		to[i] = READ_ONCE(from[i]);
	return arg->flags || arg->reserved ? -EINVAL : 0;
}

/* Into the ring, or behind those who wait for room there. With the ring's lock held. */
static int sluice_uring_put(struct sluice_hwq *q, struct io_uring_cmd *cmd,
			    const struct sluice_sdi_entry *entry, struct sluice_waiting **spare)
{
	struct sluice_ring *ring = &q->ring;
	struct sluice_command *command = sluice_command(cmd);

	int err = 0;

	if (q->dead)
		return -ECONNRESET;
	command->owner = current->files;
	/* Before the board hears of it: its interrupt may be here before we have left. */
	ring->n_async++;
	if (!sluice_ring_put(q, entry, 1, cmd)) {
		if (ring->n_waiting >= q->n_entries)
			err = -ENOBUFS;
		else if (!*spare)
			err = -EAGAIN;
		if (err) {
			ring->n_async--;
			return err;
		}
		INIT_LIST_HEAD(&command->list);
		(*spare)->cmd = cmd;
		(*spare)->entry = *entry;
		list_add_tail(&(*spare)->list, &ring->waiting);
		ring->n_waiting++;
		*spare = NULL;
	}
	sluice_ring_watch(q);
	return 0;
}

/* Once this succeeds the command may be over: it is not to be looked at any more. */
static int sluice_uring_queue(struct sluice_hwq *q, struct io_uring_cmd *cmd,
			      const struct sluice_sdi_entry *entry)
{
	struct sluice_waiting *spare = NULL;
	int err;

	if (!(q->flags & SLUICE_QUEUE_KERNEL))
		return -EINVAL;
	spin_lock(&q->ring.lock);
	err = sluice_uring_put(q, cmd, entry, &spare);
	spin_unlock(&q->ring.lock);
	if (err != -EAGAIN)
		return err;
	spare = sluice_slab_alloc(&sluice_waiting_slab);
	if (!spare)
		return -ENOMEM;
	spin_lock(&q->ring.lock);
	err = sluice_uring_put(q, cmd, entry, &spare);
	spin_unlock(&q->ring.lock);
	sluice_slab_free(&sluice_waiting_slab, spare);
	return err;
}

static int sluice_uring_submit(struct sluice_file *sf, struct io_uring_cmd *cmd, bool may_sleep,
			       const struct sluice_uring_cmd *arg)
{
	struct sluice_board *board = sf->board;
	struct sluice_hwq *q;
	int err = 0;

	/* Asked again where it may sleep, by a thread of io_uring's. */
	if (!may_sleep && !sluice_board_try_hold(board))
		return -EAGAIN;
	if (may_sleep)
		err = sluice_board_hold(board);
	if (err)
		return err;
	q = sluice_queue_lookup(sf, arg->queue);
	err = q ? sluice_uring_queue(q, cmd, (const struct sluice_sdi_entry *)arg->entry) :
		  -ENOENT;
	sluice_board_leave(board);
	sluice_queue_put(q);
	return err;
}

/**
 * sluice_uring_cmd - .uring_cmd of the device file
 * @cmd: of io_uring
 * @issue_flags: of io_uring
 *
 * Return: -EIOCBQUEUED; or a negative error, and nothing has happened.
 */
int sluice_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct sluice_uring_cmd arg;
	struct file *file;
	int err = sluice_uring_get(cmd, issue_flags, &arg);

	BUILD_BUG_ON(sizeof(arg.entry) != sizeof(struct sluice_sdi_entry));
	if (err)
		return err;
	if (!(cmd->file->f_mode & FMODE_WRITE))
		return -EBADF;
	/* The command's own reference is gone as soon as it is over, perhaps before we are. */
	file = get_file(cmd->file);
	err = sluice_uring_submit(file->private_data, cmd, !(issue_flags & IO_URING_F_NONBLOCK),
				  &arg);
	fput(file);
	return err ? err : -EIOCBQUEUED;
}

/* Ends what @owner gave to one queue. Entries stay where they are, and are nobody's. */
static void sluice_uring_cancel(struct sluice_hwq *q, const void *owner)
{
	struct sluice_ring *ring = &q->ring;
	struct sluice_command *command, *next;
	struct sluice_waiting *waiting;
	u32 before;

	spin_lock(&ring->lock);
	before = ring->n_async;
	list_for_each_entry_safe(command, next, &ring->flying, list) {
		struct sluice_slot *slot = &ring->slots[command->slot];

		if (command->owner != owner)
			continue;
		slot->taker = SLUICE_TAKER_GONE;
		sluice_uring_end(q, slot->cmd, -ECANCELED, 0);
	}
	/* Those that wait keep their place, as fences count them. */
	list_for_each_entry(waiting, &ring->waiting, list) {
		if (!waiting->cmd || sluice_command(waiting->cmd)->owner != owner)
			continue;
		waiting->entry = (struct sluice_sdi_entry){ .opcode = SLUICE_SDI_ENTRY_NOP };
		sluice_uring_end(q, waiting->cmd, -ECANCELED, 0);
		waiting->cmd = NULL;
	}
	if (ring->n_async != before)
		sluice_ring_hand_over(q);
	spin_unlock(&ring->lock);
}

/**
 * sluice_uring_flush - a program closes a descriptor of the file, or ends
 * @sf: the file
 * @owner: the program's files
 *
 * The file itself lives on as long as a command has it.
 */
void sluice_uring_flush(struct sluice_file *sf, const void *owner)
{
	struct sluice_object *object;
	unsigned long handle;

	xa_for_each(&sf->objects, handle, object) {
		struct sluice_hwq *q = sluice_queue_lookup(sf, handle);

		if (q)
			sluice_uring_cancel(q, owner);
		sluice_queue_put(q);
	}
}
