// SPDX-License-Identifier: GPL-2.0
/*
 * buffer.c - memory objects: device memory and host memory that a board reaches.
 *
 * The memory behind an object goes when the last reference does, or when the
 * board is unbound, whichever is first: DMA memory must not outlive the binding.
 * By then the board does not write to it any more, and no page table shows it.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "board.h"
#include "buffer.h"
#include "compat.h"
#include "devmem.h"
#include "dmabuf.h"
#include "file.h"
#include "memtype.h"
#include "slab.h"

SLUICE_SLAB(sluice_mem);

/* What is tried in turn for large coherent memory: 2 MiB, 64 KiB, pages. */
static const u32 sluice_chunk_shifts[] = { 21, 16, PAGE_SHIFT };

bool sluice_mem_is_host(const struct sluice_mem *mem)
{
	return mem->kind != SLUICE_ALLOC_DEVICE && mem->kind != SLUICE_ALLOC_DOORBELL;
}

u64 sluice_mem_chunk_bytes(const struct sluice_mem *mem, u32 i)
{
	return min_t(u64, 1ull << mem->chunk_shift, mem->length - ((u64)i << mem->chunk_shift));
}

static void sluice_unmap_chunks(struct sluice_mem *mem, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		dma_unmap_page_attrs(mem->board->parent, mem->bus[i],
				     sluice_mem_chunk_bytes(mem, i), DMA_BIDIRECTIONAL,
				     DMA_ATTR_SKIP_CPU_SYNC);
		cond_resched();
	}
}

static void sluice_free_chunks(struct sluice_mem *mem, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		__free_pages(mem->pages[i], get_order(sluice_mem_chunk_bytes(mem, i)));
		cond_resched();
	}
}

/* The board does not reach it any more; the pages go unless others have them. */
static void sluice_empty_host(struct sluice_mem *mem)
{
	sluice_unmap_chunks(mem, mem->n_chunks);
	if (mem->exported)
		return;
	if (mem->type != SLUICE_MAP_CACHED)
		sluice_pages_cached(mem->pages, mem->n_chunks);
	sluice_free_chunks(mem, mem->n_chunks);
	mem->n_chunks = 0;
}

/* Frees what is behind the object, if it still is. */
static void sluice_mem_empty(struct sluice_mem *mem)
{
	lockdep_assert_held(&mem->board->mem_lock);
	if (list_empty(&mem->list))
		return;
	list_del_init(&mem->list);
	if (mem->kind == SLUICE_ALLOC_DEVICE)
		sluice_devmem_free(mem->board, mem->offset);
	else if (mem->kind == SLUICE_ALLOC_IMPORTED)
		sluice_dmabuf_let_go(mem);
	else if (sluice_mem_is_host(mem))
		sluice_empty_host(mem);
}

static void sluice_mem_release(struct sluice_object *object)
{
	struct sluice_mem *mem = container_of(object, struct sluice_mem, object);
	struct sluice_board *board = mem->board;

	mutex_lock(&board->mem_lock);
	sluice_mem_empty(mem);
	mutex_unlock(&board->mem_lock);
	/* Exported, and nobody has it any more. */
	sluice_free_chunks(mem, mem->n_chunks);
	kvfree(mem->pages);
	kvfree(mem->bus);
	sluice_slab_free(&sluice_mem_slab, mem);
	sluice_board_put(board);
}

/**
 * sluice_mems_drop - the board is being unbound: its memory goes, objects stay
 * @board: gone; it does no DMA any more and its mappings are taken back
 */
void sluice_mems_drop(struct sluice_board *board)
{
	struct sluice_mem *mem, *next;

	mutex_lock(&board->mem_lock);
	list_for_each_entry_safe(mem, next, &board->mems, list)
		sluice_mem_empty(mem);
	mutex_unlock(&board->mem_lock);
}

