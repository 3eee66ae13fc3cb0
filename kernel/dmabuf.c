// SPDX-License-Identifier: GPL-2.0
/*
 * dmabuf.c - memory objects as dma-bufs, and dma-bufs as memory objects.
 *
 * Host memory can be exported to any device. Its pages live until the dma-buf
 * does not, even when the board that they were allocated for is unbound before.
 * Device memory is for importers that do peer-to-peer alone; while such a
 * one has it mapped, resets that are asked for are refused. Importers learn of
 * the end of the board, and must not reach for its memory any more.
 */
#include <linux/dma-buf.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fcntl.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>

#include "board.h"
#include "buffer.h"
#include "compat.h"
#include "devmem.h"
#include "dmabuf.h"
#include "file.h"
#include "sdi.h"
#include "slab.h"
#include "watchdog.h"

/* A scatterlist entry has 32 bits for its length. */
#define SLUICE_SG_BYTES (1ull << 30)

/**
 * struct sluice_exported - what a dma-buf of ours is about
 * @list: in sluice_exports.list, device memory alone
 * @mem: referenced
 * @dmabuf: it
 */
struct sluice_exported {
	struct list_head list;
	struct sluice_mem *mem;
	struct dma_buf *dmabuf;
};

SLUICE_SLAB(sluice_exported);

void sluice_exports_init(struct sluice_exports *exports)
{
	mutex_init(&exports->lock);
	INIT_LIST_HEAD(&exports->list);
	spin_lock_init(&exports->pin_lock);
}

/**
 * sluice_exports_bar - let nobody pin device memory, as a reset is to come
 * @exports: of a board with its reset_lock held
 * @force: though somebody has
 *
 * Return: 0, to be undone by sluice_exports_unbar(); -EBUSY.
 */
int sluice_exports_bar(struct sluice_exports *exports, bool force)
{
	int err = 0;

	spin_lock(&exports->pin_lock);
	if (exports->n_pinned && !force)
		err = -EBUSY;
	else
		exports->barred = true;
	spin_unlock(&exports->pin_lock);
	return err;
}

void sluice_exports_unbar(struct sluice_exports *exports)
{
	spin_lock(&exports->pin_lock);
	exports->barred = false;
	spin_unlock(&exports->pin_lock);
}

/* Tells importers that what is in the device memory is worth nothing any more, or gone. */
void sluice_exports_moved(struct sluice_exports *exports)
{
	struct sluice_exported *exported;

	mutex_lock(&exports->lock);
	list_for_each_entry(exported, &exports->list, list) {
		dma_resv_lock(exported->dmabuf->resv, NULL);
		dma_buf_move_notify(exported->dmabuf);
		dma_resv_unlock(exported->dmabuf->resv);
	}
	mutex_unlock(&exports->lock);
}

static int sluice_pin(struct sluice_board *board)
{
	struct sluice_exports *exports = &board->exports;
	int err = 0;

	spin_lock(&exports->pin_lock);
	if (READ_ONCE(board->state) == SLUICE_BOARD_GONE)
		err = -ENODEV;
	else if (exports->barred || READ_ONCE(board->state) != SLUICE_BOARD_LIVE)
		err = -EBUSY;
	else
		exports->n_pinned++;
	spin_unlock(&exports->pin_lock);
	return err;
}

static void sluice_unpin(struct sluice_board *board)
{
	spin_lock(&board->exports.pin_lock);
	board->exports.n_pinned--;
	spin_unlock(&board->exports.pin_lock);
}

/* The longest entry of a scatterlist that a device takes, in whole pages. */
static u64 sluice_sg_bytes(struct device *dev)
{
	return max_t(u64, min_t(u64, SLUICE_SG_BYTES, dma_get_max_seg_size(dev)) & PAGE_MASK,
		     PAGE_SIZE);
}

/* --- host memory ------------------------------------------------------------------------- */

/* Entries for the chunks, each of which may be too long for one. */
static struct sg_table *sluice_host_table(const struct sluice_mem *mem, u64 most)
{
	struct sg_table *sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	struct scatterlist *sg;
	u64 n = 0, at = 0;
	u32 chunk = 0;
	u32 i;

	if (!sgt)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < mem->n_chunks; i++)
		n += DIV_ROUND_UP_ULL(sluice_mem_chunk_bytes(mem, i), most);
	if (n > UINT_MAX || sg_alloc_table(sgt, n, GFP_KERNEL)) {
		kfree(sgt);
		return ERR_PTR(-ENOMEM);
	}
	for_each_sgtable_sg(sgt, sg, i) {
		u64 bytes = min(most, sluice_mem_chunk_bytes(mem, chunk) - at);

		sg_set_page(sg, nth_page(mem->pages[chunk], at >> PAGE_SHIFT), bytes, 0);
		at += bytes;
		if (at == sluice_mem_chunk_bytes(mem, chunk)) {
			chunk++;
			at = 0;
		}
	}
	return sgt;
}

