// SPDX-License-Identifier: GPL-2.0
/*
 * importer.c - a device that imports dma-bufs as a program tells it to: with or without
 * move_notify and peer-to-peer, pinned or not. It reaches the memory by its bus addresses,
 * as a peer would; that is right where these are physical addresses (no IOMMU).
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "importer.h"
#include "partner.h"

/**
 * struct importer - an open file
 * @lock: one call at a time
 * @attach: or NULL
 * @sgt: its mapping, or NULL
 * @dynamic: @attach has move_notify
 * @pinned: @attach is pinned
 * @n_moved: calls of move_notify
 */
struct importer {
	struct mutex lock;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	bool dynamic;
	bool pinned;
	atomic_t n_moved;
};

static struct platform_device *importer_device;

static void importer_moved(struct dma_buf_attachment *attach)
{
	struct importer *importer = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	atomic_inc(&importer->n_moved);
}

static const struct dma_buf_attach_ops importer_peer_ops = {
	.allow_peer2peer = true,
	.move_notify = importer_moved,
};

static const struct dma_buf_attach_ops importer_dynamic_ops = {
	.move_notify = importer_moved,
};

static int importer_attach(struct importer *importer, void __user *uarg)
{
	struct dma_buf_attachment *attach;
	struct importer_attach arg;
	struct dma_buf *dmabuf;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (importer->attach)
		return -EBUSY;
	dmabuf = dma_buf_get(arg.fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	importer->dynamic = arg.flags & IMPORTER_DYNAMIC;
	if (importer->dynamic)
		attach = dma_buf_dynamic_attach(dmabuf, &importer_device->dev,
						arg.flags & IMPORTER_PEER ? &importer_peer_ops :
									    &importer_dynamic_ops,
						importer);
	else
		attach = dma_buf_attach(dmabuf, &importer_device->dev);
	if (IS_ERR(attach)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(attach);
	}
	importer->attach = attach;
	return 0;
}

/* The calls below have the reservation lock: dynamic importers map and pin with it held. */
static int importer_pin(struct importer *importer)
{
	int err;

	if (importer->pinned)
		return -EBUSY;
	err = dma_buf_pin(importer->attach);
	importer->pinned = !err;
	return err;
}

static int importer_unpin(struct importer *importer)
{
	if (!importer->pinned)
		return -EINVAL;
	dma_buf_unpin(importer->attach);
	importer->pinned = false;
	return 0;
}

static int importer_map(struct importer *importer)
{
	struct sg_table *sgt;

	if (importer->sgt)
		return -EBUSY;
	sgt = dma_buf_map_attachment(importer->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	importer->sgt = sgt;
	return 0;
}

static int importer_unmap(struct importer *importer)
{
	if (!importer->sgt)
		return -EINVAL;
	dma_buf_unmap_attachment(importer->attach, importer->sgt, DMA_BIDIRECTIONAL);
	importer->sgt = NULL;
	return 0;
}

static int importer_with_resv(struct importer *importer, int (*call)(struct importer *importer))
{
	struct dma_resv *resv = importer->attach->dmabuf->resv;
	int err = dma_resv_lock(resv, NULL);

	if (err)
		return err;
	err = call(importer);
	dma_resv_unlock(resv);
	return err;
}

static void importer_detach(struct importer *importer)
{
	struct dma_buf *dmabuf;

	if (!importer->attach)
		return;
	dmabuf = importer->attach->dmabuf;
	if (importer->sgt)
		importer_with_resv(importer, importer_unmap);
	if (importer->pinned)
		importer_with_resv(importer, importer_unpin);
	dma_buf_detach(dmabuf, importer->attach);
	dma_buf_put(dmabuf);
	importer->attach = NULL;
}

static int importer_entry(struct importer *importer, void __user *uarg)
{
	struct importer_entry arg;
	struct scatterlist *sg;
	u32 i;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!importer->sgt)
		return -EINVAL;
	for_each_sgtable_dma_sg(importer->sgt, sg, i) {
		if (i != arg.index)
			continue;
		arg.address = sg_dma_address(sg);
		arg.length = sg_dma_len(sg);
		return copy_to_user(uarg, &arg, sizeof(arg)) ? -EFAULT : 0;
	}
	return -ERANGE;
}

static int importer_access(phys_addr_t at, struct importer_word *word)
{
	u32 __iomem *io = ioremap_wc(at, sizeof(*io));

	if (!io)
		return -ENOMEM;
	if (word->write)
		writel(word->value, io);
	else
		word->value = readl(io);
	iounmap(io);
	return 0;
}

static int importer_word(struct importer *importer, void __user *uarg)
{
	struct importer_word arg;
	struct scatterlist *sg;
	u64 left;
	u32 i;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!importer->sgt || arg.offset % sizeof(arg.value))
		return -EINVAL;
	left = arg.offset;
	for_each_sgtable_dma_sg(importer->sgt, sg, i) {
		if (left >= sg_dma_len(sg)) {
			left -= sg_dma_len(sg);
			continue;
		}
		err = importer_access(sg_dma_address(sg) + left, &arg);
		if (!err && copy_to_user(uarg, &arg, sizeof(arg)))
			err = -EFAULT;
		return err;
	}
	return -ERANGE;
}

static int importer_call(struct importer *importer, unsigned int cmd, void __user *uarg)
{
	int err;

	if (cmd == IMPORTER_IOC_ATTACH)
		return importer_attach(importer, uarg);
	if (!importer->attach)
		return -EINVAL;
	switch (cmd) {
	case IMPORTER_IOC_PIN:
		return importer_with_resv(importer, importer_pin);
	case IMPORTER_IOC_UNPIN:
		return importer_with_resv(importer, importer_unpin);
	case IMPORTER_IOC_MAP:
		err = importer_with_resv(importer, importer_map);
		return err ? err : put_user(importer->sgt->nents, (u32 __user *)uarg);
	case IMPORTER_IOC_UNMAP:
		return importer_with_resv(importer, importer_unmap);
	case IMPORTER_IOC_ENTRY:
		return importer_entry(importer, uarg);
	case IMPORTER_IOC_WORD:
		return importer_word(importer, uarg);
	case IMPORTER_IOC_MOVED:
		return put_user((u32)atomic_read(&importer->n_moved), (u32 __user *)uarg);
	default:
		return -ENOTTY;
	}
}

static long importer_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
{
	struct importer *importer = file->private_data;
	int err;

	mutex_lock(&importer->lock);
	err = importer_call(importer, cmd, (void __user *)uarg);
	mutex_unlock(&importer->lock);
	return err;
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct importer *importer = kzalloc(sizeof(*importer), GFP_KERNEL);

	if (!importer)
		return -ENOMEM;
	mutex_init(&importer->lock);
	file->private_data = importer;
	return 0;
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *importer = file->private_data;

	importer_detach(importer);
	kfree(importer);
	return 0;
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.unlocked_ioctl = importer_ioctl,
};

static struct miscdevice importer_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sluice-importer",
	.fops = &importer_fops,
	.mode = 0600,
};

int importer_init(void)
{
	int err;

	importer_device = platform_device_register_simple("sluice-importer", -1, NULL, 0);
	if (IS_ERR(importer_device))
		return PTR_ERR(importer_device);
	err = dma_coerce_mask_and_coherent(&importer_device->dev, DMA_BIT_MASK(64));
	if (!err)
		err = misc_register(&importer_misc);
	if (err)
		platform_device_unregister(importer_device);
	return err;
}

void importer_exit(void)
{
	misc_deregister(&importer_misc);
	platform_device_unregister(importer_device);
}