static struct sluice_mem *sluice_mem_new(struct sluice_board *board, u32 kind, u64 length)
{
	struct sluice_mem *mem = sluice_slab_alloc(&sluice_mem_slab);

	if (!mem)
		return NULL;
	sluice_object_init(&mem->object, SLUICE_OBJECT_MEM, sluice_mem_release);
	INIT_LIST_HEAD(&mem->list);
	get_device(&board->dev);
	mem->board = board;
	mem->kind = kind;
	mem->length = length;
	mem->type = kind == SLUICE_ALLOC_UNCACHED ? SLUICE_MAP_UNCACHED :
		    kind == SLUICE_ALLOC_WRITE_COMBINED ? SLUICE_MAP_WRITE_COMBINED :
							  SLUICE_MAP_CACHED;
	return mem;
}

void sluice_mem_enlist(struct sluice_mem *mem)
{
	mutex_lock(&mem->board->mem_lock);
	list_add_tail(&mem->list, &mem->board->mems);
	mutex_unlock(&mem->board->mem_lock);
}

static int sluice_chunk_arrays(struct sluice_mem *mem, u64 n)
{
	if (n > U32_MAX)
		return -ENOMEM;
	mem->pages = kvmalloc_array(n, sizeof(*mem->pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	mem->bus = kvmalloc_array(n, sizeof(*mem->bus), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	return mem->pages && mem->bus ? 0 : -ENOMEM;
}

static void sluice_chunk_arrays_free(struct sluice_mem *mem)
{
	kvfree(mem->pages);
	kvfree(mem->bus);
	mem->pages = NULL;
	mem->bus = NULL;
}

/* The DMA address of a chunk, if the board reaches the pages themselves and not a copy. */
static int sluice_chunk_bus(struct sluice_mem *mem, u32 i)
{
	struct device *dev = mem->board->parent;
	u64 bytes = sluice_mem_chunk_bytes(mem, i);
	dma_addr_t bus = dma_map_page_attrs(dev, mem->pages[i], 0, bytes, DMA_BIDIRECTIONAL,
					    DMA_ATTR_SKIP_CPU_SYNC);

	if (dma_mapping_error(dev, bus))
		return -ENOMEM;
	if (!sluice_dma_is_shared(dev, bus)) {
		dma_unmap_page_attrs(dev, bus, bytes, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
		return -EOPNOTSUPP;
	}
	mem->bus[i] = bus;
	return 0;
}

/*
 * A program that asks for more than there is gets an error: nobody is killed for
 * it, least of all somebody else, as memory of ours counts as no process's. For
 * the same reason an eighth of the machine's memory is left to others, whose next
 * small allocation would have to kill somebody.
 */
static bool sluice_memory_is_short(u64 n_pages)
{
	long room = si_mem_available() - (long)(totalram_pages() / 8);

	return room < 0 || n_pages > (u64)room;
}

/*
 * Before chunk @i of an object is taken or mapped: others wait for the CPU, and a
 * reset for the caller, which holds the board; and others take memory, too, so
 * this looks again now and then. -EINTR: the caller is being killed.
 */
static int sluice_go_on(const struct sluice_mem *mem, u32 i)
{
	bool look = IS_ALIGNED((u64)i << mem->chunk_shift, SZ_2M);

	if (look && sluice_memory_is_short(sluice_mem_chunk_bytes(mem, i) >> PAGE_SHIFT))
		return -ENOMEM;
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static gfp_t sluice_host_gfp(const struct sluice_mem *mem)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;

	return dma_get_mask(mem->board->parent) < DMA_BIT_MASK(64) ? gfp | GFP_DMA32 : gfp;
}

/* Pages and mapping apart, and not dma_alloc_pages(): exported pages outlive the mapping. */
static int sluice_alloc_coherent(struct sluice_mem *mem, u32 shift, gfp_t extra)
{
	gfp_t gfp = sluice_host_gfp(mem) | extra;
	u64 n = DIV_ROUND_UP_ULL(mem->length, 1ull << shift);
	int err = sluice_chunk_arrays(mem, n);
	u32 i = 0;

	mem->chunk_shift = shift;
	for (; !err && i < n; i++) {
		err = sluice_go_on(mem, i);
		if (err)
			break;
		mem->pages[i] = alloc_pages(gfp, get_order(sluice_mem_chunk_bytes(mem, i)));
		if (!mem->pages[i]) {
			err = -ENOMEM;
			break;
		}
		err = sluice_chunk_bus(mem, i);
		if (err) {
			__free_pages(mem->pages[i], get_order(sluice_mem_chunk_bytes(mem, i)));
			break;
		}
	}
	if (!err) {
		mem->n_chunks = n;
		return 0;
	}
	sluice_unmap_chunks(mem, i);
	sluice_free_chunks(mem, i);
	sluice_chunk_arrays_free(mem);
	return err;
}

/* Pages of our own, each mapped by itself, of any memory type. */
static int sluice_alloc_pages(struct sluice_mem *mem)
{
	gfp_t gfp = sluice_host_gfp(mem);
	u64 n = mem->length >> PAGE_SHIFT;
	u32 mapped = 0, got = 0;
	int err = sluice_chunk_arrays(mem, n);

	if (err)
		return err;
	mem->chunk_shift = PAGE_SHIFT;
	for (got = 0; got < n; got++) {
		err = sluice_go_on(mem, got);
		if (err)
			goto err_free;
		mem->pages[got] = alloc_page(gfp);
		if (!mem->pages[got]) {
			err = -ENOMEM;
			goto err_free;
		}
	}
	err = sluice_pages_type(mem->pages, n, mem->type);
	if (err)
		goto err_free;
	for (mapped = 0; mapped < n; mapped++) {
		/* Mapping takes memory, too, of the kernel's own. */
		err = sluice_go_on(mem, mapped);
		if (!err)
			err = sluice_chunk_bus(mem, mapped);
		if (err)
			goto err_unmap;
	}
	mem->n_chunks = n;
	return 0;

err_unmap:
	sluice_unmap_chunks(mem, mapped);
	if (mem->type != SLUICE_MAP_CACHED)
		sluice_pages_cached(mem->pages, n);
err_free:
	sluice_free_chunks(mem, got);
	sluice_chunk_arrays_free(mem);
	return err;
}

static int sluice_alloc_host(struct sluice_mem *mem)
{
	int err = -ENOMEM;
	size_t i;

	if (mem->kind != SLUICE_ALLOC_COHERENT)
		return sluice_alloc_pages(mem);
	/* What fits one chunk is tried as one, so that it has one bus address. */
	for (i = 0; i < ARRAY_SIZE(sluice_chunk_shifts); i++) {
		u32 shift = sluice_chunk_shifts[i];

		err = sluice_alloc_coherent(mem, shift, shift > PAGE_SHIFT ? __GFP_NORETRY : 0);
		if (err != -ENOMEM)
			break;
	}
	return err;
}

/**
 * sluice_mem_host - allocate host memory
 * @board: entered
 * @kind: SLUICE_ALLOC_COHERENT, UNCACHED, WRITE_COMBINED or PAGES
 * @length: bytes, whole pages
 *
 * Return: the object or an error pointer. The memory is zeroed.
 */
struct sluice_mem *sluice_mem_host(struct sluice_board *board, u32 kind, u64 length)
{
	struct sluice_mem *mem;
	int err;

	/* Where caches are not coherent, cached memory would have to be flushed by hand. */
	if (!dev_is_dma_coherent(board->parent))
		return ERR_PTR(-EOPNOTSUPP);
	if (sluice_memory_is_short(length >> PAGE_SHIFT))
		return ERR_PTR(-ENOMEM);
	mem = sluice_mem_new(board, kind, length);
	if (!mem)
		return ERR_PTR(-ENOMEM);
	err = sluice_alloc_host(mem);
	if (err) {
		sluice_mem_put(mem);
		return ERR_PTR(err);
	}
	sluice_mem_enlist(mem);
	return mem;
}

/* As sluice_mem_host(), coherent and in one piece: rings and tables. */
struct sluice_mem *sluice_mem_table(struct sluice_board *board, u64 length)
{
	struct sluice_mem *mem = sluice_mem_new(board, SLUICE_ALLOC_COHERENT, PAGE_ALIGN(length));
	int err;

	if (!mem)
		return ERR_PTR(-ENOMEM);
	err = dev_is_dma_coherent(board->parent) ? sluice_alloc_coherent(mem, 31, 0) : -EOPNOTSUPP;
	if (err) {
		sluice_mem_put(mem);
		return ERR_PTR(err);
	}
	sluice_mem_enlist(mem);
	return mem;
}

/**
 * sluice_mem_device - allocate device memory, zeroed
 * @board: an SDI board, not entered: zeroing takes its time and lets resets through
 * @length: bytes, whole pages
 *
 * Return: the object or an error pointer.
 */
struct sluice_mem *sluice_mem_device(struct sluice_board *board, u64 length)
{
	struct sluice_mem *mem = sluice_mem_new(board, SLUICE_ALLOC_DEVICE, length);
	int err;

	if (!mem)
		return ERR_PTR(-ENOMEM);
	mutex_lock(&board->mem_lock);
	err = sluice_devmem_alloc(board, length, &mem->offset);
	if (!err)
		list_add_tail(&mem->list, &board->mems);
	mutex_unlock(&board->mem_lock);
	if (!err)
		err = sluice_devmem_zero(board, mem->offset, length);
	if (err) {
		sluice_mem_put(mem);
		return ERR_PTR(err);
	}
	return mem;
}

/* A dma-buf of so many bytes, to be filled in and enlisted by sluice_dmabuf_import(). */
struct sluice_mem *sluice_mem_imported(struct sluice_board *board, u64 length)
{
	struct sluice_mem *mem;
	u64 n = length >> PAGE_SHIFT;

	if (!n || !PAGE_ALIGNED(length))
		return ERR_PTR(-EOPNOTSUPP);
	mem = sluice_mem_new(board, SLUICE_ALLOC_IMPORTED, length);
	if (!mem)
		return ERR_PTR(-ENOMEM);
	mem->chunk_shift = PAGE_SHIFT;
	mem->bus = n > U32_MAX ? NULL :
				 kvmalloc_array(n, sizeof(*mem->bus),
						GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!mem->bus) {
		sluice_mem_put(mem);
		return ERR_PTR(-ENOMEM);
	}
	return mem;
}

/* The page of registers at @at, as something that can be mapped and taken back. */
struct sluice_mem *sluice_mem_doorbell(struct sluice_board *board, phys_addr_t at)
{
	struct sluice_mem *mem = sluice_mem_new(board, SLUICE_ALLOC_DOORBELL, PAGE_SIZE);

	if (!mem)
		return ERR_PTR(-ENOMEM);
	mem->type = SLUICE_MAP_UNCACHED;
	mem->offset = at;
	return mem;
}

/* The memory with that handle, referenced, or NULL. */
struct sluice_mem *sluice_mem_lookup(struct sluice_file *sf, u32 handle)
{
	struct sluice_object *object = sluice_object_get(sf, handle, SLUICE_OBJECT_MEM);

	return object ? container_of(object, struct sluice_mem, object) : NULL;
}

/* The kernel's address of memory from sluice_mem_table(). */
void *sluice_mem_address(const struct sluice_mem *mem)
{
	return page_address(mem->pages[0]);
}

/* The bus address of a byte of host memory, good to the end of its page. */
dma_addr_t sluice_mem_bus(const struct sluice_mem *mem, u64 offset)
{
	u64 chunk = offset >> mem->chunk_shift;

	return mem->bus[chunk] + (offset - (chunk << mem->chunk_shift));
}

/* Page by page, with a reference each: O_DIRECT works on these mappings. */
static int sluice_mmap_pages(struct sluice_mem *mem, struct vm_area_struct *vma, u64 offset)
{
	unsigned long left = vma_pages(vma);

	vm_flags_mod(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP, 0);
	return vm_insert_pages(vma, vma->vm_start, mem->pages + (offset >> PAGE_SHIFT), &left);
}

static int sluice_mmap_chunks(struct sluice_mem *mem, struct vm_area_struct *vma, u64 offset)
{
	unsigned long at = vma->vm_start;
	int err = 0;

	while (!err && at < vma->vm_end) {
		u32 chunk = offset >> mem->chunk_shift;
		u64 skip = offset - ((u64)chunk << mem->chunk_shift);
		u64 n = min_t(u64, sluice_mem_chunk_bytes(mem, chunk) - skip, vma->vm_end - at);
		unsigned long pfn = page_to_pfn(mem->pages[chunk]) + (skip >> PAGE_SHIFT);

		err = remap_pfn_range(vma, at, pfn, n, vma->vm_page_prot);
		at += n;
		offset += n;
	}
	return err;
}

/**
 * sluice_mem_mmap - put an object's memory into a VMA
 * @mem: alive
 * @vma: being made, with its vm_page_prot as it has to be
 * @offset: of the VMA's start in the object
 *
 * Return: 0 or a negative error; part of it may have been mapped then.
 */
int sluice_mem_mmap(struct sluice_mem *mem, struct vm_area_struct *vma, u64 offset)
{
	unsigned long length = vma->vm_end - vma->vm_start;
	u64 at = mem->offset;

	if (mem->kind == SLUICE_ALLOC_PAGES)
		return sluice_mmap_pages(mem, vma, offset);
	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP, 0);
	if (sluice_mem_is_host(mem))
		return sluice_mmap_chunks(mem, vma, offset);
	if (mem->kind == SLUICE_ALLOC_DEVICE)
		at = sluice_devmem_at(mem->board, mem->offset);
	return io_remap_pfn_range(vma, vma->vm_start, (at + offset) >> PAGE_SHIFT, length,
				  vma->vm_page_prot);
}

/* A plain board that is no bus master has no use for host memory. */
static struct sluice_mem *sluice_alloc_by_kind(struct sluice_board *board, u32 kind, u64 length)
{
	struct sluice_mem *mem;
	int err = sluice_board_enter(board);

	if (err)
		return ERR_PTR(err);
	if (kind == SLUICE_ALLOC_DEVICE) {
		sluice_board_leave(board);
		return board->sdi ? sluice_mem_device(board, length) : ERR_PTR(-EOPNOTSUPP);
	}
	if (!board->bus->is_master(board))
		mem = ERR_PTR(-EPERM);
	else
		mem = sluice_mem_host(board, kind, length);
	sluice_board_leave(board);
	return mem;
}

int sluice_mem_alloc(struct sluice_file *sf, struct sluice_alloc *arg)
{
	struct sluice_mem *mem;
	u64 length;
	int err;

	if (!arg->length)
		return -EINVAL;
	if (arg->kind > SLUICE_ALLOC_PAGES)
		return -EINVAL;
	if (arg->length > U64_MAX - PAGE_SIZE)
		return -ENOMEM;
	length = PAGE_ALIGN(arg->length);
	mem = sluice_alloc_by_kind(sf->board, arg->kind, length);
	if (IS_ERR(mem))
		return PTR_ERR(mem);
	/* Before it has a handle: afterwards another thread may free it. */
	if (arg->kind == SLUICE_ALLOC_DEVICE)
		arg->address = mem->offset;
	else
		arg->address = mem->n_chunks == 1 ? mem->bus[0] : U64_MAX;
	err = sluice_object_add(sf, &mem->object, &arg->handle);
	if (err)
		sluice_mem_put(mem);
	return err;
}