static void sluice_table_free(struct sg_table *sgt)
{
	sg_free_table(sgt);
	kfree(sgt);
}

static struct sg_table *sluice_host_map(struct dma_buf_attachment *attach,
					enum dma_data_direction dir)
{
	struct sluice_exported *exported = attach->dmabuf->priv;
	struct sg_table *sgt = sluice_host_table(exported->mem, sluice_sg_bytes(attach->dev));
	struct scatterlist *sg;
	u32 i;
	int err;

	if (IS_ERR(sgt))
		return sgt;
	err = dma_map_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	if (err)
		goto err_free;
	/* Coherent for us: importers for whom it is not are not served, so nobody needs a sync. */
	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (!sluice_dma_is_shared(attach->dev, sg_dma_address(sg))) {
			err = -EOPNOTSUPP;
			goto err_unmap;
		}
	}
	return sgt;

err_unmap:
	dma_unmap_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
err_free:
	sluice_table_free(sgt);
	return ERR_PTR(err);
}

static void sluice_host_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			      enum dma_data_direction dir)
{
	dma_unmap_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	sluice_table_free(sgt);
}

static int sluice_host_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct sluice_exported *exported = dmabuf->priv;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	return sluice_mem_mmap(exported->mem, vma, (u64)vma->vm_pgoff << PAGE_SHIFT);
}

static void sluice_exported_free(struct sluice_exported *exported)
{
	struct sluice_exports *exports = &exported->mem->board->exports;

	mutex_lock(&exports->lock);
	list_del(&exported->list);
	mutex_unlock(&exports->lock);
	sluice_mem_put(exported->mem);
	sluice_slab_free(&sluice_exported_slab, exported);
}

static void sluice_exported_release(struct dma_buf *dmabuf)
{
	sluice_exported_free(dmabuf->priv);
}

static const struct dma_buf_ops sluice_host_ops = {
	.map_dma_buf = sluice_host_map,
	.unmap_dma_buf = sluice_host_unmap,
	.mmap = sluice_host_mmap,
	.release = sluice_exported_release,
};

/* --- device memory ----------------------------------------------------------------------- */

static int sluice_device_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct sluice_exported *exported = dmabuf->priv;
	struct sluice_board *board = exported->mem->board;

	if (!attach->peer2peer)
		return -EOPNOTSUPP;
	if (READ_ONCE(board->state) == SLUICE_BOARD_GONE)
		return -ENODEV;
#ifdef CONFIG_PCI_P2PDMA
	if (dev_is_pci(board->parent) &&
	    pci_p2pdma_distance(to_pci_dev(board->parent), attach->dev, true) < 0)
		return -EOPNOTSUPP;
#endif
	return 0;
}

static void sluice_device_unmap_part(struct dma_buf_attachment *attach, struct sg_table *sgt,
				     u32 n, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	u32 i;

	for_each_sg(sgt->sgl, sg, n, i)
		dma_unmap_resource(attach->dev, sg_dma_address(sg), sg_dma_len(sg), dir,
				   DMA_ATTR_SKIP_CPU_SYNC);
}

static struct sg_table *sluice_device_table(struct dma_buf_attachment *attach,
					    const struct sluice_mem *mem,
					    enum dma_data_direction dir)
{
	u64 at = sluice_devmem_at(mem->board, mem->offset);
	struct sg_table *sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	struct scatterlist *sg;
	u64 most = sluice_sg_bytes(attach->dev);
	u64 left = mem->length;
	u32 i;

	if (!sgt)
		return ERR_PTR(-ENOMEM);
	if (sg_alloc_table(sgt, DIV_ROUND_UP_ULL(left, most), GFP_KERNEL)) {
		kfree(sgt);
		return ERR_PTR(-ENOMEM);
	}
	for_each_sgtable_sg(sgt, sg, i) {
		u32 n = min(left, most);
		dma_addr_t bus = dma_map_resource(attach->dev, at, n, dir, DMA_ATTR_SKIP_CPU_SYNC);

		if (dma_mapping_error(attach->dev, bus)) {
			sluice_device_unmap_part(attach, sgt, i, dir);
			sluice_table_free(sgt);
			return ERR_PTR(-EIO);
		}
		/* There are no struct pages behind it. */
		sg_set_page(sg, NULL, n, 0);
		sg_dma_address(sg) = bus;
		sg_dma_len(sg) = n;
		at += n;
		left -= n;
	}
	return sgt;
}

/* A mapping holds off resets, too: it is counted as a pin of its own. */
static int sluice_device_pin(struct dma_buf_attachment *attach)
{
	struct sluice_exported *exported = attach->dmabuf->priv;

	return sluice_pin(exported->mem->board);
}

