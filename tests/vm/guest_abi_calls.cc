// SPDX-License-Identifier: Apache-2.0
#include "guest_abi_calls.h"

#include <unistd.h>

#include <cstddef>

namespace guest {

const struct sluice_queue& Caller::kernel_queue() {
  if (!kernel_queue_.handle) kernel_queue_ = make_queue(fd(), SLUICE_QUEUE_KERNEL);
  return kernel_queue_;
}

const struct sluice_queue& Caller::user_queue() {
  if (!user_queue_.handle) user_queue_ = make_queue(fd());
  return user_queue_;
}

uint32_t Caller::memory() {
  if (!memory_) memory_ = allocate(fd(), SLUICE_ALLOC_DEVICE, kPage);
  return memory_;
}

int Caller::dmabuf() {
  if (!dmabuf_) {
    auto arg = argument<struct sluice_export>();
    arg.handle = allocate(fd(), SLUICE_ALLOC_PAGES, kPage);
    error_is(call(fd(), SLUICE_IOC_EXPORT, &arg), 0, "EXPORT");
    dmabuf_.emplace(arg.fd);
  }
  return dmabuf_->get();
}

namespace {

void nothing(Caller&, void*) {}
void stays(Caller&, const void*) {}

// Lambdas of the table below take their own struct.
template <typename T, void (*kFill)(Caller&, T&)>
void fill(Caller& caller, void* arg) {
  kFill(caller, *static_cast<T*>(arg));
}
template <typename T, void (*kUndo)(Caller&, const T&)>
void undo(Caller& caller, const void* arg) {
  kUndo(caller, *static_cast<const T*>(arg));
}

template <typename T>
void at_liveness(T& arg) {
  arg.width = 32;
  arg.offset = kLiveness;
}

void fill_register(Caller&, sluice_reg& arg) { at_liveness(arg); }
// Of a register that keeps its value: the liveness one holds the inverse of what is written.
void fill_update(Caller&, sluice_reg_update& arg) { arg.width = 32; }
void fill_poll(Caller&, sluice_reg_poll& arg) { at_liveness(arg); }

void fill_batch(Caller& caller, sluice_reg_batch& arg) {
  caller.ops.assign(SLUICE_REG_BATCH_MAX, {});
  at_liveness(caller.ops[0]);
  arg.count = 1;
  arg.ops = reinterpret_cast<uint64_t>(caller.ops.data());
}

void fill_map(Caller&, sluice_map& arg) { arg.length = kPage; }

void fill_alloc(Caller&, sluice_alloc& arg) {
  arg.kind = SLUICE_ALLOC_DEVICE;
  arg.length = kPage;
}
void undo_alloc(Caller& caller, const sluice_alloc& arg) { free_object(caller.fd(), arg.handle); }

void fill_free(Caller& caller, sluice_free& arg) {
  arg.handle = allocate(caller.fd(), SLUICE_ALLOC_DEVICE, kPage);
}

void fill_queue(Caller&, sluice_queue& arg) {
  arg.n_entries = 16;
  arg.n_segments = 8;
}
void undo_queue(Caller& caller, const sluice_queue& arg) { free_object(caller.fd(), arg.handle); }

void fill_grant(Caller& caller, sluice_grant& arg) {
  arg.flags = SLUICE_GRANT_READ;
  arg.queue = caller.user_queue().handle;
  arg.segment = 1;
  arg.handle = caller.memory();
  arg.length = kPage;
}

void fill_notify(Caller& caller, sluice_notify& arg) { arg.queue = caller.user_queue().handle; }

void fill_submit(Caller& caller, sluice_submit& arg) {
  caller.entries.assign(16, nop(7));
  arg.queue = caller.kernel_queue().handle;
  arg.count = 1;
  arg.entries = reinterpret_cast<uint64_t>(caller.entries.data());
}
void undo_submit(Caller& caller, const sluice_submit&) {
  std::vector<sluice_sdi_completion> done;
  error_is(wait(caller.fd(), caller.kernel_queue().handle, &done), 0, "WAIT after SUBMIT");
  same(done.size(), 1, "completions");
}

void fill_wait(Caller& caller, sluice_wait& arg) {
  if (caller.n_submitted == 0) {
    error_is(submit(caller.fd(), caller.kernel_queue().handle, {nop(7)}), 0, "SUBMIT for WAIT");
    caller.n_submitted = 1;
  }
  caller.completions.assign(16, {});
  arg.queue = caller.kernel_queue().handle;
  arg.count = 1;
  arg.timeout_ns = 5'000'000'000;
  arg.completions = reinterpret_cast<uint64_t>(caller.completions.data());
}
void undo_wait(Caller& caller, const sluice_wait&) { caller.n_submitted = 0; }

void fill_export(Caller& caller, sluice_export& arg) { arg.handle = caller.memory(); }
void undo_export(Caller&, const sluice_export& arg) { ::close(arg.fd); }

void fill_import(Caller& caller, sluice_import& arg) { arg.fd = caller.dmabuf(); }
void undo_import(Caller& caller, const sluice_import& arg) { free_object(caller.fd(), arg.handle); }

void fill_fence(Caller& caller, sluice_fence& arg) { arg.queue = caller.kernel_queue().handle; }
void undo_fence(Caller&, const sluice_fence& arg) { ::close(arg.fd); }

void fill_timer(Caller&, sluice_timer& arg) { arg.hz = 1000000; }

#define RANGE(type, first, last) \
  Range { offsetof(struct type, first), offsetof(struct type, last) }
#define TO_THE_END(type, first) \
  Range { offsetof(struct type, first), sizeof(struct type) }
#define CALL(name, board, type, min_size, flags, out, in_out, steady, fill, undo) \
  Call {                                                                          \
#name, SLUICE_IOC_##name, board, sizeof(struct type), min_size,               \
        offsetof(struct type, reserved), flags, std::vector < Range> out,         \
        std::vector < Range> in_out, steady, fill, undo                           \
  }

const Call kPlainCalls[] = {
    CALL(INFO, kEdu, sluice_info, 96, 0,
         ({RANGE(sluice_info, abi_version, reserved), TO_THE_END(sluice_info, capabilities)}), {},
         true, nothing, stays),
    CALL(WINDOW, kEdu, sluice_window, 48, 0, ({RANGE(sluice_window, kind, reserved)}), {}, true,
         nothing, stays),
    CALL(REG_READ, kEdu, sluice_reg, 48, 0, ({RANGE(sluice_reg, value, reserved)}), {}, true,
         (fill<sluice_reg, fill_register>), stays),
    CALL(REG_WRITE, kEdu, sluice_reg, 48, 0, {}, {}, true, (fill<sluice_reg, fill_register>),
         stays),
    CALL(REG_UPDATE, kEdu, sluice_reg_update, 64, 0, ({RANGE(sluice_reg_update, old, reserved)}),
         {}, true, (fill<sluice_reg_update, fill_update>), stays),
    CALL(REG_POLL, kEdu, sluice_reg_poll, 72, 0, ({RANGE(sluice_reg_poll, seen, reserved)}), {},
         true, (fill<sluice_reg_poll, fill_poll>), stays),
    CALL(REG_BATCH, kEdu, sluice_reg_batch, 48, 0, ({RANGE(sluice_reg_batch, done, reserved0)}), {},
         true, (fill<sluice_reg_batch, fill_batch>), stays),
    CALL(MAP, kEdu, sluice_map, 56, SLUICE_MAP_OBJECT, ({RANGE(sluice_map, cookie, reserved)}), {},
         true, (fill<sluice_map, fill_map>), stays),
    CALL(IRQ, kEdu, sluice_irq, 32, SLUICE_IRQ_ENABLE, ({RANGE(sluice_irq, count, reserved)}), {},
         true, nothing, stays),
    CALL(MAPPINGS, kEdu, sluice_mappings, 40, SLUICE_MAPPINGS_ALL,
         ({RANGE(sluice_mappings, total, entries)}), ({RANGE(sluice_mappings, count, total)}), true,
         nothing, stays),
    CALL(RESET, kEduBehindPort, sluice_reset, 32, SLUICE_RESET_FORCE,
         ({RANGE(sluice_reset, n_resets, reserved0)}), {}, false, nothing, stays),
};

const Call kSdiCalls[] = {
    CALL(INFO, kBoard, sluice_info, 96, 0,
         ({RANGE(sluice_info, abi_version, irq_count), RANGE(sluice_info, name, reserved),
           TO_THE_END(sluice_info, capabilities)}),
         ({RANGE(sluice_info, irq_count, name)}), true, nothing, stays),
    CALL(ALLOC, kBoard, sluice_alloc, 48, 0,
         ({RANGE(sluice_alloc, handle, length), RANGE(sluice_alloc, address, reserved)}), {}, true,
         (fill<sluice_alloc, fill_alloc>), (undo<sluice_alloc, undo_alloc>)),
    CALL(FREE, kBoard, sluice_free, 32, 0, {}, {}, false, (fill<sluice_free, fill_free>), stays),
    CALL(QUEUE, kBoard, sluice_queue, 80, SLUICE_QUEUE_KERNEL | SLUICE_QUEUE_EVENTFD,
         ({RANGE(sluice_queue, handle, coalesce_count), RANGE(sluice_queue, sq_cookie, reserved)}),
         {}, false, (fill<sluice_queue, fill_queue>), (undo<sluice_queue, undo_queue>)),
    CALL(GRANT, kBoard, sluice_grant, 56, SLUICE_GRANT_READ | SLUICE_GRANT_WRITE, {}, {}, true,
         (fill<sluice_grant, fill_grant>), stays),
    CALL(NOTIFY, kBoard, sluice_notify, 32, 0, {}, {}, true, (fill<sluice_notify, fill_notify>),
         stays),
    CALL(SUBMIT, kBoard, sluice_submit, 40, 0, {}, ({RANGE(sluice_submit, count, entries)}), true,
         (fill<sluice_submit, fill_submit>), (undo<sluice_submit, undo_submit>)),
    CALL(WAIT, kBoard, sluice_wait, 48, SLUICE_WAIT_NOTIFY, {},
         ({RANGE(sluice_wait, count, timeout_ns)}), true, (fill<sluice_wait, fill_wait>),
         (undo<sluice_wait, undo_wait>)),
    CALL(CLOCK, kBoard, sluice_clock, 96, SLUICE_CLOCK_SET | SLUICE_CLOCK_BOOST,
         ({RANGE(sluice_clock, system_hz, reserved)}), {}, true, nothing, stays),
    CALL(TIMER, kBoard, sluice_timer, 32, 0, {}, ({RANGE(sluice_timer, hz, reserved)}), true,
         (fill<sluice_timer, fill_timer>), stays),
    CALL(EXPORT, kBoard, sluice_export, 32, O_CLOEXEC | O_RDWR,
         ({RANGE(sluice_export, fd, reserved)}), {}, true, (fill<sluice_export, fill_export>),
         (undo<sluice_export, undo_export>)),
    CALL(IMPORT, kBoard, sluice_import, 40, 0, ({RANGE(sluice_import, handle, reserved)}), {}, true,
         (fill<sluice_import, fill_import>), (undo<sluice_import, undo_import>)),
    CALL(FENCE, kBoard, sluice_fence, 32, 0, {}, ({RANGE(sluice_fence, fd, reserved)}), true,
         (fill<sluice_fence, fill_fence>), (undo<sluice_fence, undo_fence>)),
    CALL(RESET, kBoard, sluice_reset, 32, SLUICE_RESET_FORCE,
         ({RANGE(sluice_reset, n_resets, reserved0)}), {}, false, nothing, stays),
};

}  // namespace

std::span<const Call> plain_calls() { return kPlainCalls; }
std::span<const Call> sdi_calls() { return kSdiCalls; }

}  // namespace guest
