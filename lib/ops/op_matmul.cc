// SPDX-License-Identifier: Apache-2.0
// matmul: rows of weights are handed out in pieces, so that a thread that is held up does less.
#include <algorithm>

#include "ops/op.h"
#include "quant/format.h"

namespace sluice {
namespace {

constexpr uint32_t kRowGranule = 16;          // kernels like whole sixteens
constexpr uint64_t kPieceBytes = 256 * 1024;  // stays in a core's own cache while columns go by

uint32_t rows_per_piece(const Tensor& w, unsigned n_threads) {
  const uint64_t by_threads = w.desc.shape[1] / (uint64_t{n_threads} * 4);
  const uint64_t by_cache = kPieceBytes / w.row_stride();
  const uint64_t rows = std::min(by_threads, by_cache) / kRowGranule * kRowGranule;
  return static_cast<uint32_t>(std::max<uint64_t>(rows, kRowGranule));
}

}  // namespace

Result<void> check_matmul(const Operands& o) {
  const TensorDesc &y = o.dst->desc, &w = o.src[0]->desc, &x = o.src[1]->desc;
  SLUICE_CHECK(expect_f32(*o.dst, "an f32 destination"));
  SLUICE_CHECK(expect(w.rank == 2 && w.rows == SLUICE_SDI_ROWS_FIXED, "weights [K, M]"));
  const Format* format = find_format(w.type);
  SLUICE_CHECK(expect(format && format->decode, "weights of a weight format"));
  SLUICE_CHECK(expect(x.type == format->activation, "activations of the weights' kind"));
  SLUICE_CHECK(expect(x.rank == 2 && x.shape[0] == w.shape[0], "activations [K, N]"));
  SLUICE_CHECK(expect(reinterpret_cast<uintptr_t>(o.src[1]->data) % alignof(float) == 0 &&
                          x.stride[0] % alignof(float) == 0,
                      "aligned activations"));
  return expect(
      y.rank == 2 && y.rows == x.rows && y.shape[0] == w.shape[1] && y.shape[1] == x.shape[1],
      "a destination [M, N]");
}

void run_matmul(const Operands& o, const RunContext& c) {
  const Tensor &y = *o.dst, &w = *o.src[0], &x = *o.src[1];
  MatmulArgs args{};
  args.w = w.data;
  args.w_stride = w.row_stride();
  args.x = x.data;
  args.x_stride = x.row_stride();
  args.y = y.data;
  args.y_stride = y.row_stride();
  args.k = w.desc.shape[0];
  args.n = c.n_rows(x);
  args.add = (o.command->flags & SLUICE_SDI_FLAG_ADD) != 0;
  args.packed = c.packed;
  if (args.n == 0) return;

  const MatmulKernel& kernel = *c.matmul;
  if (kernel.pack_columns && args.n >= kernel.pack_from && c.pack) {
    const uint32_t n_groups = (args.n + kernel.pack_columns - 1) / kernel.pack_columns;
    for (uint32_t g = c.begin(n_groups); g < c.end(n_groups); ++g) kernel.pack(args, g);
    c.barrier->wait();
  }
  const uint32_t m = w.desc.shape[1];
  const uint32_t piece = rows_per_piece(w, c.n_threads);
  for (;;) {
    const uint64_t row = uint64_t{c.next->fetch_add(1, std::memory_order_relaxed)} * piece;
    if (row >= m) return;
    kernel.compute(args, static_cast<uint32_t>(row),
                   static_cast<uint32_t>(std::min<uint64_t>(row + piece, m)));
  }
}

}  // namespace sluice