static void sluice_device_unpin(struct dma_buf_attachment *attach)
{
	struct sluice_exported *exported = attach->dmabuf->priv;

	sluice_unpin(exported->mem->board);
}

static struct sg_table *sluice_device_map(struct dma_buf_attachment *attach,
					  enum dma_data_direction dir)
{
	struct sluice_exported *exported = attach->dmabuf->priv;
	struct sluice_board *board = exported->mem->board;
	struct sg_table *sgt;
	int err = sluice_pin(board);

	if (err)
		return ERR_PTR(err);
	sgt = sluice_device_table(attach, exported->mem, dir);
	if (IS_ERR(sgt))
		sluice_unpin(board);
	return sgt;
}

static void sluice_device_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
				enum dma_data_direction dir)
{
	struct sluice_exported *exported = attach->dmabuf->priv;

	sluice_device_unmap_part(attach, sgt, sgt->nents, dir);
	sluice_table_free(sgt);
	sluice_unpin(exported->mem->board);
}

/* No mmap: mappings of device memory are taken back at a reset, and those are the object's own. */
static const struct dma_buf_ops sluice_device_ops = {
	.attach = sluice_device_attach,
	.pin = sluice_device_pin,
	.unpin = sluice_device_unpin,
	.map_dma_buf = sluice_device_map,
	.unmap_dma_buf = sluice_device_unmap,
	.release = sluice_exported_release,
};

/* Does the memory behind a dma-buf stay where it is, whatever is in it? */
static bool sluice_export_stays(const struct dma_buf *dmabuf)
{
	const struct sluice_exported *exported = dmabuf->priv;

	return dmabuf->ops == &sluice_device_ops &&
	       READ_ONCE(exported->mem->board->state) != SLUICE_BOARD_GONE;
}

/* --- export ------------------------------------------------------------------------------ */

static bool sluice_may_export(const struct sluice_mem *mem)
{
	return mem->kind == SLUICE_ALLOC_DEVICE || mem->kind == SLUICE_ALLOC_COHERENT ||
	       mem->kind == SLUICE_ALLOC_PAGES;
}

/* With the board held. The dma-buf has a reference of its own to the object. */
static struct dma_buf *sluice_export_make(struct sluice_mem *mem, u32 flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct sluice_exported *exported = sluice_slab_alloc(&sluice_exported_slab);
	struct sluice_exports *exports = &mem->board->exports;
	struct dma_buf *dmabuf;

	if (!exported)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&exported->list);
	exported->mem = sluice_mem_get(mem);
	info.ops = mem->kind == SLUICE_ALLOC_DEVICE ? &sluice_device_ops : &sluice_host_ops;
	info.size = mem->length;
	info.flags = flags & O_ACCMODE;
	info.priv = exported;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		sluice_exported_free(exported);
		return dmabuf;
	}
	exported->dmabuf = dmabuf;
	mem->exported = true;
	if (mem->kind == SLUICE_ALLOC_DEVICE) {
		mutex_lock(&exports->lock);
		list_add_tail(&exported->list, &exports->list);
		mutex_unlock(&exports->lock);
	}
	return dmabuf;
}

int sluice_dmabuf_export(struct sluice_file *sf, struct sluice_export *arg)
{
	struct dma_buf *dmabuf;
	struct sluice_mem *mem;
	int err = sluice_board_hold(sf->board);

	if (err)
		return err;
	mem = sluice_mem_lookup(sf, arg->handle);
	if (!mem) {
		err = -ENOENT;
		goto out;
	}
	dmabuf = sluice_may_export(mem) ? sluice_export_make(mem, arg->flags) :
					  ERR_PTR(-EOPNOTSUPP);
	sluice_mem_put(mem);
	if (IS_ERR(dmabuf)) {
		err = PTR_ERR(dmabuf);
		goto out;
	}
	arg->fd = dma_buf_fd(dmabuf, arg->flags & O_CLOEXEC);
	if (arg->fd < 0) {
		err = arg->fd;
		dma_buf_put(dmabuf);
	}
out:
	sluice_board_leave(sf->board);
	return err;
}

/* --- import ------------------------------------------------------------------------------ */

/*
 * The memory is not there any more, though it is pinned: its board went away. Ours
 * must not reach for it: it is reset, too. Memory of a board of ours that is being reset
 * stays where it is.
 */
static void sluice_import_moved(struct dma_buf_attachment *attach)
{
	struct sluice_mem *mem = attach->importer_priv;

	if (sluice_export_stays(attach->dmabuf) || READ_ONCE(mem->lost))
		return;
	WRITE_ONCE(mem->lost, true);
	dev_warn(attach->dev, "%s: an imported dma-buf is gone\n", mem->board->node);
	sluice_watchdog_hung(mem->board->sdi);
}

static const struct dma_buf_attach_ops sluice_import_ops = {
	.allow_peer2peer = true,
	.move_notify = sluice_import_moved,
};

/* Lists the pages as our board sees them; what it cannot reach page by page is refused. */
static int sluice_import_list(struct sluice_mem *mem)
{
	struct device *dev = mem->board->parent;
	struct scatterlist *sg;
	u32 n_pages = mem->length >> PAGE_SHIFT;
	u32 done = 0;
	u32 i;

	for_each_sgtable_dma_sg(mem->sgt, sg, i) {
		dma_addr_t bus = sg_dma_address(sg);
		u64 n = sg_dma_len(sg);

		if (!PAGE_ALIGNED(bus) || !PAGE_ALIGNED(n) || !sluice_dma_is_shared(dev, bus))
			return -EOPNOTSUPP;
		for (; n && done < n_pages; n -= PAGE_SIZE, bus += PAGE_SIZE)
			mem->bus[done++] = bus;
	}
	/* n_chunks stays 0: there are no pages of ours to be freed. */
	return done == n_pages ? 0 : -EINVAL;
}

static int sluice_import_map(struct sluice_mem *mem)
{
	struct dma_resv *resv = mem->attach->dmabuf->resv;
	struct sg_table *sgt;
	int err;

	dma_resv_lock(resv, NULL);
	err = dma_buf_pin(mem->attach);
	if (!err) {
		sgt = dma_buf_map_attachment(mem->attach, DMA_BIDIRECTIONAL);
		if (IS_ERR(sgt)) {
			err = PTR_ERR(sgt);
			dma_buf_unpin(mem->attach);
		} else {
			mem->sgt = sgt;
		}
	}
	dma_resv_unlock(resv);
	return err;
}

/* Gives back what an imported object has, as far as it has. */
void sluice_dmabuf_let_go(struct sluice_mem *mem)
{
	struct dma_buf_attachment *attach = mem->attach;
	struct dma_buf *dmabuf;

	if (!attach)
		return;
	dmabuf = attach->dmabuf;
	if (mem->sgt) {
		dma_resv_lock(dmabuf->resv, NULL);
		dma_buf_unmap_attachment(attach, mem->sgt, DMA_BIDIRECTIONAL);
		dma_buf_unpin(attach);
		dma_resv_unlock(dmabuf->resv);
	}
	dma_buf_detach(dmabuf, attach);
	dma_buf_put(dmabuf);
	mem->attach = NULL;
	mem->sgt = NULL;
}

/* With the board held. Takes over the reference to the dma-buf. */
static struct sluice_mem *sluice_import_make(struct sluice_board *board, struct dma_buf *dmabuf)
{
	struct sluice_mem *mem = sluice_mem_imported(board, dmabuf->size);
	struct dma_buf_attachment *attach;
	int err;

	if (IS_ERR(mem)) {
		dma_buf_put(dmabuf);
		return mem;
	}
	attach = dma_buf_dynamic_attach(dmabuf, board->parent, &sluice_import_ops, mem);
	if (IS_ERR(attach)) {
		dma_buf_put(dmabuf);
		sluice_mem_put(mem);
		return ERR_CAST(attach);
	}
	mem->attach = attach;
	err = sluice_import_map(mem);
	if (!err)
		err = sluice_import_list(mem);
	if (err) {
		sluice_dmabuf_let_go(mem);
		sluice_mem_put(mem);
		return ERR_PTR(err);
	}
	sluice_mem_enlist(mem);
	return mem;
}

int sluice_dmabuf_import(struct sluice_file *sf, struct sluice_import *arg)
{
	struct sluice_board *board = sf->board;
	struct sluice_mem *mem = NULL;
	struct dma_buf *dmabuf;
	int err = sluice_board_enter(board);

	if (err)
		return err;
	if (!board->sdi || !(board->sdi->figures.capabilities & SLUICE_SDI_CAP_HOST)) {
		err = -EOPNOTSUPP;
		goto out;
	}
	dmabuf = dma_buf_get(arg->fd);
	if (IS_ERR(dmabuf)) {
		err = PTR_ERR(dmabuf);
		goto out;
	}
	mem = sluice_import_make(board, dmabuf);
	if (IS_ERR(mem)) {
		err = PTR_ERR(mem);
		goto out;
	}
	/* Before it has a handle: afterwards another thread may free it. */
	arg->length = mem->length;
	err = sluice_object_add(sf, &mem->object, &arg->handle);
out:
	sluice_board_leave(board);
	/* Not with the board held: this may be its last reference. */
	if (err && !IS_ERR_OR_NULL(mem))
		sluice_mem_put(mem);
	return err;
}

SLUICE_IMPORT_NS(DMA_BUF);
